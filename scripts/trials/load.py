"""Producers and consumers on librdkafka that tell the checker all they see. A thread each."""

import random
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from trials.checker import Checker
from trials.outages import Outages
from trials.record import Damaged, decode, encode

# Above this many unanswered records of a partition the producer goes on with the others only.
WAITING = 2000
BATCH = 500
# Every third producer has several requests under way at once. When a leader fails between them, librdkafka may give records
# that were written already new sequence numbers in a new producer epoch, and so write them twice, which no broker can notice.
PIPELINED_EVERY = 3
# Quick to notice and to try again, so that what is measured is the cluster.
PATIENCE = {
    "socket.timeout.ms": 6000,
    "socket.connection.setup.timeout.ms": 3000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 500,
    "topic.metadata.refresh.interval.ms": 5000,
    "log_level": 0,
}


class Worker(threading.Thread):
    """Runs until told to stop; what it dies of is kept."""

    def __init__(self, name: str):
        super().__init__(name=name, daemon=True)
        self.stopping = threading.Event()
        self.died: Exception | None = None

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self.died = error

    def work(self) -> None:
        raise NotImplementedError


def pipelined(producer: int) -> bool:
    return producer % PIPELINED_EVERY == PIPELINED_EVERY - 1


class Sender(Worker):
    """Sends its records to all partitions in turn at a fixed rate and never gives up; with acks=all it is idempotent."""

    def __init__(self, number: int, bootstrap: str, topic: str, partitions: int, rate: float, acks: str, checker: Checker, outages: Outages):
        super().__init__(f"producer {number}")
        self.number, self.topic, self.partitions, self.rate = number, topic, partitions, rate
        self.checker, self.outages = checker, outages
        self.waiting = [0] * partitions
        self.producer = Producer(PATIENCE | {
            "bootstrap.servers": bootstrap,
            "acks": acks,
            "enable.idempotence": acks == "all",
            "max.in.flight.requests.per.connection": 5 if pipelined(number) else 1,
            "message.timeout.ms": 0,
            "request.timeout.ms": 5000,
            "linger.ms": 5,
            "compression.type": "lz4" if number % 2 else "none",
            "error_cb": self._error,
        })

    def _error(self, error: KafkaError) -> None:
        if error.fatal():
            self.checker.found("refused", f"{self.name} may send no more: {error.str()}")

    def work(self) -> None:
        began, sent = time.monotonic(), 0
        while not self.stopping.is_set():
            due = int((time.monotonic() - began) * self.rate)
            # What couldn't be sent in time isn't made up for: after an outage the rate is what it was.
            sent = max(sent, due - BATCH)
            while sent < due:
                sent += 1
                self._send(sent % self.partitions)
            self.producer.poll(0.005)

    def _send(self, partition: int) -> None:
        if self.waiting[partition] >= WAITING:
            return
        sequence = self.checker.sending(self.number, partition)
        value, now = encode(self.number, partition, sequence), time.monotonic()

        def delivered(error: KafkaError | None, message) -> None:
            self.waiting[partition] -= 1
            if error is not None:
                self.checker.refused(self.number, partition, sequence, error.str())
                return
            # Of a record that was written by an earlier try the client isn't always told where.
            offset = message.offset()
            self.checker.acknowledged(self.number, partition, sequence, -1 if offset is None else offset)
            self.outages.acknowledged(partition, now, time.monotonic())

        self.waiting[partition] += 1
        self.producer.produce(self.topic, value, partition=partition, on_delivery=delivered)

    def drain(self, seconds: float) -> int:
        """Waits for what is under way; gives how many records have no answer even then."""
        return self.producer.flush(seconds)


def consumer(bootstrap: str) -> Consumer:
    return Consumer(PATIENCE | {
        "bootstrap.servers": bootstrap,
        "group.id": "unused",  # librdkafka wants one; with assign() and no commits it names no group
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100,
        "check.crcs": True,
    })


def read_batch(client: Consumer, name: str, count: int, checker: Checker) -> int:
    """Takes what comes within a moment and tells the checker; gives how many records that were."""
    records = 0
    for message in client.consume(count, 0.2):
        error = message.error()
        if error is not None:
            if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION, KafkaError._BAD_MSG):
                checker.found("gone", f"partition {message.partition()}, {name} at offset {message.offset()}: {error.str()}")
            # Others pass: a leader that is being looked for, a broker that is down.
            continue
        records += 1
        try:
            producer, sequence = decode(message.value(), message.partition())
        except Damaged as damage:
            checker.damaged(name, message.partition(), message.offset(), str(damage))
            continue
        checker.read(name, message.partition(), message.offset(), producer, sequence)
    return records


class Follower(Worker):
    """Reads all partitions from the beginning and then what comes."""

    def __init__(self, number: int, bootstrap: str, topic: str, partitions: int, checker: Checker):
        super().__init__(f"consumer {number}")
        self.bootstrap, self.topic, self.partitions, self.checker = bootstrap, topic, partitions, checker

    def work(self) -> None:
        client = consumer(self.bootstrap)
        client.assign([TopicPartition(self.topic, partition, 0) for partition in range(self.partitions)])
        for partition in range(self.partitions):
            self.checker.reading(self.name, partition, 0)
        try:
            while not self.stopping.is_set():
                read_batch(client, self.name, BATCH, self.checker)
        finally:
            client.close()


class Wanderer(Worker):
    """A new consumer again and again, which reads a part of a partition from anywhere in it."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, checker: Checker, seed: int):
        super().__init__("wanderer")
        self.bootstrap, self.topic, self.partitions, self.checker = bootstrap, topic, partitions, checker
        self.random = random.Random(seed)

    def work(self) -> None:
        while not self.stopping.wait(0.5):
            partition = self.random.randrange(self.partitions)
            client = consumer(self.bootstrap)
            try:
                low, high = client.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=5)
                offset = self.random.randrange(low, max(high, low + 1))
                self.checker.reading(self.name, partition, offset)
                client.assign([TopicPartition(self.topic, partition, offset)])
                left, until = min(2000, high - offset), time.monotonic() + 10
                while left > 0 and time.monotonic() < until and not self.stopping.is_set():
                    left -= read_batch(client, self.name, left, self.checker)
            except KafkaException:
                # Nobody leads the partition just now.
                pass
            finally:
                client.close()


def read_whole(bootstrap: str, topic: str, partition: int, checker: Checker, seconds: float) -> int:
    """The last reading of a partition, from its leader; gives where it ends."""
    client = consumer(bootstrap)
    final = checker.final(partition)
    try:
        _, high = client.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
        client.assign([TopicPartition(topic, partition, 0)])
        at, until = 0, time.monotonic() + seconds
        while at < high and time.monotonic() < until:
            for message in client.consume(BATCH, 0.5):
                if message.error() is not None:
                    checker.found("gone", f"partition {partition}, the last reading at offset {at}: {message.error().str()}")
                    continue
                at = message.offset() + 1
                try:
                    final.read(message.offset(), *decode(message.value(), partition))
                except Damaged as damage:
                    final.damaged(message.offset(), str(damage))
        final.end(high)
        return high
    finally:
        client.close()
