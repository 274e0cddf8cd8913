"""What a record carries besides its value, sizes, timestamps, producer ids, and the load tool."""

import base64
import json
import re
import time

from suite.kit import Kit, expect, expect_same

CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
PERF = "org.apache.kafka.tools.ProducerPerformance"
READERS = ("confluent", "kafka-python", "franz")


def checks(quick: bool):
    found = [(f"records/content-from-{name}", _content_check(name)) for name in READERS]
    return found + [
        ("records/console-keys-headers", console_keys_headers),
        ("records/kcat-keys-headers", kcat_keys_headers),
        ("records/keys-choose-partitions", keys_choose_partitions),
        ("records/append-time", append_time),
        ("records/too-large", too_large),
        ("records/large", large),
        ("records/read-committed", read_committed),
        ("records/idempotent-restarts", idempotent_restarts),
        ("records/producer-perf-test", producer_perf_test),
    ]


def encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def odd_records(all_nulls: bool) -> list[dict]:
    """Nulls, empties, every byte value, many headers, repeated header names, timestamps out of order."""
    now = int(time.time() * 1000) - 60_000
    every_byte = bytes(range(256))
    rows = [
        (b"key", b"value", []),
        (None, b"no key", []),
        (b"tombstone", None, []),
        (b"", b"", [("empty", b"")]),
        (every_byte, every_byte * 40, [("bytes", every_byte)]),
        ("schlüssel".encode(), "данные 数据".encode(), [("наименование", "заголовок".encode())]),
        (b"many", b"headers", [(f"h{n}", b"%d" % n) for n in range(100)]),
        (b"twice", b"same name", [("same", b"1"), ("same", b"2")]),
        (b"long", b"x" * 200_000, []),
    ]
    if all_nulls:
        rows += [(b"null", b"header", [("null", None)]), (None, None, [])]
    made = []
    for number, (key, value, headers) in enumerate(rows):
        heads = [{"n": name, "v": encoded(data)} for name, data in headers]
        made.append({"k": encoded(key), "v": encoded(value), "h": heads, "t": now + (number * 7919) % 5000})
    return made


def as_lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def read_rows(kit: Kit, reader: str, topic: str, partition: int, count: int) -> list[dict]:
    args = ["--topic", topic, "--partition", partition, "--count", count, "--json"]
    read = kit.franz("consume", *args) if reader == "franz" else kit.driver(reader, "consume", *args)
    return [json.loads(line) for line in read.out.splitlines()]


def _content_check(producer: str):
    def check(kit: Kit):
        # kafka-python itself refuses null headers, and records with neither key nor value.
        rows = odd_records(all_nulls=producer != "kafka-python")
        topic = kit.topic(f"content-{producer}", 2)
        for partition, codec in enumerate(("none", "zstd")):
            args = ["--topic", topic, "--partition", partition, "--codec", codec, "--json"]
            send = kit.franz if producer == "franz" else (lambda verb, *a, **o: kit.driver(producer, verb, *a, **o))
            send("produce", *args, stdin=as_lines(rows))
            for reader in READERS:
                for offset, (got, sent) in enumerate(zip(read_rows(kit, reader, topic, partition, len(rows)), rows, strict=True)):
                    seen = {field: got[field] for field in sent}
                    expect(seen == sent, f"{codec}, read by {reader}: record {offset} is {str(seen)[:120]}, not {str(sent)[:120]}")
                    expect(got["o"] == offset, f"read by {reader}: offset {got['o']} in place of {offset}")

    return check


