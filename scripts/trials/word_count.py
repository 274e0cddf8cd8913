"""Kafka Streams' word count with exactly_once_v2 under kills, and whether its output is exact.

Every change of a count is in the output: read with read_committed, a word that is n times in the input must be there n times, with
the counts 1 to n in this order.
"""

import random
import struct
import subprocess
import time
from collections import Counter as Tally
from collections import defaultdict
from pathlib import Path

from nodes.cluster import Cluster
from suite import install
from suite.install import HERE, PEERS
from trials.entry import say
from trials.judgement import counts_wrong
from trials.stage import Actor, Committed, Counter, kill_broker, make_topics, read_whole

INPUT, OUTPUT = "lines", "counts"
PARTITIONS = 4
WORDS = 300
DRAIN_SECONDS = 180
START_SECONDS = 90


def compiled() -> str:
    """The class path of the program, built where it isn't yet."""
    jars = subprocess.run([PEERS / "kafka-jars", "streams"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    source = HERE.parent / "trials" / "streams" / "WordCount.java"
    classes = install.named_after("word-count", source, PEERS / "streams-pom.xml")
    if not install.remove_if_unfinished(classes):
        subprocess.run(["javac", "-cp", f"{jars}/*", "-d", classes, source], check=True)
        (classes / ".complete").touch()
    return f"{classes}:{jars}/*"


class Trial:
    def __init__(self, cluster: Cluster, instances: int, rate: float, seed: int, folder: Path):
        self.cluster = cluster
        self.random = random.Random(seed)
        self.findings: list[str] = []
        self.sent: Tally[str] = Tally()
        make_topics(cluster, {INPUT: PARTITIONS, OUTPUT: PARTITIONS})
        self.input = Counter(cluster.bootstrap, INPUT, PARTITIONS, rate, self._line)
        self.reader = Committed(cluster.bootstrap, {OUTPUT: PARTITIONS})
        self.states = ["" for _ in range(instances)]
        self.instances = [self._instance(number, compiled(), folder) for number in range(instances)]

    def _line(self, _: int) -> str:
        # Few words are often there and most seldom, as in a text.
        words = [f"word-{int(WORDS * self.random.random() ** 3)}" for _ in range(5)]
        self.sent.update(words)
        return " ".join(words)

    def _instance(self, number: int, classes: str, folder: Path) -> Actor:
        argv = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={PEERS / 'log4j2-tools.properties'}", "-cp", classes,
                "WordCount", "--bootstrap", self.cluster.bootstrap, "--application", "word-count", "--input", INPUT, "--output", OUTPUT,
                "--state", str(folder / f"state-{number}"), "--replicas", str(min(3, len(self.cluster.nodes)))]

        def heard(line: str) -> None:
            self.states[number] = line.removeprefix("state ")

        return Actor(f"instance {number}", lambda: argv, heard, folder / f"instance-{number}.log")

    def start(self) -> None:
        self.input.start()
        self.reader.start()
        for instance in self.instances:
            instance.start()
        self._await_output(1, START_SECONDS)

    def _await_output(self, more: int, seconds: float) -> bool:
        """Until so many changes more are in the output."""
        wanted, until = self.reader.count(OUTPUT) + more, time.monotonic() + seconds
        while time.monotonic() < until and self.reader.count(OUTPUT) < wanted:
            time.sleep(0.2)
        return self.reader.count(OUTPUT) >= wanted

    def rounds(self, count: int, brokers: bool) -> None:
        for number in range(count):
            what = self.random.choice(["instance", "instance", "broker"] if brokers else ["instance"])
            if what == "broker":
                node = self.random.choice(self.cluster.nodes).id
                say(f"{number + 1:4d}  node {node} is killed")
                kill_broker(self.cluster, node, self.random.uniform(0.1, 3))
                self.cluster.await_ready()
            else:
                instance = self.random.choice(self.instances)
                say(f"{number + 1:4d}  {instance.name} is killed")
                instance.kill()
                time.sleep(self.random.uniform(0.1, 3))
                instance.start()
            # Some go while the one before is not over, some when all goes on.
            if self.random.random() < 0.7:
                self._await_output(50, START_SECONDS)
            time.sleep(self.random.uniform(0.5, 4))
            for instance in self.instances:
                instance.look_after()

    def finish(self) -> None:
        if left := self.input.finish():
            self.findings.append(f"{left} lines have no answer in the end")
        total = sum(self.sent.values())
        say(f"{self.input.sent} lines, {total} words; waiting until all are counted")
        until = time.monotonic() + DRAIN_SECONDS
        while self.reader.count(OUTPUT) < total and time.monotonic() < until:
            time.sleep(0.5)
        if self.reader.count(OUTPUT) < total:
            self.findings.append(f"{self.reader.count(OUTPUT)} of {total} words are counted {DRAIN_SECONDS} s after the last death; the instances are {self.states}")
        time.sleep(3)  # for what should not come
        for instance in self.instances:
            if not instance.end():
                self.findings.append(f"{instance.name} doesn't end by SIGTERM")
        self.reader.stopping.set()
        self.reader.join(30)
        self.findings += self.reader.wrong
        self._judge()

    def _judge(self) -> None:
        counts: dict[str, list[int]] = defaultdict(list)
        for partition in range(PARTITIONS):
            rows = read_whole(self.cluster.bootstrap, OUTPUT, partition)
            if rows != self.reader.read[OUTPUT, partition]:
                self.findings.append(f"partition {partition}: who has read all the time saw something else than who reads in the end")
            for _, key, value in rows:
                counts[key.decode()].append(struct.unpack(">q", value)[0])
        self.findings += counts_wrong(self.sent, counts)
