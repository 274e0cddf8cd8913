"""Programs that are killed and started again, and readers of what is committed."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from nodes.cluster import Cluster
from nodes.layout import ClusterError

from trials.load import PATIENCE, Worker

END_SECONDS = 60
READ_SECONDS = 300


def make_topics(cluster: Cluster, topics: dict[str, int]) -> None:
    """`topics` is the number of partitions by name."""
    replicas = min(3, len(cluster.nodes))
    config = {"min.insync.replicas": str(min(2, replicas)), "retention.ms": "-1"}
    admin = AdminClient(PATIENCE | {"bootstrap.servers": cluster.bootstrap})
    for made in admin.create_topics([NewTopic(name, count, replicas, config=config) for name, count in topics.items()]).values():
        made.result(60)


class Actor:
    """A program with many lives. Its lines are handed on; what it says of errors is in its log."""

    def __init__(self, name: str, argv: Callable[[], list[str]], heard: Callable[[str], None], log: Path):
        self.name, self.log = name, log
        self._argv, self._heard = argv, heard
        self.process: subprocess.Popen | None = None
        self.lives = 0
        self.ended = 0  # how often by itself, with an error
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        self.lives += 1
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen(self._argv(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._reader = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        self._reader.start()

    def _listen(self, process: subprocess.Popen) -> None:
        for line in process.stdout:
            self._heard(line.strip())

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._reader.join(END_SECONDS)

    def signal(self, number: int) -> None:
        if self.alive():
            self.process.send_signal(number)

    def look_after(self) -> None:
        """Starts it again where it has ended by itself."""
        if not self.alive():
            self._reader.join(END_SECONDS)
            self.ended += self.process.returncode != 0
            self.start()

    def end(self) -> bool:
        """As SIGTERM does; false when it had to be killed."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self._reader.join(END_SECONDS)
        return True


class Counter(Worker):
    """Produces what it is given to all partitions in turn at a rate, and never gives up."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, rate: float, value: Callable[[int], str]):
        super().__init__(f"producer to {topic}")
        self.topic, self.partitions, self.rate, self.value = topic, partitions, rate, value
        self.sent = 0
        # One request at a time: with more, librdkafka may send records that were written anew, as new ones, when a leader fails.
        self.producer = Producer(PATIENCE | {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "message.timeout.ms": 0,
                                             "max.in.flight": 1, "linger.ms": 5})

    def work(self) -> None:
        began = time.monotonic()
        while not self.stopping.is_set():
            while self.sent < (time.monotonic() - began) * self.rate and len(self.producer) < 50_000:
                self.producer.produce(self.topic, self.value(self.sent), partition=self.sent % self.partitions)
                self.sent += 1
            self.producer.poll(0.01)

    def finish(self) -> int:
        """Stops; gives how many records have no answer in the end."""
        self.stopping.set()
        self.join(END_SECONDS)
        return self.producer.flush(2 * END_SECONDS)


def committed_reader(bootstrap: str, **more) -> Consumer:
    # The group is named and never joined: with assign() and no commits librdkafka asks nothing of it.
    return Consumer(PATIENCE | {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "auto.offset.reset": "error",
                                "isolation.level": "read_committed", "fetch.wait.max.ms": 100, "check.crcs": True} | more)


Record = tuple[int, bytes | None, bytes]  # offset, key, value


class Committed(Worker):
    """Reads what is committed, from the beginning and then what comes, for the whole trial."""

    def __init__(self, bootstrap: str, topics: dict[str, int], isolation: str = "read_committed"):
        super().__init__("reader")
        self.bootstrap, self.topics, self.isolation = bootstrap, topics, isolation
        self.read: dict[tuple[str, int], list[Record]] = {(topic, partition): [] for topic, count in topics.items() for partition in range(count)}
        self.wrong: list[str] = []

    def work(self) -> None:
        client = committed_reader(self.bootstrap, **{"isolation.level": self.isolation})
        client.assign([TopicPartition(topic, partition, 0) for topic, partition in self.read])
        while not self.stopping.is_set():
            for message in client.consume(500, 0.2):
                error = message.error()
                if error is None:
                    self.read[message.topic(), message.partition()].append((message.offset(), message.key(), message.value()))
                elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION, KafkaError._BAD_MSG):
                    self.wrong.append(f"{message.topic()}-{message.partition()} at offset {message.offset()}: {error.str()}")
        client.close()

    def count(self, topic: str) -> int:
        return sum(len(rows) for (of, _), rows in self.read.items() if of == topic)


def read_whole(bootstrap: str, topic: str, partition: int, isolation: str = "read_committed") -> list[Record]:
    """All of a partition, up to its high watermark, where no transaction may be open any more."""
    client = committed_reader(bootstrap, **{"enable.partition.eof": True, "isolation.level": isolation})
    at, rows, until = TopicPartition(topic, partition, 0), [], time.monotonic() + READ_SECONDS
    try:
        client.assign([at])
        while time.monotonic() < until:
            for message in client.consume(500, 0.5):
                error = message.error()
                if error is None:
                    rows.append((message.offset(), message.key(), message.value()))
                elif error.code() == KafkaError._PARTITION_EOF and message.offset() >= client.get_watermark_offsets(at, 30, cached=False)[1]:
                    return rows
        raise ClusterError(f"{topic}-{partition} can't be read to its end within {READ_SECONDS} s: it stands at {client.position([at])[0].offset}, "
                           f"the high watermark is {client.get_watermark_offsets(at, 30, cached=False)[1]}; a transaction may hang")
    finally:
        client.close()


def kill_broker(cluster: Cluster, number: int, hold: float) -> None:
    cluster.kill(number)
    time.sleep(hold)
    cluster.start(number, wait=False)
