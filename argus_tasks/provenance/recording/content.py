"""Content of files: read, hashed, and how old it is."""

from __future__ import annotations

import os
import time

_CHUNK = 1 << 20
_FINE_GRAIN_NS = 20_000_000
_COARSE_GRAIN_NS = 2_000_000_000
_TOGETHER_NS = 1_000_000


def sha256_hex(data: bytes) -> str:
    """SHA-256 in hex digits. `hashlib` is not loaded for it: see this package's docstring."""
    return _new_hash(data).hexdigest()


try:
    from _hashlib import openssl_sha256 as _new_hash
except ImportError:
    from hashlib import sha256 as _new_hash


def read_file(path: str) -> tuple[bytes, os.stat_result]:
    """What is in a file, and its `stat` from before it was read. Errors: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        data = os.read(descriptor, status.st_size + 1)
        if len(data) != status.st_size:  # it grew meanwhile, or is no plain file
            chunks = [data]
            while chunk := os.read(descriptor, _CHUNK):
                chunks.append(chunk)
            data = b"".join(chunks)
        return data, status
    finally:
        os.close(descriptor)


def grain_ns(*times_ns: int) -> int:
    """How far apart two times of files must be before their order means something: two seconds
    where the file system seems to keep whole ones, else more than the kernel's tick."""
    whole = all(time_ns % 1_000_000_000 == 0 for time_ns in times_ns)
    return _COARSE_GRAIN_NS if whole else _FINE_GRAIN_NS


def process_start_ns() -> int:
    """When this process was started, in nanoseconds since the epoch, to a hundredth of a second;
    now, where the system does not say."""
    try:
        with open("/proc/self/stat", "rb") as handle:
            ticks = int(handle.read().rpartition(b")")[2].split()[19])
        since_boot_ns = ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
        for _ in range(10):  # both clocks at one moment: this process may be stopped in between
            before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            now_ns = time.time_ns()
            apart_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before_ns
            if apart_ns <= _TOGETHER_NS:
                break
    except (OSError, ValueError, IndexError, AttributeError):
        return time.time_ns()
    return min(now_ns - before_ns + since_boot_ns, now_ns)
