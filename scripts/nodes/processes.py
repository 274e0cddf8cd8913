"""Processes that outlive the script that starts them, found again by process id and start time.

Never signals a process that it can't tell to be the one that was started.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SETTLE_SECONDS = 0.02
# In the environment of all that is started for a cluster, and of what that starts: the cluster's folder.
MARK = "NODE_OF_CLUSTER"


class Process(NamedTuple):
    pid: int
    # In the kernel's ticks since it booted.
    began: int


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on, or None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat[stat.rindex(")") + 2 :].split()


def identify(pid: int) -> Process | None:
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if fields and fields[0] != "Z" else None


def state(process: Process) -> str:
    """running, paused or gone."""
    with contextlib.suppress(ChildProcessError):
        # Where this script started it: a child that ended is there until it is asked for.
        os.waitpid(process.pid, os.WNOHANG)
    fields = _stat(process.pid) if process.pid else None
    if not fields or fields[0] in "ZX" or int(fields[19]) != process.began:
        return "gone"
    return "paused" if fields[0] == "T" else "running"


def send(process: Process, number: signal.Signals) -> bool:
    """Signals the process; False where it is gone."""
    if state(process) == "gone":
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], object], seconds: float, pause: float = SETTLE_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def end(process: Process, seconds: float) -> bool:
    """SIGTERM, also to one that is paused; whether it was gone in time."""
    if send(process, signal.SIGTERM):
        send(process, signal.SIGCONT)
    return until(lambda: state(process) == "gone", seconds)


def kill(process: Process) -> None:
    send(process, signal.SIGKILL)
    if not until(lambda: state(process) == "gone", 30):
        raise TimeoutError(f"process {process.pid} is still there half a minute after SIGKILL")


def spawn(argv: list[str], cluster: str, log: Path, *, cores: list[int] | None = None, cgroup: Path | None = None,
          environment: dict[str, str] | None = None) -> subprocess.Popen:
    """Starts it in a session of its own, so that a Ctrl-C for the script doesn't reach it. It works in the log's folder."""

    def place() -> None:
        if cores:
            os.sched_setaffinity(0, cores)
        if cgroup:
            (cgroup / "cgroup.procs").write_text("0")

    # A node's settings come from its command line only, whatever the caller's environment has for other nodes.
    own = {name: value for name, value in os.environ.items() if not name.startswith("OTTLA_")}
    with log.open("ab") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=log.parent, start_new_session=True,
                                env=own | (environment or {}) | {MARK: cluster}, preexec_fn=place)


def strays(cluster: str) -> list[Process]:
    """What was started for the cluster and still runs, noted down or not."""
    mark = f"{MARK}={cluster}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and (process := identify(int(entry.name))):
                found.append(process)
    return found
