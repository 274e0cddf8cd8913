"""Running one command of a check: with a time limit, its words kept for the person who looks into a failure."""

import shlex
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


class CheckFailed(Exception):
    """A check that didn't hold; the text is what its FAIL line says."""


@dataclass
class Result:
    argv: list[str]
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")

    def last_words(self) -> str:
        """The line that most likely says why: the last of stderr, else of stdout."""
        lines = [line for line in (self.err or self.text).splitlines() if line.strip()]
        telling = [line for line in lines if "Exception" in line or "rror" in line or "FAIL" in line]
        return (telling or lines or ["(it said nothing)"])[0 if telling else -1].strip()[:300]


class Log:
    """One check's log file, written as it goes so that a hang leaves a trace too."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        with self._lock, self.path.open("a") as file:
            file.write(text if text.endswith("\n") else text + "\n")


def run(argv, log: Log, *, stdin: bytes | Path | None = None, timeout: int = 180, fails: bool | None = False) -> Result:
    """Runs `argv`. `fails` says which outcome is wanted, None for either: the other one raises CheckFailed."""
    argv = [str(a) for a in argv]
    log.write(f"$ {shlex.join(argv)}" + (f" < {stdin}" if isinstance(stdin, Path) else ""))
    began = time.monotonic()
    result = _finish(argv, stdin, timeout, log)
    log.write(f"[exit {result.code}, {time.monotonic() - began:.1f} s, {len(result.out)} bytes of output]")
    log.write(result.err[-8000:])
    log.write(result.text[:4000])
    what = tool_name(argv)
    if fails and result.code == 0:
        raise CheckFailed(f"{what} succeeded where it must be refused: {result.last_words()}")
    if fails is False and result.code != 0:
        raise CheckFailed(f"{what} exited with {result.code}: {result.last_words()}")
    return result


def _finish(argv: list[str], stdin, timeout: int, log: Log) -> Result:
    source = stdin.open("rb") if isinstance(stdin, Path) else None
    given = {"stdin": source} if source else {"input": stdin if stdin is not None else b""}
    try:
        done = subprocess.run(argv, capture_output=True, timeout=timeout, check=False, **given)
        return Result(argv, done.returncode, done.stdout, done.stderr.decode(errors="replace"))
    except subprocess.TimeoutExpired as expired:
        out, err = expired.stdout or b"", (expired.stderr or b"").decode(errors="replace")
        log.write(f"[ended after {timeout} s]\n{err[-8000:]}\n{out[:4000].decode(errors='replace')}")
        lines = out.count(b"\n")
        raise CheckFailed(f"{tool_name(argv)} didn't end within {timeout} s ({lines} lines of output)") from None
    finally:
        if source:
            source.close()


def tool_name(argv: list[str]) -> str:
    """A short name of what ran: the main class for Java, the driver's library for Python."""
    if argv[0] == "java":
        return next((a.rsplit(".", 1)[1] for a in argv if a.startswith(("org.apache.kafka.", "kafka."))), "java")
    if len(argv) > 3 and argv[1].endswith("driver.py"):
        return f"{argv[2]} {argv[3]}"
    return Path(argv[0]).name
