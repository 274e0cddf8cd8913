"""Brokers as processes of ours: started for one measurement or test, and stopped, and nothing else is touched."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_SECONDS = 120
STOP_SECONDS = 60


class BrokerFailed(Exception):
    """A broker that didn't start or didn't stop; the text says which and where its log is."""


def stop_on_sigterm() -> None:
    """SIGTERM ends the script as Ctrl-C does, so that what it started is stopped on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, from /proc."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Kafka:
    """A single Kafka node by `kafka start`; its log folder is DIR/data."""

    def __init__(self, folder: Path, *properties: str, port: int | None = None):
        self.folder = folder
        self.data = folder / "data"
        self.port = port or free_port()
        self.properties = properties
        self.pid = 0

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        controller = os.environ | {"KAFKA_CONTROLLER_PORT": str(free_port())}
        argv = [HERE / "kafka", "start", self.folder, str(self.port), *self.properties]
        started = subprocess.run(argv, stdout=subprocess.PIPE, text=True, env=controller, check=False)
        if started.returncode:
            raise BrokerFailed(f"Kafka didn't start: see {self.folder / 'server.log'}")
        self.pid = int(started.stdout)
        return self

    def __exit__(self, *_):
        if subprocess.run([HERE / "kafka", "stop", self.folder], check=False).returncode:
            raise BrokerFailed(f"Kafka didn't stop: see {self.folder / 'server.log'}")


class RabbitMq:
    """A single RabbitMQ node with the stream plugin by `rabbitmq start`; all it has is in DIR."""

    def __init__(self, folder: Path, *settings: str):
        self.folder = folder
        self.port = free_port()
        self.stream_port = free_port()
        self.settings = settings
        self.pid = 0

    def __enter__(self):
        argv = [HERE / "rabbitmq", "start", self.folder, str(self.port), str(self.stream_port), *self.settings]
        started = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
        if started.returncode:
            raise BrokerFailed(f"RabbitMQ didn't start: see {self.folder / 'server.log'}")
        self.pid = int(started.stdout)
        return self

    def __exit__(self, *_):
        if subprocess.run([HERE / "rabbitmq", "stop", self.folder], check=False).returncode:
            raise BrokerFailed(f"RabbitMQ didn't stop: see {self.folder / 'server.log'}")


class Ottla:
    """`ottla serve` on ports of its own."""

    def __init__(self, binary: Path, log: Path, dirs: list[Path], shards: int, *options: str):
        self.binary = binary
        self.log = log
        self.dirs = dirs
        self.shards = shards
        self.options = options
        self.port = free_port()
        self.admin = free_port()
        self.process: subprocess.Popen | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self):
        argv = [self.binary, "serve", "--listen", self.bootstrap, "--admin", f"127.0.0.1:{self.admin}"]
        for folder in self.dirs:
            argv += ["--data-dir", folder]
        argv += ["--shards", str(self.shards), *self.options]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C ends this script, which then stops the broker in order.
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self._wait_until_ready()
        except BrokerFailed:
            self._stop()
            raise
        return self

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BrokerFailed(f"ottla ended with {self.process.returncode} while starting: see {self.log}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)
        raise BrokerFailed(f"ottla isn't ready after {START_SECONDS} s: see {self.log}")

    def _stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BrokerFailed(f"ottla didn't end within {STOP_SECONDS} s of SIGTERM: see {self.log}") from None

    def __exit__(self, kind, *_):
        code = self._stop()
        if code and kind is None:
            raise BrokerFailed(f"ottla ended with {code}: see {self.log}")
