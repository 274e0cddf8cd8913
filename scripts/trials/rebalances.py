"""A large group whose members come, leave and die at random, and what must hold of it.

Owns the crowd, what its members say, and the judgement:
  delivered      every record of the topic has come to some member
  one owner      no two members have a partition at the same time: in one generation of the classic protocol by what they were
                 assigned in it; in the consumer protocol, which has no generations, by the time between their being given it and
                 its being taken from them. Who was told that its partitions are lost, or was killed, had them until then at most.
"""

import bisect
import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from nodes.cluster import Cluster
from nodes.layout import ClusterError
from suite import install
from suite.install import HERE
from trials.entry import say
from trials.judgement import shared_in_generation, shared_in_time
from trials.load import PATIENCE, Worker
from trials.stage import Actor, Counter, make_topics

TOPIC, GROUP = "crowd", "crowd"
SETTLE_SECONDS = 120
STABLE = {"STABLE", "EMPTY"}


class Member(Actor):
    """One life of a member. It says what happens in the form of Kafka's VerifiableConsumer, with the machine's monotonic clock."""

    def __init__(self, name: str, argv: list[str], crowd: "Crowd", log: Path):
        super().__init__(name, lambda: argv, self._said, log)
        self.crowd = crowd
        self.owned: dict[int, float] = {}

    def _said(self, line: str) -> None:
        said = json.loads(line)
        name, at = said["name"], said["at"]
        with self.crowd.lock:
            if name == "record_data":
                self.crowd.delivered[said["partition"]][said["offset"]] += 1
            elif name == "partitions_assigned":
                self._assigned({row["partition"] for row in said.get("partitions") or []}, said.get("generation", 0), at)
            elif name in ("partitions_revoked", "partitions_lost"):
                self._released([row["partition"] for row in said.get("partitions") or []], at, name == "partitions_lost")

    def _assigned(self, partitions: set[int], generation: int, at: float) -> None:
        self.owned |= {partition: at for partition in partitions if partition not in self.owned}
        if generation > 0:
            for partition in self.owned:
                self.crowd.generations[generation][partition].add(self.name)

    def _released(self, partitions: Iterable[int], at: float, lost: bool) -> None:
        for partition in partitions:
            began = self.owned.pop(partition, None)
            if began is not None:
                self.crowd.spans[partition].append((began, at, self.name, lost))

    def gone(self, at: float) -> None:
        """It was killed, or has left."""
        with self.crowd.lock:
            self._released(list(self.owned), at, True)


class Watch(Worker):
    """Asks the broker for the group's state again and again; keeps for how long it wasn't stable."""

    def __init__(self, bootstrap: str):
        super().__init__("watch")
        self.admin = AdminClient(PATIENCE | {"bootstrap.servers": bootstrap})
        self.unstable: list[tuple[float, float]] = []
        self.now = ""

    def work(self) -> None:
        began = None
        while not self.stopping.wait(0.05):
            try:
                self.now = self.admin.describe_consumer_groups([GROUP], request_timeout=5)[GROUP].result(6).state.name
            except KafkaException:
                continue
            at = time.monotonic()
            if self.now not in STABLE:
                began = began or at
            elif began is not None:
                self.unstable.append((began, at))
                began = None


