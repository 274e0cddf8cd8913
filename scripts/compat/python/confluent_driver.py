"""confluent-kafka (librdkafka) behind the driver's few verbs."""

import time

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec
from records import Record


def produce(args, records) -> None:
    producer = Producer(
        {
            "bootstrap.servers": args.bootstrap,
            "compression.type": args.codec,
            "acks": args.acks,
            "enable.idempotence": args.acks == "all",
            "queue.buffering.max.messages": 200_000,
            "message.max.bytes": args.max_bytes,
            "message.timeout.ms": args.timeout * 1000,
            "linger.ms": 5,
        }
    )
    errors = []

    def delivered(error, _message):
        if error is not None:
            errors.append(error)

    partition = {} if args.partition < 0 else {"partition": args.partition}
    for record in records:
        sending = {"key": record.key, "headers": record.headers, "timestamp": record.timestamp}
        while True:
            try:
                producer.produce(args.topic, record.value, on_delivery=delivered, **sending, **partition)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(args.timeout)
    if errors:
        raise KafkaException(errors[0])
    if left:
        raise TimeoutError(f"{left} records not delivered in {args.timeout} s")


def consume(args):
    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            # librdkafka wants one to make a consumer at all; with assign() and no commits it names no group
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed" if args.read_committed else "read_uncommitted",
        }
    )
    consumer.assign([TopicPartition(args.topic, args.partition, args.offset)])
    seen = 0
    deadline = time.monotonic() + args.timeout
    try:
        while seen < args.count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{seen} of {args.count} records in {args.timeout} s")
            for message in consumer.consume(min(args.count - seen, 10_000), 0.2):
                if message.error():
                    raise KafkaException(message.error())
                seen += 1
                yield _record(message)
    finally:
        consumer.close()


def _record(message) -> Record:
    kind, timestamp = message.timestamp()
    return Record(
        message.value(),
        message.key(),
        message.headers() or [],
        0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        message.offset(),
    )


def create(args) -> None:
    admin = AdminClient({"bootstrap.servers": args.bootstrap})
    config = dict(pair.split("=", 1) for pair in args.config)
    topics = [NewTopic(name, args.partitions, 1, config=config) for name in args.topic]
    for future in admin.create_topics(topics, request_timeout=args.timeout).values():
        future.result()
    _wait_until_led(admin, args)


def _wait_until_led(admin: AdminClient, args) -> None:
    """Until every partition answers as its leader. Kafka's creation returns a little earlier, and what an acks=0
    producer sends in between is lost, by that contract."""
    wanted = {TopicPartition(name, p): OffsetSpec.latest() for name in args.topic for p in range(args.partitions)}
    deadline = time.monotonic() + args.timeout
    while True:
        failed = None
        for future in admin.list_offsets(wanted, request_timeout=args.timeout).values():
            try:
                future.result()
            except KafkaException as error:
                failed = error
        if failed is None:
            return
        if time.monotonic() > deadline:
            raise failed
        time.sleep(0.05)


def delete(args) -> None:
    admin = AdminClient({"bootstrap.servers": args.bootstrap})
    for future in admin.delete_topics(args.topic, request_timeout=args.timeout).values():
        future.result()


def config(args):
    """Yields the topic's whole configuration as (name, value)."""
    admin = AdminClient({"bootstrap.servers": args.bootstrap})
    resource = ConfigResource(ConfigResource.Type.TOPIC, args.topic)
    for entry in admin.describe_configs([resource])[resource].result(args.timeout).values():
        yield entry.name, entry.value


def watermarks(args) -> tuple[int, int]:
    consumer = Consumer({"bootstrap.servers": args.bootstrap, "group.id": "unused"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(args.topic, args.partition), args.timeout)
    finally:
        consumer.close()
