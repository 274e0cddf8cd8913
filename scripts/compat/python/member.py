"""A member of a consumer group, which says what happens to it in the form of Kafka's VerifiableConsumer: one JSON object a line
(see ../suite/members.py). It commits what it has read after every poll, and leaves on SIGTERM.

    member.py (confluent|kafka-python|aiokafka) --bootstrap HOST:PORT --group G --topic T,… [--protocol classic|consumer] …
"""

import argparse
import asyncio
import json
import signal
import sys
import threading
import time

STOPPING = threading.Event()
SPEAKING = threading.Lock()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=("confluent", "kafka-python", "aiokafka"))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--topic", required=True, help="with commas; librdkafka takes one that begins with ^ for a pattern")
    parser.add_argument("--protocol", default="classic", choices=("classic", "consumer"))
    parser.add_argument("--assignor", default="")
    parser.add_argument("--instance", default="")
    parser.add_argument("--session-timeout", type=int, default=0, metavar="MS", help="of the classic protocol")
    parser.add_argument("--quiet", action="store_true", help="say nothing of single records' values")
    return parser.parse_args()


def say(name: str, **what) -> None:
    with SPEAKING:
        print(json.dumps({"name": name, "at": time.monotonic()} | what), flush=True)


def places(partitions) -> list[dict]:
    return [{"topic": at.topic, "partition": at.partition} for at in partitions]


def told_of_record(args, topic: str, partition: int, offset: int, value: bytes) -> None:
    say("record_data", topic=topic, partition=partition, offset=offset, value="" if args.quiet else value.decode())


def told_of_commit(ends: dict[tuple[str, int], int], error: Exception | None) -> None:
    offsets = [{"topic": topic, "partition": partition, "offset": end} for (topic, partition), end in ends.items()]
    say("offsets_committed", offsets=offsets, success=error is None, **({"error": str(error)} if error else {}))


def confluent(args) -> None:
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    settings = {"bootstrap.servers": args.bootstrap, "group.id": args.group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    if args.protocol == "consumer":
        settings |= {"group.protocol": "consumer"} | ({"group.remote.assignor": args.assignor} if args.assignor else {})
    else:
        settings |= {"partition.assignment.strategy": args.assignor} if args.assignor else {}
        settings |= {"session.timeout.ms": args.session_timeout} if args.session_timeout else {}
    if args.instance:
        settings["group.instance.id"] = args.instance
    consumer = Consumer(settings)
    consumer.subscribe(
        args.topic.split(","),
        on_assign=lambda _, at: say("partitions_assigned", partitions=places(at)),
        on_revoke=lambda _, at: say("partitions_revoked", partitions=places(at)),
        on_lost=lambda _, at: say("partitions_lost", partitions=places(at)),
    )
    say("startup_complete")
    while not STOPPING.is_set():
        ends = {}
        for message in consumer.consume(500, 0.2):
            if message.error():
                say("error", error=str(message.error()))
                continue
            told_of_record(args, message.topic(), message.partition(), message.offset(), message.value())
            ends[message.topic(), message.partition()] = message.offset() + 1
        if ends:
            failed = None
            try:
                consumer.commit(offsets=[TopicPartition(*at, end) for at, end in ends.items()], asynchronous=False)
            except KafkaException as error:
                failed = error
            told_of_commit(ends, failed)
    consumer.close()


def kafka_python(args) -> None:
    from kafka import KafkaConsumer
    from kafka.consumer.subscription_state import ConsumerRebalanceListener
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from kafka.errors import KafkaError

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            say("partitions_revoked", partitions=places(revoked))

        def on_partitions_assigned(self, assigned):
            say("partitions_assigned", partitions=places(assigned))

        def on_partitions_lost(self, lost):
            say("partitions_lost", partitions=places(lost))

    assignors = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "cooperative-sticky": CooperativeStickyAssignor}
    options = {"partition_assignment_strategy": [assignors[args.assignor]]} if args.assignor else {}
    options |= {"session_timeout_ms": args.session_timeout, "heartbeat_interval_ms": min(3000, args.session_timeout // 3)} if args.session_timeout else {}
    options |= {"group_instance_id": args.instance} if args.instance else {}
    consumer = KafkaConsumer(bootstrap_servers=args.bootstrap, group_id=args.group, enable_auto_commit=False, auto_offset_reset="earliest", **options)
    consumer.subscribe(topics=args.topic.split(","), listener=Listener())
    say("startup_complete")
    while not STOPPING.is_set():
        ends = {}
        for at, messages in consumer.poll(timeout_ms=200).items():
            for message in messages:
                told_of_record(args, at.topic, at.partition, message.offset, message.value)
                ends[at.topic, at.partition] = message.offset + 1
        if ends:
            failed = None
            try:
                consumer.commit()
            except KafkaError as error:
                failed = error
            told_of_commit(ends, failed)
    consumer.close()


async def aio(args) -> None:
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from aiokafka.errors import KafkaError

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            say("partitions_revoked", partitions=places(revoked))

        async def on_partitions_assigned(self, assigned):
            say("partitions_assigned", partitions=places(assigned))

    assignors = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}
    options = {"partition_assignment_strategy": [assignors[args.assignor]]} if args.assignor else {}
    options |= {"session_timeout_ms": args.session_timeout, "heartbeat_interval_ms": min(3000, args.session_timeout // 3)} if args.session_timeout else {}
    options |= {"group_instance_id": args.instance} if args.instance else {}
    consumer = AIOKafkaConsumer(bootstrap_servers=args.bootstrap, group_id=args.group, enable_auto_commit=False, auto_offset_reset="earliest", **options)
    consumer.subscribe(topics=args.topic.split(","), listener=Listener())
    await consumer.start()
    say("startup_complete")
    while not STOPPING.is_set():
        ends = {}
        for at, messages in (await consumer.getmany(timeout_ms=200)).items():
            for message in messages:
                told_of_record(args, at.topic, at.partition, message.offset, message.value)
                ends[at.topic, at.partition] = message.offset + 1
        if ends:
            failed = None
            try:
                await consumer.commit()
            except KafkaError as error:
                failed = error
            told_of_commit(ends, failed)
    await consumer.stop()


def main() -> None:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: STOPPING.set())
    members = {"confluent": confluent, "kafka-python": kafka_python, "aiokafka": lambda args: asyncio.run(aio(args))}
    members[args.library](args)
    say("shutdown_complete")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the one line a failed check shows
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
