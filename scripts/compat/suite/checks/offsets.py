"""Where reading starts and what offsets mean: kafka-get-offsets, kafka-delete-records, by time, out of range, waiting."""

import json
import subprocess
import threading
import time

from suite.kit import Kit, expect, expect_same

GET = "org.apache.kafka.tools.GetOffsetShell"
CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
HOUR_MS = 3_600_000


def checks(quick: bool):
    return [
        ("offsets/get-offsets", get_offsets),
        ("offsets/by-time", by_time),
        ("offsets/delete-records", delete_records),
        ("offsets/out-of-range", out_of_range),
        ("offsets/console-consumer-start", console_consumer_start),
        ("offsets/kcat-start", kcat_start),
        ("offsets/waits-at-the-end", waits_at_the_end),
        ("offsets/small-fetches", small_fetches),
    ]


def numbered(kit: Kit, count: int) -> bytes:
    return b"".join(b"record %06d of a partition\n" % n for n in range(count))


def filled(kit: Kit, name: str, count: int) -> tuple[str, bytes]:
    topic = kit.topic(name)
    content = numbered(kit, count)
    kit.client("kcat").produce(topic, 0, kit.file(f"{name}.txt", content), "lz4")
    return topic, content


def offset_by_tool(kit: Kit, topic: str, at: object) -> str:
    return kit.tool(GET, "--topic", topic, "--time", at).text.strip()


def get_offsets(kit: Kit):
    topic = kit.topic("get-offsets", 2)
    file = kit.file("get-offsets.txt", numbered(kit, 1000))
    kit.client("franz").produce(topic, 1, file, "zstd")
    said = offset_by_tool(kit, topic, "latest").split()
    expect(said == [f"{topic}:0:0", f"{topic}:1:1000"], f"latest: {said}")
    said = offset_by_tool(kit, topic, "earliest").split()
    expect(said == [f"{topic}:0:0", f"{topic}:1:0"], f"earliest: {said}")
    for library in ("confluent", "kafka-python"):
        seen = kit.driver(library, "watermarks", "--topic", topic, "--partition", 1).text.split()
        expect(seen == ["0", "1000"], f"{library} sees {seen}")


def dated(kit: Kit, name: str) -> tuple[str, int]:
    """Ten records a minute apart in three batches of different codecs; the greatest timestamp is not the last."""
    topic = kit.topic(name)
    base = (int(time.time()) - 7200) * 1000
    minutes = [[0, 1, 2, 3], [4, 5, 9, 6], [7, 8]]
    for codec, batch in zip(("none", "gzip", "zstd"), minutes, strict=True):
        rows = (json.dumps({"k": None, "v": "YWFhYWFhYWFhYWFhYWFh", "t": base + 60_000 * minute}) for minute in batch)
        kit.franz("produce", "--topic", topic, "--codec", codec, "--json", stdin=("\n".join(rows) + "\n").encode())
    return topic, base


def by_time(kit: Kit):
    topic, base = dated(kit, "by-time")
    # (asked for, first offset whose timestamp is at or after it); None: there is none
    cases = [(base, 0), (base + 60_000, 1), (base + 60_001, 2), (base + 240_000, 4), (base + 300_001, 6),
             (base + 540_000, 6), (base + 540_001, None), (base - HOUR_MS, 0)]
    for asked, wanted in cases:
        said = kit.kcat("-Q", "-t", f"{topic}:0:{asked}").text.strip()
        found = int(said.rsplit("offset", 1)[1])
        # librdkafka shows "no such record" as -1, the end, or its constant for it
        right = found == wanted if wanted is not None else found in (-1, 10, -1001)
        expect(right, f"first at or after +{(asked - base) / 1000} s: {said}, wanted offset {wanted}")
    said = offset_by_tool(kit, topic, base + 60_001)
    expect(said == f"{topic}:0:2", f"kafka-get-offsets by time: {said}")
    said = offset_by_tool(kit, topic, "max-timestamp")
    expect(said == f"{topic}:0:6", f"kafka-get-offsets max-timestamp: {said}")
    got = kit.kcat("-C", "-q", "-t", topic, "-p", 0, "-o", f"s@{base + 420_000}", "-c", 4, "-f", "%o\\n").text.split()
    expect(got == ["6", "7", "8", "9"], f"kcat from a time reads offsets {got}")


