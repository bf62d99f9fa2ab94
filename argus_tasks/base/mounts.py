"""The kind of file system that a path is on."""

from __future__ import annotations

import os
from pathlib import Path

_NETWORK_KINDS = ("nfs", "cifs", "smb", "lustre", "gpfs", "fuse.sshfs", "9p", "ceph", "beegfs")


def file_system(path: Path | str) -> str:
    """The kind of file system that a path is on; empty where it is unknown."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    real = os.path.realpath(path)
    for line in mounts:
        fields = line.split()
        if len(fields) < 3:
            continue
        place = fields[1].replace("\\040", " ")
        inside = real == place or real.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, fields[2]
    return kind


def on_network(path: Path | str) -> bool:
    """Whether a path is on a network file system, which other hosts may share."""
    return file_system(path).startswith(_NETWORK_KINDS)
