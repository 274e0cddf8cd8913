"""kafka-python (a client of its own, no librdkafka) behind the driver's few verbs."""

import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from records import Record


def produce(args, records) -> None:
    producer = KafkaProducer(
        bootstrap_servers=args.bootstrap,
        compression_type=None if args.codec == "none" else args.codec,
        acks="all" if args.acks == "all" else int(args.acks),
        enable_idempotence=args.acks == "all",
        max_request_size=args.max_bytes,
        linger_ms=5,
    )
    partition = None if args.partition < 0 else args.partition
    sent = []
    for record in records:
        future = producer.send(
            args.topic,
            record.value,
            key=record.key,
            headers=record.headers,
            partition=partition,
            timestamp_ms=record.timestamp or None,
        )
        # Keeping a million futures costs more than the records; the last of each batch reports the same errors.
        sent = [f for f in sent if not f.is_done or f.failed()] if len(sent) > 10_000 else sent
        sent.append(future)
    producer.flush(args.timeout)
    for future in sent:
        future.get(args.timeout)
    producer.close()


def consume(args):
    consumer = KafkaConsumer(
        bootstrap_servers=args.bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed" if args.read_committed else "read_uncommitted",
    )
    place = TopicPartition(args.topic, args.partition)
    consumer.assign([place])
    consumer.seek(place, args.offset)
    seen = 0
    deadline = time.monotonic() + args.timeout
    try:
        while seen < args.count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{seen} of {args.count} records in {args.timeout} s")
            polled = consumer.poll(timeout_ms=200, max_records=min(args.count - seen, 10_000))
            for message in polled.get(place, []):
                seen += 1
                yield Record(message.value, message.key, message.headers, message.timestamp, message.offset)
    finally:
        consumer.close()


def create(args) -> None:
    admin = KafkaAdminClient(bootstrap_servers=args.bootstrap)
    config = dict(pair.split("=", 1) for pair in args.config)
    admin.create_topics([NewTopic(name, args.partitions, 1, topic_configs=config) for name in args.topic])
    admin.close()


def delete(args) -> None:
    admin = KafkaAdminClient(bootstrap_servers=args.bootstrap)
    admin.delete_topics(args.topic)
    admin.close()


def config(args):
    """Yields (name, value); this library shows only what was set, not the defaults."""
    admin = KafkaAdminClient(bootstrap_servers=args.bootstrap)
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, args.topic)])
    admin.close()
    for name, entry in described["topic"][args.topic].items():
        yield name, entry["value"]


def watermarks(args) -> tuple[int, int]:
    consumer = KafkaConsumer(bootstrap_servers=args.bootstrap, group_id=None)
    place = TopicPartition(args.topic, args.partition)
    try:
        return consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
    finally:
        consumer.close()
