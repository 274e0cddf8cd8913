"""Drives of a cluster's nodes: plain folders, or XFS on a loop device each, of a size and held to a rate.

The files behind the loop devices are sparse: only what is written takes room.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

from nodes.layout import ClusterError, Layout

XFS_LEAST = 300 << 20
FILLER = "filler"
RELEASE_SECONDS = 20
V1, V2 = Path("/sys/fs/cgroup/blkio"), Path("/sys/fs/cgroup")


def _run(*argv: object) -> str:
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(map(str, argv))}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def size(text: str) -> int:
    """Bytes, or with a unit of 1024: 512M, 4G."""
    unit = {"K": 10, "M": 20, "G": 30, "T": 40}.get(text[-1:].upper())
    number = text[:-1] if unit else text
    if not number.isdigit():
        raise ValueError(f"{text!r} is not a size: give bytes, or 512M, 4G")
    return int(number) << (unit or 0)


def data(drive: str) -> Path:
    """The data directory on a drive; beside it is room for what fills the drive."""
    return Path(drive) / "data"


def image(drive: str) -> Path:
    return Path(f"{drive}.img")


def mounted(drive: Path) -> bool:
    return any(line.split()[1] == str(drive) for line in Path("/proc/mounts").read_text().splitlines())


def loop_devices(drive: str) -> list[str]:
    return _run("losetup", "--noheadings", "--output", "NAME", "--associated", image(drive)).split() if image(drive).exists() else []


def make(layout: Layout, drives: list[str]) -> None:
    for drive in drives:
        Path(drive).mkdir(parents=True)
        if layout.xfs:
            _mount_new(layout, drive)
        data(drive).mkdir()


def _mount_new(layout: Layout, drive: str) -> None:
    with image(drive).open("wb") as file:
        file.truncate(layout.xfs)
    device = _run("losetup", "--find", "--show", "--direct-io=on", image(drive)).strip()
    _run("mkfs.xfs", "-q", "-f", device)
    _run("mount", device, drive)


def unmake(drive: str) -> None:
    """Unmounts it and lets go of its loop device, whatever of it is there."""
    # The kernel may hold files of a process for a moment after it has ended.
    deadline = time.monotonic() + RELEASE_SECONDS
    while mounted(Path(drive)):
        try:
            _run("umount", drive)
        except ClusterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    for device in loop_devices(drive):
        _run("losetup", "--detach", device)


def fill(drive: str) -> None:
    """Takes all room that is left on the drive, at once and without writing to it."""
    if not mounted(Path(drive)):
        raise ClusterError(f"{drive} isn't a drive of its own: start the cluster with --xfs SIZE to fill drives")
    with (Path(drive) / FILLER).open("ab") as file:
        # The last of the room is in pieces, and a file system keeps some back for itself.
        for step in (1 << 24, 1 << 20, 1 << 16, 1 << 12):
            while (free := os.statvfs(drive).f_bavail * os.statvfs(drive).f_frsize) >= step:
                at = os.fstat(file.fileno()).st_size
                try:
                    os.posix_fallocate(file.fileno(), at, free // step * step)
                except OSError:
                    break


def free(drive: str) -> None:
    (Path(drive) / FILLER).unlink(missing_ok=True)


def _held_by() -> tuple[Path, bool]:
    """Where cgroups that limit I/O are made, and whether it is cgroup v2."""
    if (V2 / "cgroup.controllers").exists():
        if "io" not in (V2 / "cgroup.controllers").read_text().split():
            raise ClusterError("--disk-rate: this kernel's cgroup v2 has no io controller; leave --disk-rate away")
        return V2, True
    if (V1 / "blkio.throttle.write_bps_device").exists():
        return V1, False
    raise ClusterError("--disk-rate: no cgroup of this machine limits I/O (no io.max, no blkio.throttle); leave --disk-rate away")


def cgroup(layout: Layout) -> Path | None:
    if not layout.disk_rate:
        return None
    return _held_by()[0] / f"ottla-{layout.token}"


def check_rate(layout: Layout) -> None:
    """Refuses a rate that couldn't be held here."""
    if not layout.disk_rate:
        return
    if not layout.xfs:
        raise ClusterError("--disk-rate needs --xfs SIZE: only a drive that is a device of its own can be held to a rate")
    _, newer = _held_by()
    if layout.system == "kafka" and not newer:
        raise ClusterError("--disk-rate with --system kafka needs cgroup v2: this machine has v1, which holds direct I/O only, and Kafka "
                           "writes through the page cache; leave --disk-rate away")


def hold(layout: Layout, drives: list[str]) -> None:
    """Holds each of the drives to the rate, reading and writing apart, for processes in the cgroup."""
    group = cgroup(layout)
    if not group:
        return
    newer = _held_by()[1]
    if newer:
        (V2 / "cgroup.subtree_control").write_text("+io +memory")
    group.mkdir(exist_ok=True)
    for drive in drives:
        device = os.stat(loop_devices(drive)[0]).st_rdev
        number = f"{os.major(device)}:{os.minor(device)}"
        if newer:
            (group / "io.max").write_text(f"{number} rbps={layout.disk_rate} wbps={layout.disk_rate}")
        else:
            for way in ("read", "write"):
                (group / f"blkio.throttle.{way}_bps_device").write_text(f"{number} {layout.disk_rate}")


def unhold(layout: Layout) -> None:
    group = cgroup(layout)
    if group and group.exists():
        group.rmdir()


def missing_tools(layout: Layout) -> list[str]:
    wanted = {"losetup": "mount", "mkfs.xfs": "xfsprogs"} if layout.xfs else {}
    wanted |= {"ip": "iproute2", "nsenter": "util-linux"} if layout.netns else {}
    return [f"{tool} (Debian package {package})" for tool, package in wanted.items() if not shutil.which(tool)]
