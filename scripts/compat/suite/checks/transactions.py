"""Transactions: whole or not at all for every reader, fencing, time-outs, offsets in them, and kafka-transactions."""

import re
import time

from suite import transactions
from suite.checks.groups import fill
from suite.clients import CLIENTS
from suite.kit import Kit, expect, expect_same
from suite.transactions import COPIERS, WRITERS, Talk, transact

COMMAND = "org.apache.kafka.tools.TransactionsCommand"
GET = "org.apache.kafka.tools.GetOffsetShell"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONSOLE = "org.apache.kafka.tools.consumer.ConsoleConsumer"
PLAN = "a4,c20,a20,c1,a1,a30,c30,c2,a3,c6"
PARTITIONS = 3
WAIT_SECONDS = 60


def checks(quick: bool):
    # In short runs every writer with two readers, one of which knows nothing of the writer's library.
    slow_readers = ("java",) if quick else ()
    wrote = [(f"transactions/{writer}-whole-or-not", lambda kit, writer=writer: whole_or_not(kit, writer, slow_readers)) for writer in WRITERS]
    fenced = [(f"transactions/{writer}-fenced", lambda kit, writer=writer: fenced_by_successor(kit, writer)) for writer in WRITERS]
    copied = [(f"transactions/{library}-copies", lambda kit, library=library: copies(kit, library)) for library in COPIERS]
    return wrote + fenced + copied + [
        ("transactions/open-holds-readers", open_holds_readers),
        ("transactions/time-out", time_out),
        ("transactions/kafka-transactions", kafka_transactions),
        ("transactions/timeout-too-long", timeout_too_long),
    ]


def lines(values: list[str]) -> bytes:
    return b"".join(value.encode() + b"\n" for value in values)


def committed(kit: Kit, reader: str, topic: str, partition: int, count: int) -> bytes:
    """What a client with read_committed gets of a partition."""
    if reader == "kcat":
        return kit.kcat("-C", "-q", "-t", topic, "-p", partition, "-o", "beginning", "-e", "-X", "isolation.level=read_committed").out
    if reader == "java":
        args = ["--topic", topic, "--partition", partition, "--offset", "earliest", "--max-messages", count, "--timeout-ms", 60_000]
        return kit.tool(CONSOLE, *args, "--isolation-level", "read_committed").out
    args = ["consume", "--topic", topic, "--partition", partition, "--count", count, "--read-committed"]
    return kit.franz(*args).out if reader == "franz" else kit.driver(reader, *args).out


def whole_or_not(kit: Kit, writer: str, without: tuple[str, ...]):
    topic = kit.topic(f"txn-{writer}", PARTITIONS)
    kit.run(transact(kit, writer, topic, PARTITIONS, f"{topic}-id", PLAN))
    wanted, everything = transactions.outcomes(PLAN, PARTITIONS)
    # kcat last, since it reads to where the end is just then: the marker of the last transaction may be still to come, the others
    # wait for it.
    for reader in (client for client in (*CLIENTS[1:], CLIENTS[0]) if client not in without):
        for partition in range(PARTITIONS if reader != "java" else 1):
            got = committed(kit, reader, topic, partition, len(wanted[partition]))
            expect_same(got, lines(wanted[partition]), f"read committed by {reader}, partition {partition}")
    for partition in range(PARTITIONS):
        got = kit.client("franz").consume(topic, partition, len(everything[partition]))
        expect_same(got, lines(everything[partition]), f"read uncommitted, partition {partition}")


def seen(kit: Kit, topic: str) -> list[str]:
    return committed(kit, "kcat", topic, 0, 0).decode().split()


