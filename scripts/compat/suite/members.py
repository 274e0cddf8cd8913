"""Members of consumer groups as processes: Kafka's VerifiableConsumer, and programs of the other clients that speak as it does.

A member says a JSON object a line: startup_complete, partitions_assigned, partitions_revoked, partitions_lost, record_data for
each record, offsets_committed, shutdown_complete. SIGTERM ends it in order: it leaves its group, unless it is a static member.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from suite.install import HERE
from suite.kit import Kit, expect
from suite.process import CheckFailed

LIBRARIES = ("java", "confluent", "kafka-python", "aiokafka", "franz")
# What the libraries of the consumer protocol (KIP-848) are.
WITH_CONSUMER_PROTOCOL = ("java", "confluent", "franz")
WAIT_SECONDS = 60
JAVA_ASSIGNORS = {"range": "RangeAssignor", "roundrobin": "RoundRobinAssignor", "cooperative-sticky": "CooperativeStickyAssignor"}


def command(kit: Kit, library: str, group: str, topic: str, protocol: str, assignor: str, instance: str, session_ms: int) -> list[str]:
    if library == "java":
        return _java(kit, group, topic, protocol, assignor, instance, session_ms)
    installed = kit.shared.installed
    argv = [str(installed.franz), "member"] if library == "franz" else [str(installed.python), str(HERE / "python" / "member.py"), library]
    argv += ["--bootstrap", kit.bootstrap, "--group", group, "--topic", topic]
    argv += ["--protocol", protocol] if protocol != "classic" else []
    argv += ["--assignor", assignor] if assignor else []
    argv += ["--instance", instance] if instance else []
    if session_ms and protocol == "classic":
        argv += ["--session-timeout", f"{session_ms}ms" if library == "franz" else str(session_ms)]
    return argv


def _java(kit: Kit, group: str, topic: str, protocol: str, assignor: str, instance: str, session_ms: int) -> list[str]:
    argv = [*kit.jvm("128m"), "org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", kit.bootstrap, "--verbose",
            "--group-id", group, "--topic", topic, "--group-protocol", protocol]
    if assignor and protocol == "consumer":
        argv += ["--group-remote-assignor", assignor]
    elif assignor:
        argv += ["--assignment-strategy", f"org.apache.kafka.clients.consumer.{JAVA_ASSIGNORS[assignor]}"]
    argv += ["--group-instance-id", instance] if instance else []
    return argv + (["--session-timeout", str(session_ms)] if session_ms and protocol == "classic" else [])


class Teller:
    """A program that says a JSON object a line, from start to end, and what it has said."""

    def __init__(self, kit: Kit, library: str, argv: list[str], stdin: int = subprocess.DEVNULL):
        self.library = library
        self.ended = False
        self._changed = threading.Condition()
        kit.log.write(f"$ {' '.join(argv)}")
        self.log = kit.log.path.with_name(f"{kit.log.path.stem}-{library}-{time.monotonic_ns()}.log")
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        with self.log.open("a") as log:
            for line in self.process.stdout:
                log.write(line)
                if line.startswith("{"):
                    with self._changed:
                        self._heard(json.loads(line))
                        self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def _heard(self, said: dict) -> None:
        raise NotImplementedError

    def _state(self) -> str:
        """Where it stands, for the text of a failure."""
        raise NotImplementedError

    def wait(self, what: str, condition: Callable[["Teller"], object], seconds: float = WAIT_SECONDS) -> None:
        with self._changed:
            held = self._changed.wait_for(lambda: condition(self) or self.ended, seconds) and condition(self)
            state = self._state()
        if not held:
            raise CheckFailed(f"the {self.library} member {'ended before' if self.ended else f'after {seconds:.0f} s, not'}: {what}; {state}{self._words()}")

    def _words(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip() and not line.startswith("{")]
        return f"; it says: {lines[-1][:200]}" if lines else ""

    def leave(self) -> None:
        """SIGTERM; it must end in order."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise CheckFailed(f"the {self.library} member didn't end within {WAIT_SECONDS} s of SIGTERM") from None
        self._reader.join(WAIT_SECONDS)
        # Java's own code for an end by SIGTERM, after its shutdown hooks.
        expect(code in (0, 143), f"the {self.library} member ended with {code}{self._words()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(WAIT_SECONDS)


class Member(Teller):
    """One member of a consumer group."""

    def __init__(self, kit: Kit, library: str, group: str, topic: str, *, protocol: str = "classic", assignor: str = "", instance: str = "",
                 session_ms: int = 0):
        self.assigned: set[int] = set()
        self.records: list[tuple[int, int, str]] = []  # partition, offset, value
        self.committed: dict[int, int] = {}
        self.changes: list[tuple[str, set[int]]] = []  # name of the event, partitions
        super().__init__(kit, library, command(kit, library, group, topic, protocol, assignor, instance, session_ms))

    def _heard(self, said: dict) -> None:
        name = said["name"]
        if name in ("partitions_assigned", "partitions_revoked", "partitions_lost"):
            partitions = {at["partition"] for at in said.get("partitions") or []}
            self.changes.append((name, partitions))
            self.assigned = self.assigned | partitions if name == "partitions_assigned" else self.assigned - partitions
        elif name == "record_data":
            self.records.append((said["partition"], said["offset"], said["value"]))
        elif name == "offsets_committed" and said["success"]:
            self.committed |= {at["partition"]: at["offset"] for at in said["offsets"]}

    def _state(self) -> str:
        return f"it has partitions {sorted(self.assigned)} and {len(self.records)} records, committed {self.committed}"

    def values(self) -> list[str]:
        with self._changed:
            return [value for _, _, value in self.records]


class Members:
    """All that a check starts; none of them outlives it."""

    def __init__(self, kit: Kit, group: str, topic: str):
        self.kit, self.group, self.topic = kit, group, topic
        self.all: list[Member] = []

    def __enter__(self) -> "Members":
        return self

    def __exit__(self, *_) -> None:
        for member in self.all:
            if member.process.poll() is None:
                member.kill()

    def start(self, library: str, **options) -> Member:
        self.all.append(Member(self.kit, library, self.group, self.topic, **options))
        return self.all[-1]

    def running(self) -> list[Member]:
        return [member for member in self.all if member.process.poll() is None]

    def await_shared(self, partitions: int, seconds: float = WAIT_SECONDS) -> None:
        """Until the running members have all partitions, each one owner, and each member one at least where there are enough."""
        deadline = time.monotonic() + seconds
        while True:
            owned = [set(member.assigned) for member in self.running()]
            counts = [sum(partition in one for one in owned) for partition in range(partitions)]
            if all(count == 1 for count in counts) and (len(owned) > partitions or all(owned)):
                return
            expect(time.monotonic() < deadline, f"after {seconds:.0f} s the members have partitions {[sorted(one) for one in owned]}")
            time.sleep(0.1)

    def values(self) -> list[str]:
        return [value for member in self.all for value in member.values()]

    def await_values(self, wanted: set[str], seconds: float = WAIT_SECONDS) -> None:
        """Until every wanted value has come to some member."""
        deadline = time.monotonic() + seconds
        while missing := wanted - set(self.values()):
            expect(time.monotonic() < deadline, f"{len(missing)} of {len(wanted)} records came to no member in {seconds:.0f} s, such as {sorted(missing)[:3]}")
            time.sleep(0.1)