def console_keys_headers(kit: Kit):
    topic = kit.topic("console-keys")
    lines = b"h1:a,h2:b\tk1\tv1\nh1:c\tk2\tv2\n"
    shape = ["--property", "parse.key=true", "--property", "parse.headers=true"]
    kit.tool("org.apache.kafka.tools.ConsoleProducer", "--topic", topic, *shape, stdin=lines)
    shown = [f"--property=print.{what}=true" for what in ("key", "headers", "offset", "partition")]
    got = kit.tool(CONSUMER, "--topic", topic, "--partition", 0, "--offset", "earliest", "--max-messages", 2,
                   "--timeout-ms", 60_000, *shown).out
    wanted = b"Partition:0\tOffset:0\th1:a,h2:b\tk1\tv1\nPartition:0\tOffset:1\th1:c\tk2\tv2\n"
    expect_same(got, wanted, "keys and headers through the console tools")


def kcat_keys_headers(kit: Kit):
    topic = kit.topic("kcat-keys")
    kit.kcat("-P", "-t", topic, "-p", 0, "-K", ":", "-H", "a=1", "-H", "b=2", stdin=b"k1:v1\nk2:v2\n")
    got = kit.kcat("-C", "-q", "-t", topic, "-p", 0, "-o", "beginning", "-e", "-f", "%o %k %s %h\\n").out
    expect_same(got, b"0 k1 v1 a=1,b=2\n1 k2 v2 a=1,b=2\n", "keys and headers through kcat")


def keys_choose_partitions(kit: Kit):
    """Six partitions, written by key: every record is somewhere once, and one key always in one place."""
    topic = kit.topic("keyed", 6)
    rows = [{"k": encoded(b"key-%d" % (n % 50)), "v": encoded(b"value-%d" % n)} for n in range(1000)]
    for producer in ("franz", "confluent"):
        send = kit.franz if producer == "franz" else (lambda verb, *a, **o: kit.driver("confluent", verb, *a, **o))
        send("produce", "--topic", topic, "--partition", -1, "--codec", "snappy", "--json", stdin=as_lines(rows))
    homes: dict[tuple[str, str], set[int]] = {}
    values = []
    for partition in range(6):
        end = int(kit.driver("confluent", "watermarks", "--topic", topic, "--partition", partition).text.split()[1])
        for row in read_rows(kit, "franz", topic, partition, end):
            # The two libraries hash keys differently; their records are told apart by their order of arrival.
            homes.setdefault(row["k"], set()).add(partition)
            values.append(row["v"])
    expect(sorted(values) == sorted([row["v"] for row in rows] * 2), f"{len(values)} records read, 2000 written")
    expect(all(len(places) <= 2 for places in homes.values()), "a key is in more partitions than there are hashes")


