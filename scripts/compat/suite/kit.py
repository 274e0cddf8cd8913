"""What every check is given: the broker's address, the clients, topics of its own, a log."""

import hashlib
import re
import threading
from collections.abc import Callable
from pathlib import Path

from suite.clients import Confluent, Franz, JavaConsole, Kcat, KafkaPython
from suite.install import HERE, PEERS, Installed
from suite.process import CheckFailed, Log, Result, run


class Shared:
    """The state of one whole run; checks get a Kit of their own over it."""

    def __init__(self, bootstrap: str, quick: bool, installed: Installed, prefix: str, scratch: Path, logs: Path):
        self.bootstrap = bootstrap
        self.quick = quick
        self.installed = installed
        self.prefix = prefix
        self.scratch = scratch
        self.logs = logs
        self.topics: list[str] = []
        self._made: dict[str, object] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def once(self, key: str, make: Callable[[], object]) -> object:
        """Makes something the first time a check asks for it; later ones get the same, or the same failure."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                try:
                    self._made[key] = make()
                except CheckFailed as failure:
                    self._made[key] = failure
            made = self._made[key]
        if isinstance(made, CheckFailed):
            raise CheckFailed(f"{key}: {made}")
        return made


class Kit:
    def __init__(self, shared: Shared, check: str):
        self.shared = shared
        self.bootstrap = shared.bootstrap
        self.quick = shared.quick
        self.log = Log(shared.logs / (re.sub(r"[^A-Za-z0-9]+", "-", check) + ".log"))

    # -- clients ------------------------------------------------------------------------------------------------

    def client(self, name: str):
        kinds = {kind.name: kind for kind in (Kcat, JavaConsole, Confluent, KafkaPython, Franz)}
        return kinds[name](self)

    def run(self, argv, **options) -> Result:
        return run(argv, self.log, **options)

    def kcat(self, *args, **options) -> Result:
        return self.run(["kcat", "-b", self.bootstrap, *args], **options)

    def driver(self, library: str, verb: str, *args, **options) -> Result:
        script = HERE / "python" / "driver.py"
        argv = [self.shared.installed.python, script, library, verb, "--bootstrap", self.bootstrap, *args]
        return self.run(argv, **options)

    def franz(self, verb: str, *args, **options) -> Result:
        return self.run([self.shared.installed.franz, verb, "--bootstrap", self.bootstrap, *args], **options)

    def java(self, main_class: str, *args, heap: str = "256m", **options) -> Result:
        """A Kafka tool by its main class, as Kafka's own scripts run it, with flags for a fast start."""
        return self.run([*self.jvm(heap), main_class, *args], **options)

    def jvm(self, heap: str) -> list[str]:
        """What stands before the main class of a Kafka tool or of one of the Java programs."""
        jvm = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Xmx{heap}"]
        logging = f"-Dlog4j2.configurationFile={PEERS / 'log4j2-tools.properties'}"
        classes = f"{self.shared.installed.programs}:{self.shared.installed.kafka_jars}/*"
        return ["java", *jvm, logging, "-cp", classes]

    def tool(self, main_class: str, *args, **options) -> Result:
        """A Kafka tool that takes --bootstrap-server."""
        return self.java(main_class, "--bootstrap-server", self.bootstrap, *args, **options)

    # -- topics and files ---------------------------------------------------------------------------------------

    def name(self, topic: str) -> str:
        """A topic name of this run, to be deleted at its end; doesn't create it."""
        full = f"{self.shared.prefix}-{topic}"
        self.shared.topics.append(full)
        return full

    def topic(self, topic: str, partitions: int = 1, **config: str) -> str:
        return self.topics([topic], partitions, **config)[0]

    def topics(self, names: list[str], partitions: int = 1, **config: str) -> list[str]:
        full = [self.name(name) for name in names]
        settings = [f"--config={key.replace('_', '.')}={value}" for key, value in config.items()]
        self.driver("confluent", "create", "--topic", *full, "--partitions", partitions, *settings)
        return full

    def file(self, name: str, content: bytes) -> Path:
        path = self.shared.scratch / name
        path.write_bytes(content)
        return path


def expect(condition: object, why: str) -> None:
    if not condition:
        raise CheckFailed(why)


def expect_same(got: bytes, wanted: bytes, what: str) -> None:
    """Byte for byte; says where it first differs."""
    if got == wanted:
        return
    got_lines, wanted_lines = got.split(b"\n"), wanted.split(b"\n")
    first = next((i for i, (a, b) in enumerate(zip(got_lines, wanted_lines, strict=False)) if a != b), None)
    counts = f"{len(got_lines) - 1} lines, sha256 {sha(got)}; wanted {len(wanted_lines) - 1}, {sha(wanted)}"
    if first is None:
        raise CheckFailed(f"{what}: {counts}")
    raise CheckFailed(f"{what}: {counts}; line {first + 1} is {got_lines[first][:80]!r}, not {wanted_lines[first][:80]!r}")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
