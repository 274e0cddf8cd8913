"""Members of a share group that accept, release and reject at random while they and the brokers are killed; and what must hold.

Owns the members and what they say (compat/java/Share.java, compat/python/share.py and compat/franz/share.go, which write it alike); the
judgement is trials/deliveries.py's.
"""

import json
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

from nodes.cluster import Cluster
from suite import install
from suite.install import HERE

from trials.deliveries import Deliveries
from trials.entry import say
from trials.exactly_once import check
from trials.stage import Actor, Counter, kill_broker, make_topics

TOPIC, GROUP = "shared", "sharers"
PARTITIONS = 4
DELIVERIES = 5  # group.share.delivery.count.limit, its default
DRAIN_SECONDS = 180
KINDS = {"client": 5, "leave": 2, "freeze": 1, "broker": 3, "both": 2}
# Locks that were given before a broker died end within this time, or leaders are known again.
TROUBLED_SECONDS = 10
# How a member sends its acknowledgements; each member has one way.
COMMITS = ("sync", "async", "poll")


class Sharer(Actor):
    """A member with many lives, each of which is a holder of its own."""

    def __init__(self, number: int, argv: list[str], trial: "Trial", folder: Path):
        name = f"member-{number}"
        super().__init__(name, lambda: [*argv, "--seed", str(trial.seed * 10_000 + number * 100 + self.lives)], self._said, folder / f"{name}.log")
        self.trial = trial

    @property
    def holder(self) -> str:
        return f"{self.name}.{self.lives}"

    def _said(self, line: str) -> None:
        # Who is killed may leave half a line.
        if not line.startswith("{") or not line.endswith("}"):
            return
        said, deliveries = json.loads(line), self.trial.deliveries
        with self.trial.lock:
            if said["name"] == "record_data":
                number, at = said["value"].split(" ")
                self.trial.first(said["partition"], said["offset"], said["at"] - float(at))
                deliveries.delivered(self.holder, said["partition"], said["offset"], said["at"], said["delivery"], said["ack"].lower(), number)
            elif said["name"] == "acknowledged":
                for at in said["partitions"]:
                    deliveries.answered(self.holder, at["partition"], at["offsets"], said["at"], said["error"])

    def go(self, how: str) -> None:
        """Ends this life, by a kill or in order."""
        if how == "kill":
            self.kill()
        elif not self.end():
            self.trial.findings.append(f"{self.name} doesn't end by SIGTERM")
        self.buried()

    def buried(self) -> None:
        with self.trial.lock:
            self.trial.deliveries.gone(self.holder, time.monotonic())


