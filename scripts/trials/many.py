"""A cluster with many partitions: made, restarted node by node under load, one node killed; how long each takes."""

import random
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from nodes.cluster import Cluster
from nodes.layout import ClusterError

from trials.load import PATIENCE, Worker

# As long as a cluster that is busy with many partitions may take for one thing.
LONGEST_SECONDS = 300
LEADERLESS = -1


class Fault(NamedTuple):
    led: int
    leaders: float
    ready: float
    in_sync: float


class Sender(Worker):
    """Sends to partitions at random at a fixed rate."""

    def __init__(self, bootstrap: str, topics: list[str], partitions: int, rate: float):
        super().__init__("sender")
        self.topics, self.partitions, self.rate = topics, partitions, rate
        self.sent, self.longest, self.refused = 0, 0.0, []
        self.producer = Producer(PATIENCE | {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 5,
                                             "message.timeout.ms": 120_000})

    def work(self) -> None:
        began, chosen = time.monotonic(), random.Random(1)
        while not self.stopping.is_set():
            while self.sent < (time.monotonic() - began) * self.rate:
                self.sent += 1
                self._send(chosen.choice(self.topics), chosen.randrange(self.partitions))
            self.producer.poll(0.005)

    def _send(self, topic: str, partition: int) -> None:
        sent = time.monotonic()

        def delivered(error, _) -> None:
            self.longest = max(self.longest, time.monotonic() - sent)
            if error is not None:
                self.refused.append(f"{topic}-{partition}: {error.str()}")

        self.producer.produce(topic, b"x" * 100, partition=partition, on_delivery=delivered)


class Many:
    def __init__(self, cluster: Cluster, partitions: int, topics: int, replicas: int, rate: float):
        self.cluster, self.replicas = cluster, replicas
        self.each = partitions // topics
        self.topics = [f"many-{number}" for number in range(topics)]
        self.admin = AdminClient(PATIENCE | {"bootstrap.servers": cluster.bootstrap, "socket.timeout.ms": LONGEST_SECONDS * 1000})
        self.sender = Sender(cluster.bootstrap, self.topics, self.each, rate)

    def make(self) -> float:
        """Until all are led and in sync."""
        began = time.monotonic()
        made = self.admin.create_topics([NewTopic(name, self.each, self.replicas) for name in self.topics], request_timeout=LONGEST_SECONDS)
        for future in made.values():
            future.result(LONGEST_SECONDS)
        self._await_in_sync()
        return time.monotonic() - began

    def _partitions(self) -> Iterator:
        for name, topic in self.admin.list_topics(timeout=30).topics.items():
            if name in self.topics:
                yield from topic.partitions.values()

    def _await(self, what: str, holds) -> float:
        """Gives the seconds it took."""
        began = time.monotonic()
        while time.monotonic() < began + LONGEST_SECONDS:
            try:
                found = list(self._partitions())
            except KafkaException:
                continue
            if len(found) == self.each * len(self.topics) and all(map(holds, found)):
                return time.monotonic() - began
            time.sleep(0.05)
        raise ClusterError(f"not within {LONGEST_SECONDS} s: {what}")

    def _await_in_sync(self) -> float:
        return self._await("all replicas in sync", lambda one: one.leader != LEADERLESS and len(one.isrs) == self.replicas)

    def start_load(self) -> None:
        self.sender.start()

    def end_load(self) -> tuple[int, float, list[str]]:
        """How many records were sent, how long the slowest took, and what went wrong."""
        self.sender.stopping.set()
        self.sender.join(10)
        left = self.sender.producer.flush(LONGEST_SECONDS)
        wrong = [f"the sender died: {self.sender.died!r}"] if self.sender.died else []
        return self.sender.sent, self.sender.longest, wrong + self.sender.refused + ["a record has no answer"] * left

    def restart(self, number: int) -> tuple[float, float, float]:
        """How long it took to stop, to be ready again, and to be in sync."""
        stopped = self.cluster.stop(number)
        return stopped, self._start(number), self._await_in_sync()

    def _start(self, number: int) -> float:
        began = time.monotonic()
        self.cluster.start(number)
        return time.monotonic() - began

    def kill(self, number: int) -> Fault:
        """Until others lead what the node led, and until it is back."""
        led = sum(one.leader == number for one in self._partitions())
        began = time.monotonic()
        killer = threading.Thread(target=self.cluster.kill, args=(number,))
        killer.start()
        if self.replicas > 1:
            self._await("other leaders", lambda one: one.leader not in (number, LEADERLESS))
        leaders = time.monotonic() - began
        killer.join()
        return Fault(led, leaders, self._start(number), self._await_in_sync())