class Crowd:
    def __init__(self, cluster: Cluster, installed: install.Installed, options: dict, folder: Path):
        self.cluster, self.installed, self.folder = cluster, installed, folder
        self.size, self.partitions, self.protocol, self.assignor = options["members"], options["partitions"], options["protocol"], options["assignor"]
        self.others = options["librdkafka"]
        self.random = random.Random(options["seed"])
        self.lock = threading.Lock()
        self.delivered: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.generations: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.spans: dict[int, list[tuple[float, float, str, bool]]] = defaultdict(list)
        self.members: list[Member] = []
        self.born = 0
        self.killed_at: list[float] = []
        make_topics(cluster, {TOPIC: self.partitions})
        self.input = Counter(cluster.bootstrap, TOPIC, self.partitions, options["rate"], str)
        self.watch = Watch(cluster.bootstrap)

    def start(self) -> None:
        for _ in range(self.size):
            self.join()
        self.input.start()
        self.watch.start()

    def join(self) -> None:
        self.born += 1
        name = f"member-{self.born}"
        installed = self.installed
        librdkafka = self.random.random() < self.others
        argv = [str(installed.python), str(HERE / "python" / "member.py"), "confluent"] if librdkafka else [str(installed.franz), "member"]
        argv += ["--bootstrap", self.cluster.bootstrap, "--group", GROUP, "--topic", TOPIC, "--protocol", self.protocol, "--quiet"]
        argv += ["--assignor", self.assignor] if self.assignor else []
        member = Member(name, argv, self, self.folder / f"{name}.log")
        member.start()
        self.members.append(member)

    def settle(self, seconds: float = SETTLE_SECONDS) -> bool:
        """Until the members that are there have all partitions between them, and the broker says that it is stable."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with self.lock:
                owned = sorted(partition for member in self.members for partition in member.owned)
            if owned == list(range(self.partitions)) and self.watch.now == "STABLE":
                return True
            time.sleep(0.2)
        return False

    def churn(self, seconds: float, every: float, kills: bool) -> dict[str, int]:
        done: dict[str, int] = defaultdict(int)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            short = self.size - len(self.members)
            what = "join" if short > self.random.randrange(1, max(2, self.size // 10)) else "go"
            if what == "join":
                self.join()
            else:
                member = self.members.pop(self.random.randrange(len(self.members)))
                what = "die" if kills and self.random.random() < 0.5 else "leave"
                threading.Thread(target=self._go, args=(member, what), daemon=True).start()
            done[what] += 1
            time.sleep(self.random.expovariate(1 / every))
            for other in self.members:
                if not other.alive():
                    raise ClusterError(f"{other.name} ended by itself: see {other.log}")
        return done

    def _go(self, member: Member, how: str) -> None:
        if how == "die":
            self.killed_at.append(time.monotonic())
            member.kill()
        else:
            member.end()
        member.gone(time.monotonic())

    # -- the end ------------------------------------------------------------------------------------------------

    def finish(self) -> list[str]:
        findings = []
        left = self.input.finish()
        if left:
            findings.append(f"{left} records have no answer in the end")
        say(f"{self.input.sent} records sent; waiting until all have come")
        if not self.settle():
            findings.append(f"the group isn't settled {SETTLE_SECONDS} s after the last member came or went: the broker says {self.watch.now}")
        until = time.monotonic() + SETTLE_SECONDS
        while (missing := self.missing()) and time.monotonic() < until:
            time.sleep(0.5)
        if missing:
            findings.append(f"{missing} of {self.input.sent} records came to no member")
        self.watch.stopping.set()
        self.watch.join(10)
        ends = [threading.Thread(target=self._go, args=(member, "leave")) for member in self.members]
        for one in ends:
            one.start()
        for one in ends:
            one.join()
        return findings + self.doubly_owned()

    def missing(self) -> int:
        with self.lock:
            return self.input.sent - sum(len(offsets) for offsets in self.delivered.values())

    def doubled(self) -> int:
        with self.lock:
            return sum(count - 1 for offsets in self.delivered.values() for count in offsets.values())

    def doubly_owned(self) -> list[str]:
        return shared_in_generation(self.generations) if self.protocol == "classic" else shared_in_time(self.spans)

    def pauses(self) -> list[float]:
        """For how long a partition had no owner when it went from one to another, unless somebody was killed in the time before."""
        found = []
        self.killed_at.sort()
        for spans in self.spans.values():
            spans.sort()
            for (_, end, _, _), (began, _, _, _) in zip(spans, spans[1:], strict=False):
                if not self._death_between(end - 60, began):
                    found.append(max(0.0, began - end))
        return found

    def unstable(self) -> tuple[list[float], list[float]]:
        """How long the group was not stable each time: with nobody killed within a session before, and otherwise."""
        clean, other = [], []
        for began, end in self.watch.unstable:
            (other if self._death_between(began - 60, end) else clean).append(end - began)
        return clean, other

    def _death_between(self, began: float, end: float) -> bool:
        at = bisect.bisect_left(self.killed_at, began)
        return at < len(self.killed_at) and self.killed_at[at] <= end


def told(values: list[float]) -> str:
    if not values:
        return "none"
    values = sorted(values)
    return f"{len(values)}: p50 {values[len(values) // 2]:.2f} s, p99 {values[min(len(values) - 1, int(len(values) * 0.99))]:.2f} s, worst {values[-1]:.2f} s"