class Trial:
    def __init__(self, cluster: Cluster, installed: install.Installed, options: dict, folder: Path):
        self.cluster, self.seed = cluster, options["seed"]
        self.random = random.Random(self.seed)
        self.lock = threading.Lock()
        self.lock_seconds = options["lock_seconds"]
        self.deliveries = Deliveries(DELIVERIES, self.lock_seconds)
        self.latencies: dict[tuple[int, int], float] = {}
        self.findings: list[str] = []
        self.deaths: list[float] = []
        self.faults: list[tuple[float, float]] = []
        java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", f"{installed.programs}:{installed.kafka_jars}/*", "Share"]
        librdkafka = [str(installed.python), str(HERE / "python" / "share.py"), "member"]
        franz = [str(installed.franz), "share"]
        common = ["--bootstrap", cluster.bootstrap, "--group", GROUP, "--topic", TOPIC, "--ack", "random", "--max-poll", "100", "--pause-ms", "200"]
        programs = [[*java, "member"]] * options["java"] + [librdkafka] * options["librdkafka"] + [franz] * options["franz"]
        self.members = [Sharer(number, [*argv, *common, "--commit", COMMITS[number % len(COMMITS)]], self, folder) for number, argv in enumerate(programs)]
        make_topics(cluster, {TOPIC: PARTITIONS})
        settings = f"share.auto.offset.reset=earliest,share.record.lock.duration.ms={int(self.lock_seconds * 1000)}"
        subprocess.run([*java, "configure", "--bootstrap", cluster.bootstrap, "--groups", GROUP, "--set", settings], check=True, stdin=subprocess.DEVNULL)
        self.input = Counter(cluster.bootstrap, TOPIC, PARTITIONS, options["rate"], lambda number: f"{number} {time.monotonic():.4f}")

    def first(self, partition: int, offset: int, seconds: float) -> None:
        """How long after it was produced a record came to somebody."""
        self.latencies.setdefault((partition, offset), seconds)

    def start(self) -> None:
        self.input.start()
        for member in self.members:
            member.start()
        until = time.monotonic() + DRAIN_SECONDS
        while len(self.deliveries.records) < PARTITIONS and time.monotonic() < until:
            time.sleep(0.2)

    def rounds(self, count: int, kinds: list[str]) -> None:
        for number in range(count):
            kind = self.random.choices(kinds, [KINDS[kind] for kind in kinds])[0]
            member, node = self.random.choice(self.members), self.random.choice(self.cluster.nodes).id
            hold, pause = self.random.uniform(0.1, 3), self.random.uniform(0.5, 5)
            say(f"{number + 1:4d}  {kind}: {member.name if kind != 'broker' else ''} {f'node {node}' if kind in ('broker', 'both') else ''}")
            self._fault(kind, member, node, hold)
            time.sleep(pause)
            self.look_after()

    def _fault(self, kind: str, member: Sharer, node: int, hold: float) -> None:
        began = time.monotonic()
        if kind == "freeze":
            self.deaths.append(began)
            member.signal(signal.SIGSTOP)
            time.sleep(self.lock_seconds * self.random.uniform(1.2, 2.5))
            member.signal(signal.SIGCONT)
            with self.lock:
                self.deliveries.stood_still(member.holder, began, time.monotonic())
            return
        if kind in ("client", "both"):
            self.deaths.append(began)
            member.go("kill")
        elif kind == "leave":
            member.go("leave")
        if kind in ("broker", "both"):
            kill_broker(self.cluster, node, hold)
        if kind != "broker":
            time.sleep(hold if kind != "both" else 0)
            member.start()
        if kind in ("broker", "both"):
            self.cluster.await_ready()
            self.faults.append((began, time.monotonic() + TROUBLED_SECONDS))

    def look_after(self) -> None:
        for member in self.members:
            if not member.alive():
                self.deaths.append(time.monotonic())
                member.buried()
            member.look_after()
        check(self.input)
        for node in self.cluster.nodes:
            if self.cluster.state(node) == "ended":
                self.findings.append(f"node {node.id} ended by itself: see {node.log}")
                self.cluster.start(node.id)

    # -- the end ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        if left := self.input.finish():
            self.findings.append(f"{left} records have no answer in the end")
        say(f"{self.input.sent} records; waiting until all are done")
        until, quiet, seen = time.monotonic() + DRAIN_SECONDS, 0, None
        while time.monotonic() < until and (quiet < 2 * self.lock_seconds or len(self.deliveries.records) < self.input.sent):
            self.look_after()
            time.sleep(0.5)
            with self.lock:
                now = sum(len(one) for one in self.deliveries.records.values())
            quiet, seen = quiet + 0.5 if now == seen else 0, now
        for member in self.members:
            member.go("leave")
        with self.lock:
            self.deliveries.judge([self.input.sent // PARTITIONS + (partition < self.input.sent % PARTITIONS) for partition in range(PARTITIONS)],
                                  self.deaths, self.faults)
        self.findings += self.deliveries.findings
        if self.deliveries.wrong:
            self.findings.append(f"in all {dict(self.deliveries.wrong)}")

    def told(self) -> list[str]:
        latencies = sorted(self.latencies.values())
        many = [f"{name} {count}" for name, count in self.deliveries.figures().items()]
        at = {name: latencies[min(len(latencies) - 1, int(len(latencies) * share))] for name, share in (("p50", 0.5), ("p99", 0.99), ("worst", 1))} if latencies else {}
        return [f"{self.input.sent} records, {sum(len(one) for one in self.deliveries.records.values())} deliveries: {', '.join(many)}",
                "from produced to first given: " + ", ".join(f"{name} {seconds:.3f} s" for name, seconds in at.items()),
                "lives, and ends by themselves: " + ", ".join(f"{member.name} {member.lives}/{member.ended}" for member in self.members)]
