"""Producers and consumers of three client libraries that run on while brokers come and go, and what must hold of them.

A producer of each library writes a topic of its own, as fast as it is told, with acks=all and idempotence; a consumer of each
reads all the topics from the beginning. All are small programs with the clients' own defaults (../python/failover.py,
../franz/failover.go, ../java/Failover.java), which speak lines:

  a producer says `PARTITION NUMBER OFFSET` for each acknowledgement, and ends when its input does;
  a consumer says `TOPIC PARTITION OFFSET NUMBER` for each record; its input is `TOPIC PARTITION END` for each partition, and
  once that has ended it reads to there and ends.
"""

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from trials.checker import Checker

from suite.install import HERE
from suite.kit import Kit
from suite.process import CheckFailed

LIBRARIES = ("librdkafka", "franz-go", "java")
END_SECONDS = 150


def command(kit: Kit, library: str) -> list[str]:
    installed = kit.shared.installed
    if library == "librdkafka":
        return [str(installed.python), str(HERE / "python" / "failover.py")]
    if library == "franz-go":
        return [str(installed.franz)]
    return [*kit.jvm("128m"), "Failover"]


class Program:
    """One of them as a process; every line that it says is handed on."""

    def __init__(self, name: str, argv: list[str], heard: Callable[[list[str]], None], log: Path):
        self.name, self.log = name, log
        self._heard = heard
        with log.open("ab") as errors:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self._heard(line.split())

    def end(self, lines: list[str]) -> None:
        """Ends its input with these lines and waits until it has ended; it must have done so without an error."""
        try:
            self.process.stdin.write("".join(f"{line}\n" for line in lines))
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise CheckFailed(f"{self.name} isn't done {END_SECONDS} s after it was told to end") from None
        self._reader.join(END_SECONDS)
        if code:
            said = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            raise CheckFailed(f"{self.name} ended with {code}: {said[-1][:300] if said else '(it said nothing)'}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Failover:
    """All of them, from start to end."""

    def __init__(self, kit: Kit, topics: dict[str, str], partitions: int, rate: int):
        """`topics` is by the library that writes it."""
        self.kit, self.topics, self.partitions = kit, topics, partitions
        self.checkers = {topic: Checker() for topic in topics.values()}
        self.ends = {(topic, partition): 0 for topic in topics.values() for partition in range(partitions)}
        self.sent = dict.fromkeys(self.ends, 0)
        self.rows: dict[str, list[tuple[str, int, int, int]]] = {library: [] for library in topics}
        self.pauses = dict.fromkeys(topics, 0.0)
        self._last: dict[tuple[str, int], float] = {}
        common = ["--bootstrap", kit.bootstrap, "--partitions", str(partitions)]
        self.producers, self.consumers = {}, {}
        for library, topic in topics.items():
            argv = [*command(kit, library), "failover-produce", *common, "--topic", topic, "--rate", str(rate)]
            self.producers[library] = self._program(f"{library} producer", argv, lambda words, at=library: self._acknowledged(at, words))
            argv = [*command(kit, library), "failover-consume", *common, "--topics", ",".join(topics.values())]
            self.consumers[library] = self._program(f"{library} consumer", argv, lambda words, at=library: self._read(at, words))

    def _program(self, name: str, argv: list[str], heard: Callable[[list[str]], None]) -> Program:
        self.kit.log.write(f"$ {' '.join(argv)}")
        return Program(name, argv, heard, self.kit.shared.logs / f"{name.replace(' ', '-')}.log")

    def _acknowledged(self, library: str, words: list[str]) -> None:
        partition, sequence, offset = map(int, words)
        topic, now = self.topics[library], time.monotonic()
        checker, at = self.checkers[topic], (topic, partition)
        # Numbers are sent in order, so all before this one were.
        while self.sent[at] <= sequence:
            self.sent[at] = checker.sending(0, partition) + 1
        checker.acknowledged(0, partition, sequence, offset)
        self.ends[at] = max(self.ends[at], offset + 1)
        self.pauses[library] = max(self.pauses[library], now - self._last.get(at, now))
        self._last[at] = now

    def _read(self, library: str, words: list[str]) -> None:
        topic, partition, offset, sequence = words[0], int(words[1]), int(words[2]), int(words[3])
        self.checkers[topic].read(f"the {library} consumer", partition, offset, 0, sequence)
        self.rows[library].append((topic, partition, offset, sequence))

    def acknowledged(self) -> dict[str, int]:
        """How many records of each library have been acknowledged."""
        return {library: self.checkers[topic].acked for library, topic in self.topics.items()}

    def kill(self) -> None:
        for program in [*self.producers.values(), *self.consumers.values()]:
            if program.process.poll() is None:
                program.kill()

    def end_producer(self, library: str) -> None:
        self.producers[library].end([])

    def end_consumer(self, library: str) -> None:
        self.consumers[library].end([f"{topic} {partition} {end}" for (topic, partition), end in self.ends.items()])

    def check(self, writer: str, reader: str) -> None:
        """What one consumer read of what one producer wrote."""
        topic = self.topics[writer]
        checker = self.checkers[topic]
        before = len(checker.findings)
        for partition in range(self.partitions):
            final = checker.final(partition)
            for _, _, offset, sequence in (row for row in self.rows[reader] if row[:2] == (topic, partition)):
                final.read(offset, 0, sequence)
            final.end(self.ends[topic, partition])
        if checker.counts:
            shown = checker.findings[before:] or checker.findings
            raise CheckFailed(f"{checker.counts}: {shown[0].kind}: {shown[0].text}")
