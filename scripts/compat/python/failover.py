"""confluent-kafka (librdkafka) while brokers come and go; written alike for every client (see ../suite/failover.py).

    failover.py failover-produce --bootstrap HOST:PORT,... --topic T --partitions N --rate N
    failover.py failover-consume --bootstrap HOST:PORT,... --topics T,... --partitions N

The producer counts from 0 in each partition and prints what is acknowledged; the consumer prints what it reads until it has
been told where to end. Both go on until their input ends.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


def watch_input(line: Callable[[str], None]) -> threading.Thread:
    thread = threading.Thread(target=lambda: [line(text) for text in sys.stdin], daemon=True)
    thread.start()
    return thread


def produce(args: argparse.Namespace) -> None:
    failed: list[str] = []
    given = watch_input(lambda _: None)
    # One request at a time: with more, librdkafka may send records that were written anew, as new ones, when a leader fails.
    producer = Producer({"bootstrap.servers": args.bootstrap, "acks": "all", "enable.idempotence": True, "max.in.flight": 1})
    began, sent = time.monotonic(), 0
    while given.is_alive() and not failed:
        partition, sequence = sent % args.partitions, sent // args.partitions

        def delivered(error, message, partition=partition, sequence=sequence):
            if error is not None:
                failed.append(f"partition {partition}, record {sequence}: {error}")
            else:
                # Of a record that was written by an earlier try the client isn't always told where.
                offset = message.offset()
                print(partition, sequence, -1 if offset is None else offset, flush=True)

        producer.produce(args.topic, str(sequence), partition=partition, on_delivery=delivered)
        sent += 1
        producer.poll(max(0.0, began + sent / args.rate - time.monotonic()))
    producer.flush()
    if failed:
        raise RuntimeError(failed[0])


def consume(args: argparse.Namespace) -> None:
    ends: dict[tuple[str, int], int] = {}

    def told(line: str) -> None:
        topic, partition, end = line.split()
        ends[topic, int(partition)] = int(end)

    given = watch_input(told)
    consumer = Consumer({"bootstrap.servers": args.bootstrap, "group.id": "unused", "enable.auto.commit": False, "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, partition, 0) for topic in args.topics.split(",") for partition in range(args.partitions)])
    position: dict[tuple[str, int], int] = {}
    try:
        while given.is_alive() or any(position.get(at, 0) < end for at, end in ends.items()):
            for message in consumer.consume(500, 0.3):
                if message.error():
                    if message.error().code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION):
                        raise KafkaException(message.error())
                    continue
                position[message.topic(), message.partition()] = message.offset() + 1
                print(message.topic(), message.partition(), message.offset(), message.value().decode())
            sys.stdout.flush()
    finally:
        consumer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("failover-produce", "failover-consume"):
        sub = verbs.add_parser(verb)
        sub.add_argument("--bootstrap", required=True)
        sub.add_argument("--partitions", type=int, required=True)
    verbs.choices["failover-produce"].add_argument("--topic", required=True)
    verbs.choices["failover-produce"].add_argument("--rate", type=float, required=True)
    verbs.choices["failover-consume"].add_argument("--topics", required=True)
    args = parser.parse_args()
    produce(args) if args.verb == "failover-produce" else consume(args)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the one line that a failed check shows
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