def delete_records(kit: Kit):
    topic, content = filled(kit, "delete-records", 1000)
    asked = {"partitions": [{"topic": topic, "partition": 0, "offset": 700}], "version": 1}
    file = kit.file("delete-records.json", json.dumps(asked).encode())
    said = kit.tool("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", file).text
    expect("low_watermark: 700" in said, f"it says: {said.strip()}")
    said = offset_by_tool(kit, topic, "earliest")
    expect(said == f"{topic}:0:700", f"earliest after deleting up to 700: {said}")
    rest = b"".join(line + b"\n" for line in content.splitlines()[700:])
    got = kit.kcat("-C", "-q", "-t", topic, "-p", 0, "-o", "beginning", "-e").out
    expect_same(got, rest, "what is left, read by kcat")
    expect_same(kit.client("franz").consume(topic, 0, 300, 700), rest, "what is left, read by franz")
    beyond = {"partitions": [{"topic": topic, "partition": 0, "offset": 1001}], "version": 1}
    file = kit.file("delete-beyond.json", json.dumps(beyond).encode())
    said = kit.tool("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", file, fails=None)
    expect("OffsetOutOfRange" in said.text + said.err, f"deleting beyond the end: {said.last_words()}")


def out_of_range(kit: Kit):
    topic, _ = filled(kit, "out-of-range", 100)
    for client in ("confluent", "kafka-python"):
        refused = kit.driver(client, "consume", "--topic", topic, "--offset", 101, "--count", 1, fails=True)
        said = refused.err.lower().replace(" ", "").replace("_", "")
        expect("outofrange" in said or "autooffsetreset" in said, f"{client}: {refused.last_words()}")
    refused = kit.franz("consume", "--topic", topic, "--offset", 101, "--count", 1, fails=True)
    expect("OFFSET_OUT_OF_RANGE" in refused.err, f"franz: {refused.last_words()}")
    # The end itself is in range: nothing there yet, and no error.
    waiting = kit.franz("consume", "--topic", topic, "--offset", 100, "--count", 1, "--timeout", "2s", fails=True)
    expect("deadline exceeded" in waiting.err, f"franz at the end: {waiting.last_words()}")


def console_consumer_start(kit: Kit):
    topic, content = filled(kit, "console-start", 500)
    lines = content.splitlines(keepends=True)
    where = ["--topic", topic, "--partition", 0]
    cases = [("earliest", 500, lines), (123, 50, lines[123:173])]
    for offset, count, wanted in cases:
        got = kit.tool(CONSUMER, *where, "--offset", offset, "--max-messages", count, "--timeout-ms", 60_000).out
        expect_same(got, b"".join(wanted), f"--offset {offset}")
    idle = kit.tool(CONSUMER, *where, "--offset", "latest", "--timeout-ms", 1500, fails=None)
    expect(idle.out == b"" and "TimeoutException" in idle.err + idle.text, f"--offset latest: {idle.last_words()}")


def kcat_start(kit: Kit):
    topic, content = filled(kit, "kcat-start", 500)
    lines = content.splitlines(keepends=True)
    where = ["-C", "-q", "-t", topic, "-p", 0, "-e"]
    expect_same(kit.kcat(*where, "-o", "beginning").out, content, "-o beginning")
    expect_same(kit.kcat(*where, "-o", "-20").out, b"".join(lines[-20:]), "-o -20")
    expect_same(kit.kcat(*where, "-o", "321").out, b"".join(lines[321:]), "-o 321")
    expect_same(kit.kcat(*where, "-o", "end").out, b"", "-o end")


def waits_at_the_end(kit: Kit):
    """A reader at the end is answered when data comes, not at the end of its wait, and not by turning round."""
    topic, _ = filled(kit, "waits", 10)
    argv = ["kcat", "-b", kit.bootstrap, "-C", "-q", "-u", "-t", topic, "-p", "0", "-o", "10", "-c", "1"]
    argv += ["-X", "fetch.wait.max.ms=20000", "-X", "socket.timeout.ms=30000"]
    kit.log.write("$ " + " ".join(argv))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        guard = threading.Timer(40, reader.kill)
        guard.start()
        time.sleep(2)
        sent = time.monotonic()
        kit.kcat("-P", "-t", topic, "-p", 0, stdin=b"at last\n")
        out, _ = reader.communicate()
        waited = time.monotonic() - sent
        guard.cancel()
    expect(out == b"at last\n", f"read {out!r}")
    expect(waited < 3, f"a record written was seen after {waited:.1f} s by a reader waiting up to 20 s")


def small_fetches(kit: Kit):
    """A limit smaller than a batch: the first batch comes whole all the same."""
    topic, content = filled(kit, "small-fetches", 2000)
    limits = ["-X", "fetch.message.max.bytes=1", "-X", "fetch.max.bytes=1000"]
    limits += ["-X", "message.max.bytes=1000", "-X", "receive.message.max.bytes=100000000"]
    got = kit.kcat("-C", "-q", "-t", topic, "-p", 0, "-o", "beginning", "-e", *limits).out
    expect_same(got, content, "read with fetch limits of a few bytes")
    properties = ["--consumer-property", "max.partition.fetch.bytes=1", "--consumer-property", "fetch.max.bytes=1"]
    got = kit.tool(CONSUMER, "--topic", topic, "--partition", 0, "--offset", "earliest", "--max-messages", 2000,
                   "--timeout-ms", 60_000, *properties).out
    expect_same(got, content, "read by the console consumer with fetch limits of one byte")
