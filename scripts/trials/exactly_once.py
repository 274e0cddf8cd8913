"""Consumers that produce what they read, and writers of transactions, while they and the brokers are killed; and what must hold.

Owns the pipelines and the judgement. What is read with read_committed:
  copies     each output partition holds the input partition's records, each once, in its order
  ledgers    each transaction is there whole or not at all; what was said to be committed is there, what was said to be aborted isn't;
             within a partition a writer's transactions are in order
  readers    who has read all the time has seen exactly what is read in the end
"""

import random
import signal
import time
from pathlib import Path

from nodes.cluster import Cluster
from suite import install
from suite.install import HERE
from trials.entry import say
from trials.judgement import copy_wrong, difference, ledger_wrong
from trials.load import Worker
from trials.stage import Actor, Committed, Counter, kill_broker, make_topics, read_whole

INPUT = "eo-input"
PARTITIONS = 4
DRAIN_SECONDS = 180
# Longer than the session of the copiers that are members of a group of the classic protocol.
FREEZE_SECONDS = (11, 14)
KINDS = {"client": 5, "broker": 4, "both": 2, "freeze": 1}
CLIENTS = ("franz", "confluent", "java")


class Ledger:
    """What a writer of transactions has said."""

    def __init__(self, name: str):
        self.name = name
        self.next = 0
        self.said: dict[int, str] = {}

    def heard(self, line: str) -> None:
        what, number = line.split()
        self.said[int(number)] = what
        self.next = max(self.next, int(number) + 1)


class Pipelines:
    def __init__(self, bootstrap: str, clients: list[str], protocol: str, installed: install.Installed, folder: Path):
        self.bootstrap, self.installed = bootstrap, installed
        self.ledgers: dict[str, Ledger] = {}
        self.actors: list[Actor] = []
        self.copies = {client: f"eo-{client}" for client in clients}
        self.protocol = protocol
        for client in clients:
            for number in range(1 if client == "java" else 2):
                self._add(folder, f"{client}-copier-{number}", self._copier(client, number))
            if client != "java":
                ledger = self.ledgers[client] = Ledger(f"{client}-ledger")
                self._add(folder, ledger.name, self._writer(client, ledger), ledger.heard)

    def _add(self, folder: Path, name: str, argv, heard=lambda _: None) -> None:
        self.actors.append(Actor(name, argv, heard, folder / f"{name}.log"))

    def _program(self, client: str) -> list[str]:
        return [str(self.installed.franz)] if client == "franz" else [str(self.installed.python), str(HERE / "python" / "transact.py"), client]

    def _copier(self, client: str, number: int):
        group, target, name = f"{self.copies[client]}-group", self.copies[client], f"{client}-copier-{number}"
        if client == "java":
            jars = f"{self.installed.programs}:{self.installed.kafka_jars}/*"
            # It ends at the end of its partition, and is started again; it is no member of its group.
            argv = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", jars, "org.apache.kafka.tools.TransactionalMessageCopier",
                    "--broker-list", self.bootstrap, "--input-topic", INPUT, "--input-partition", "0", "--output-topic", target,
                    "--consumer-group", group, "--transactional-id", name, "--transaction-size", "50", "--enable-random-aborts", "--use-group-metadata"]
        else:
            argv = [*self._program(client), "copy", "--bootstrap", self.bootstrap, "--input", INPUT, "--output", target, "--group", group,
                    "--transactional-id", name, "--random-aborts", "--protocol", self.protocol]
        return lambda: argv

    def _writer(self, client: str, ledger: Ledger):
        argv = [*self._program(client), "ledger", "--bootstrap", self.bootstrap, "--topic", f"eo-{ledger.name}", "--partitions", str(PARTITIONS),
                "--transactional-id", ledger.name, "--pause", "50ms" if client == "franz" else "0.05"]
        return lambda: [*argv, "--first", str(ledger.next)]

    def topics(self) -> dict[str, int]:
        names = [*self.copies.values(), *(f"eo-{ledger.name}" for ledger in self.ledgers.values())]
        return dict.fromkeys(names, PARTITIONS)

    def copied(self, client: str) -> range:
        """The partitions that a client's copiers copy."""
        return range(1 if client == "java" else PARTITIONS)