def append_time(kit: Kit):
    topic = kit.topic("append-time", message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    rows = [{"k": None, "v": encoded(b"%0200d" % n), "h": [], "t": 1_600_000_000_000 + n} for n in range(5)]
    for codec in ("none", "gzip"):
        kit.franz("produce", "--topic", topic, "--codec", codec, "--json", stdin=as_lines(rows))
    after = int(time.time() * 1000)
    seen = [json.loads(line) for line in kit.franz("consume", "--topic", topic, "--count", 10, "--json").out.splitlines()]
    expect(all(row["append_time"] for row in seen), "records don't say that their time is the append time")
    expect(all(before <= row["t"] <= after for row in seen), f"time is {seen[0]['t']}, appended {before}..{after}")
    for reader in ("confluent", "kafka-python"):
        times = [row["t"] for row in read_rows(kit, reader, topic, 0, 10)]
        expect(times == [row["t"] for row in seen], f"{reader} sees other times than franz")


def too_large(kit: Kit):
    """Over max.message.bytes: Kafka's error by name in every client, and the partition goes on working."""
    topic = kit.topic("too-large", max_message_bytes="100000")
    big, small = kit.file("big.txt", b"x" * 200_000 + b"\n"), kit.file("small.txt", b"small\n")
    args = ["--topic", topic]
    refused = kit.driver("confluent", "produce", *args, stdin=big, fails=True)
    expect("MSG_SIZE_TOO_LARGE" in refused.err, f"confluent: {refused.last_words()}")
    refused = kit.franz("produce", *args, stdin=big, fails=True)
    expect("MESSAGE_TOO_LARGE" in refused.err, f"franz: {refused.last_words()}")
    said = kit.tool("org.apache.kafka.tools.ConsoleProducer", *args, "--sync", stdin=big, fails=None)
    expect("RecordTooLargeException" in said.err + said.text, f"console producer: {said.last_words()}")
    kit.client("franz").produce(topic, 0, small)
    expect_same(kit.client("kcat").consume(topic, 0, 1), b"small\n", "after the refusals")
    # What counts is the compressed size.
    kit.client("franz").produce(topic, 0, big, "gzip")
    expect_same(kit.client("confluent").consume(topic, 0, 1, 1), big.read_bytes(), "200 kB that compress well")


def large(kit: Kit):
    """Batches near the default limit, in each direction."""
    topic = kit.topic("large")
    content = b"".join(b"%d" % n * 900_000 + b"\n" for n in range(1, 6))
    file = kit.file("large.txt", content)
    for start, client in ((0, "confluent"), (5, "franz"), (10, "kafka-python")):
        kit.client(client).produce(topic, 0, file)
        for reader in ("kcat", "franz"):
            expect_same(kit.client(reader).consume(topic, 0, 5, start), content, f"written by {client}, read by {reader}")
    if not kit.quick:
        expect_same(kit.client("java").consume(topic, 0, 15), content * 3, "read by the console consumer")


def read_committed(kit: Kit):
    """Nothing transactional is there: a read_committed reader sees everything, up to the end."""
    topic = kit.topic("read-committed")
    content = b"".join(b"line %d\n" % n for n in range(200))
    kit.client("franz").produce(topic, 0, kit.file("committed.txt", content), "lz4")
    args = ["--topic", topic, "--count", 200, "--read-committed"]
    expect_same(kit.franz("consume", *args).out, content, "franz")
    for library in ("confluent", "kafka-python"):
        expect_same(kit.driver(library, "consume", *args).out, content, library)
    got = kit.tool(CONSUMER, "--topic", topic, "--partition", 0, "--offset", "earliest", "--max-messages", 200,
                   "--timeout-ms", 60_000, "--isolation-level", "read_committed").out
    expect_same(got, content, "console consumer")


def idempotent_restarts(kit: Kit):
    """Idempotent producers one after another on one partition: ids differ, each starts its own sequence."""
    topic = kit.topic("idempotent")
    content = b"".join(b"line %d\n" % n for n in range(100))
    file = kit.file("idempotent.txt", content)
    for client in ("franz", "confluent", "kafka-python", "franz"):
        kit.client(client).produce(topic, 0, file)
    kit.client("java").produce(topic, 0, file)
    rows = read_rows(kit, "franz", topic, 0, 500)
    ids = [rows[100 * n]["pid"] for n in range(5)]
    expect(all(pid >= 0 for pid in ids) and len(set(ids)) == 5, f"producer ids: {ids}")
    expect_same(kit.client("kcat").consume(topic, 0, 500), content * 5, "all five")


def producer_perf_test(kit: Kit):
    topic = kit.topic("perf", 6)
    count = 100_000 if kit.quick else 1_000_000
    for acks in ("1", "all"):
        said = kit.java(PERF, "--topic", topic, "--num-records", count, "--record-size", 100, "--throughput", -1,
                        "--producer-props", f"bootstrap.servers={kit.bootstrap}", f"acks={acks}", heap="512m")
        last = said.text.strip().splitlines()[-1]
        expect(re.match(rf"{count} records sent, .*99.9th", last), f"it says: {last}")
    ends = kit.tool("org.apache.kafka.tools.GetOffsetShell", "--topic", topic).text.split()
    total = sum(int(line.rsplit(":", 1)[1]) for line in ends)
    expect(total == 2 * count, f"{2 * count} records sent, the partitions' ends add up to {total}")
