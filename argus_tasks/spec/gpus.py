"""The GPUs that a sweep may use: the option `gpus`, checked against those of this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from argus_tasks.base.errors import BadInput
from argus_tasks.base.nvml import gpu_uuids

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Without this variable, CUDA numbers the fastest GPU first, and NVML numbers GPUs by bus position.
_ORDER = "CUDA_DEVICE_ORDER"

# auto: all GPUs of the machine; a list: these GPUs; 0: none.
Gpus: TypeAlias = str | Sequence[int] | int

log = logging.getLogger("argus_tasks")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        token: its name in `CUDA_VISIBLE_DEVICES`: a number, or a UUID.
        uuid: a unique id; the token if NVML does not know the GPU.
        numbered: whether its token is its number in NVML's order.
    """

    token: str
    uuid: str
    numbered: bool = True

    def environment(self) -> dict[str, str]:
        """The environment variables of a process that uses this GPU alone."""
        order = {_ORDER: "PCI_BUS_ID"} if self.numbered else {}
        return {VISIBLE: self.token, **order}


def usable_gpus(gpus: Gpus | None, environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs that a sweep may use; none if the option is not given, or 0.

    If `CUDA_VISIBLE_DEVICES` is set already (by a scheduler, or the user), it determines the GPUs,
    and numbers count those.

    Raises:
        BadInput: for a number without a GPU.
    """
    if gpus is None or gpus == 0:
        return ()
    uuids = gpu_uuids()
    tokens = [str(number) for number in range(len(uuids or ()))]
    given = environ.get(VISIBLE)
    if given is not None:
        tokens = [token.strip() for token in given.split(",") if token.strip()]
        if "-1" in tokens:  # CUDA ignores everything from -1 on
            tokens = tokens[: tokens.index("-1")]
    if not isinstance(gpus, str | int):
        if uuids is None and given is None:
            log.warning("gpus: NVML does not answer, so it is unknown whether these GPUs exist")
            tokens = [str(number) for number in range(max(gpus) + 1)]
        missing = [number for number in gpus if number >= len(tokens)]
        if missing:
            raise BadInput(
                f"gpus is {list(gpus)}; expected numbers of existing GPUs:"
                f" there are {len(tokens)}, counted from 0."
            )
        tokens = [tokens[number] for number in gpus]
    elif not tokens:
        log.warning(
            "gpus is auto, but no GPU was found on this machine; experiments run without one"
        )
    return tuple(Gpu(token, _uuid(token, uuids or ()), given is None) for token in tokens)


def _uuid(token: str, uuids: Sequence[str]) -> str:
    if token.isdigit() and int(token) < len(uuids):
        return uuids[int(token)]
    return next((uuid for uuid in uuids if uuid.startswith(token)), token)