class Trial:
    def __init__(self, cluster: Cluster, pipelines: Pipelines, rate: float, seed: int, isolation: str):
        self.cluster, self.pipelines, self.isolation = cluster, pipelines, isolation
        self.random = random.Random(seed)
        self.findings: list[str] = []
        topics = pipelines.topics()
        make_topics(cluster, topics | {INPUT: PARTITIONS})
        self.input = Counter(cluster.bootstrap, INPUT, PARTITIONS, rate, lambda number: str(number // PARTITIONS))
        self.reader = Committed(cluster.bootstrap, topics, isolation)

    def start(self) -> None:
        for worker in (self.input, self.reader):
            worker.start()
        for actor in self.pipelines.actors:
            actor.start()

    def rounds(self, count: int, kinds: list[str]) -> None:
        for number in range(count):
            kind = self.random.choices(kinds, [KINDS[kind] for kind in kinds])[0]
            actor, node = self.random.choice(self.pipelines.actors), self.random.choice(self.cluster.nodes).id
            hold, pause = self.random.uniform(0.1, 3), self.random.uniform(0.5, 5)
            say(f"{number + 1:4d}  {kind}: {actor.name if kind != 'broker' else ''} {f'node {node}' if kind in ('broker', 'both') else ''}")
            self._fault(kind, actor, node, hold)
            time.sleep(pause)
            self.look_after()

    def _fault(self, kind: str, actor: Actor, node: int, hold: float) -> None:
        if kind == "freeze":
            actor.signal(signal.SIGSTOP)
            time.sleep(self.random.uniform(*FREEZE_SECONDS))
            actor.signal(signal.SIGCONT)
            return
        if kind in ("client", "both"):
            actor.kill()
        if kind in ("broker", "both"):
            kill_broker(self.cluster, node, hold)
        if kind in ("client", "both"):
            time.sleep(hold if kind == "client" else 0)
            actor.start()
        if kind != "client":
            self.cluster.await_ready()

    def look_after(self) -> None:
        for actor in self.pipelines.actors:
            actor.look_after()
        for worker in (self.input, self.reader):
            check(worker)
        for node in self.cluster.nodes:
            if self.cluster.state(node) == "ended":
                self.findings.append(f"node {node.id} ended by itself: see {node.log}")
                self.cluster.start(node.id)

    # -- the end ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        if left := self.input.finish():
            self.findings.append(f"{left} records of the input have no answer in the end")
        say(f"{self.input.sent} records in the input; waiting until all is copied")
        if not self._drained():
            self.findings.append(f"not all is copied {DRAIN_SECONDS} s after the last fault: {self._copied()} of {self.input.sent // PARTITIONS} each")
        for actor in self.pipelines.actors:
            if not actor.end():
                self.findings.append(f"{actor.name} doesn't end by SIGTERM")
        say("reading all that is committed")
        time.sleep(3)
        self.reader.stopping.set()
        self.reader.join(30)
        self.findings += [f"the reader: {wrong}" for wrong in self.reader.wrong]
        self.judge()

    def _drained(self) -> bool:
        until = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < until:
            self.look_after()
            if min(min(counts) for counts in self._copied().values()) >= self.input.sent // PARTITIONS:
                time.sleep(2)  # for what should not come
                return True
            time.sleep(0.5)
        return False

    def _copied(self) -> dict[str, list[int]]:
        """By client, how much of each partition readers of what is committed have seen."""
        return {client: [len(self.reader.read[topic, partition]) for partition in self.pipelines.copied(client)]
                for client, topic in self.pipelines.copies.items()}

    def judge(self) -> None:
        bootstrap = self.cluster.bootstrap
        final = {at: read_whole(bootstrap, *at, self.isolation) for at in self.reader.read}
        for at, rows in final.items():
            if different := difference(self.reader.read[at], rows):
                self.findings.append(f"{at[0]}-{at[1]}, who has read all the time saw something else than who reads in the end: {different}")
        for client, topic in self.pipelines.copies.items():
            for partition in self.pipelines.copied(client):
                wanted = [value for _, _, value in read_whole(bootstrap, INPUT, partition)]
                if wrong := copy_wrong([value for _, _, value in final[topic, partition]], wanted):
                    self.findings.append(f"{client}'s copy of partition {partition}: {wrong}")
        for client, ledger in self.pipelines.ledgers.items():
            topic = f"eo-{ledger.name}"
            self.findings += ledger_wrong(ledger.name, ledger.said, [[value.decode() for _, _, value in final[topic, partition]] for partition in range(PARTITIONS)])


def check(worker: Worker) -> None:
    if worker.died is not None:
        raise RuntimeError(f"{worker.name} died") from worker.died
