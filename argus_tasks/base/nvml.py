"""The GPUs of this machine, from NVIDIA's management library (NVML)."""

from __future__ import annotations

import ctypes
import sys

_LIBRARY = "libnvidia-ml.so.1"
_LONGEST_UUID = 96


def gpu_uuids() -> tuple[str, ...] | None:
    """The UUID of each GPU, in order of their numbers; None where the driver does not answer."""
    if sys.platform != "linux":
        return None
    try:
        library = ctypes.CDLL(_LIBRARY)
        if library.nvmlInit_v2():
            return None
    except (OSError, AttributeError):
        return None
    try:
        return _uuids(library)
    except AttributeError:
        return None
    finally:
        library.nvmlShutdown()


def _uuids(library: ctypes.CDLL) -> tuple[str, ...] | None:
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return None
    found = []
    for index in range(count.value):
        device = ctypes.c_void_p()
        text = ctypes.create_string_buffer(_LONGEST_UUID)
        if library.nvmlDeviceGetHandleByIndex_v2(
            ctypes.c_uint(index), ctypes.byref(device)
        ) or library.nvmlDeviceGetUUID(device, text, ctypes.c_uint(_LONGEST_UUID)):
            return None
        found.append(text.value.decode())
    return tuple(found)
