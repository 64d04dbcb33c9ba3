"""The file system of a directory, from Linux's mount table."""

from __future__ import annotations

import re
from pathlib import Path

from . import Finding

MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = """
    9p afs ceph cifs davfs fuse.ceph fuse.gcsfuse fuse.glusterfs fuse.rclone fuse.s3fs fuse.sshfs glusterfs lustre
    ncpfs nfs nfs4 orangefs smb3 smbfs
"""
_GONE_AT_REBOOT = "ramfs tmpfs"
_GONE_WITH_CONTAINER = "aufs overlay"
_SHARED_WITH_HOST = "prl_fs vboxsf virtiofs vmhgfs"

_escape = re.compile(r"\\([0-7]{3})")


def kind_of(path: Path, mounts: str) -> str | None:
    """Return the file system type of a path; None if unknown.

    Args:
        path: a resolved path, which need not exist.
        mounts: the text of /proc/self/mountinfo.
    """
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        before, separator, behind = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5 or not behind.strip():
            continue
        point = Path(_escape.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # Of several mounts on one point the last one is visible.
        if path.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = len(point.parts), behind.split()[0]
    return None if found is None else found[1]


def check_mount(path: Path, mounts: str | None) -> Finding:
    """Check that the file system supports locks and is persistent."""
    kind = None if mounts is None else kind_of(path, mounts)
    name = "file system"
    if kind is None:
        return Finding(name, "ok", "not known; it must be a local disk")
    if kind in _NETWORK.split():
        return Finding(
            name,
            "problem",
            f"{kind}, a network file system: locks do not work there and files get damaged",
            "choose a directory on a local disk",
        )
    if kind in _GONE_AT_REBOOT.split():
        return Finding(
            name,
            "warning",
            f"{kind}, which is memory: waiting events are lost at a reboot",
            "choose a directory on a disk, not in /tmp, /run or /dev/shm",
        )
    if kind in _GONE_WITH_CONTAINER.split():
        return Finding(
            name,
            "warning",
            f"{kind}, the layer of a container: waiting events are lost with the container",
            "mount a volume there, for one host at a time",
        )
    if kind in _SHARED_WITH_HOST.split() or kind.startswith("fuse"):
        return Finding(
            name,
            "warning",
            f"{kind}: locks may not work there",
            "choose a directory on a local disk, or a volume",
        )
    return Finding(name, "ok", kind)


def read_mounts() -> str | None:
    """Return Linux's mount table; None on other systems."""
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