def await_seen(kit: Kit, topic: str, wanted: list[str], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while (got := seen(kit, topic)) != wanted:
        expect(time.monotonic() < deadline, f"after {seconds:.0f} s a reader of what is committed sees {got[:9]}…, {len(got)} records in place of {len(wanted)}")
        time.sleep(0.3)


def fenced_by_successor(kit: Kit, writer: str):
    """A producer with the same transactional.id ends what the one before left open, which can do nothing any more."""
    topic = kit.topic(f"txn-fenced-{writer}")
    with Talk(kit, transact(kit, writer, topic, 1, f"{topic}-id", "c2,o5,c1")) as first:
        first.hear("committed 0")
        first.hear("open 1")
        kit.run(transact(kit, writer, topic, 1, f"{topic}-id", "c3"))
        first.tell("c")
        expect(first.ends() != 0, "a producer committed after its successor had come")
        said = first.words().lower().replace("_", "").replace(" ", "")
        expect("fenc" in said or "newerepoch" in said or "invalidproducerepoch" in said, f"the producer with a successor isn't told that it is fenced: {first.words()}")
    await_seen(kit, topic, ["0:0", "0:1", "0:0", "0:1", "0:2"])


def open_holds_readers(kit: Kit):
    """What follows an open transaction in a partition is held back from readers of what is committed, and from them alone."""
    topic = kit.topic("txn-open")
    with Talk(kit, transact(kit, "confluent", topic, 1, f"{topic}-id", "c2,o3,o2,c1")) as writer:
        writer.hear("committed 0")
        writer.hear("open 1")
        kit.client("kcat").produce(topic, 0, kit.file("txn-open.txt", b"plain\n"))
        expect(seen(kit, topic) == ["0:0", "0:1"], f"with a transaction open, readers of what is committed see {seen(kit, topic)}")
        got = kit.client("franz").consume(topic, 0, 6).split()
        expect(got == [b"0:0", b"0:1", b"1:0", b"1:1", b"1:2", b"plain"] or got[-1] == b"plain", f"readers of everything see {got}")
        writer.tell("a")
        writer.hear("aborted 1")
        writer.hear("open 2")
        await_seen(kit, topic, ["0:0", "0:1", "plain"])
        writer.tell("c")
        writer.hear("committed 2")
        writer.hear("committed 3")
    await_seen(kit, topic, ["0:0", "0:1", "plain", "2:0", "2:1", "3:0"])


def time_out(kit: Kit):
    """A transaction that its producer doesn't end is aborted by the broker in time, and the producer then learns of it."""
    topic = kit.topic("txn-time-out")
    with Talk(kit, transact(kit, "franz", topic, 1, f"{topic}-id", "o3", 2000)) as writer:
        writer.hear("open 0")
        kit.client("kcat").produce(topic, 0, kit.file("txn-time-out.txt", b"plain\n"))
        expect(seen(kit, topic) == [], f"with a transaction open, readers of what is committed see {seen(kit, topic)}")
        await_seen(kit, topic, ["plain"])
        writer.tell("c")
        expect(writer.ends() != 0, "a producer committed after its transaction had timed out")


def timeout_too_long(kit: Kit):
    topic = kit.topic("txn-long")
    refused = kit.run(transact(kit, "confluent", topic, 1, f"{topic}-id", "c1", 3_600_000), fails=True)
    expect("timeout" in refused.err.lower(), f"a time-out of an hour: {refused.last_words()}")


def copies(kit: Kit, library: str):
    """What is consumed, what is produced and the group's offsets change together, also when transactions are aborted."""
    source, target = kit.topic(f"txn-copy-{library}-in", PARTITIONS), kit.topic(f"txn-copy-{library}-out", PARTITIONS)
    group = f"{source}-group"
    fill(kit, source, PARTITIONS, 0, 900)
    argv = transactions.copy(kit, library, source, target, group, f"{source}-id")
    if library == "java":
        kit.run(argv)
    else:
        with Talk(kit, argv) as copier:
            _await_copied(kit, copier, target)
            copier.process.terminate()
            expect(copier.ends() == 0, f"the copier fails: {copier.words()}")
    for partition in range(PARTITIONS):
        wanted = kit.client("franz").consume(source, partition, 300)
        expect_same(committed(kit, "kcat", target, partition, 0), wanted, f"the copy of partition {partition}")
    said = kit.tool(GROUPS, "--describe", "--group", group).text
    rows = {row.split()[2]: row.split()[3] for row in said.splitlines() if row.startswith(group)}
    expect(rows == dict.fromkeys("012", "300"), f"the group's offsets after all was copied: {rows}")


def _await_copied(kit: Kit, copier: Talk, target: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while sum(committed(kit, "kcat", target, partition, 0).count(b"\n") for partition in range(PARTITIONS)) < 900:
        expect(copier.process.poll() is None, f"the copier ended: {copier.words()}")
        expect(time.monotonic() < deadline, f"not all is copied within {WAIT_SECONDS} s")
        time.sleep(0.5)


def kafka_transactions(kit: Kit):
    """kafka-transactions: list, describe, describe-producers, find-hanging, abort."""
    topic = kit.topic("txn-tool")
    name = f"{topic}-id"
    with Talk(kit, transact(kit, "confluent", topic, 1, name, "c2,o3")) as writer:
        writer.hear("committed 0")
        writer.hear("open 1")
        row = _row(kit.tool(COMMAND, "list").text, name)
        expect(row[3:4] == ["Ongoing"], f"list shows {row}")
        row = _row(kit.tool(COMMAND, "describe", "--transactional-id", name).text, name)
        expect("Ongoing" in row and f"{topic}-0" in row and "60000" in row, f"describe shows {row}")
        said = kit.tool(COMMAND, "describe-producers", "--topic", topic, "--partition", 0).text.strip().splitlines()
        producer = said[-1].split()
        start = producer[-1]
        expect(len(said) == 2 and start == "3", f"describe-producers shows {said}")
        said = kit.tool(COMMAND, "find-hanging", "--broker-id", _broker(kit), "--max-transaction-timeout", 1).text
        expect(topic not in said, f"find-hanging shows a transaction that its coordinator knows: {said.strip()[-300:]}")
        kit.tool(COMMAND, "abort", "--topic", topic, "--partition", 0, "--start-offset", start)
        # The partition's part of it is aborted, whatever the coordinator believes: that is what the tool is for.
        got = seen(kit, topic)
        expect(got == ["0:0", "0:1"], f"after the abort readers see {got}")
        end = kit.driver("confluent", "watermarks", "--topic", topic, "--partition", 0).text.split()[1]
        expect(end == "7", f"the partition ends at {end} after the marker of an abort, 7 is wanted")
        said = kit.tool(COMMAND, "describe-producers", "--topic", topic, "--partition", 0).text.strip().splitlines()
        expect(said[-1].split()[-1] == "None", f"describe-producers shows {said} after the abort")


def _broker(kit: Kit) -> str:
    return re.search(r"broker (\d+) at", kit.kcat("-L").text)[1]


def _row(said: str, name: str) -> list[str]:
    return next((line.split() for line in said.splitlines() if name in line.split()), [])
