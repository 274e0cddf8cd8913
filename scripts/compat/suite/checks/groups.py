"""Consumer groups: reading and resuming, sharing, dying, static members, both protocols, and Kafka's tools for groups."""

import re

from suite.kit import Kit, expect
from suite.members import LIBRARIES, WITH_CONSUMER_PROTOCOL, Members

COMMAND = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
PARTITIONS = 4
SESSION_MS = 6000  # the least that brokers allow by default
DEATH_SECONDS = 60
# The libraries whose members can be in one group: the names of their assignors and what they say to each other are the same.
COOPERATIVE = ("java", "confluent", "franz", "kafka-python")


def checks(quick: bool):
    of_each = [(f"groups/{library}-{protocol}", lambda kit, library=library, protocol=protocol: reads_and_shares(kit, library, protocol))
               for protocol, libraries in (("classic", LIBRARIES), ("consumer", WITH_CONSUMER_PROTOCOL)) for library in libraries]
    slow = [(f"groups/{library}-static", lambda kit, library=library: static(kit, library)) for library in LIBRARIES]
    slow += [(f"groups/{library}-cooperative", lambda kit, library=library: cooperative(kit, library)) for library in COOPERATIVE]
    return of_each + ([] if quick else slow) + [
        ("groups/all-libraries", all_libraries),
        ("groups/classic-to-consumer", classic_to_consumer),
        ("groups/pattern", pattern),
        ("groups/console-consumer", console_consumer),
        ("groups/consumer-perf-test", perf_test),
        ("groups/kafka-consumer-groups", consumer_groups),
        ("groups/kafka-groups", kafka_groups),
    ]


def fill(kit: Kit, topic: str, partitions: int, first: int, count: int) -> set[str]:
    """Produces numbered records to all partitions; gives their values."""
    values = [f"record {number:06d}" for number in range(first, first + count)]
    for partition in range(partitions):
        mine = values[partition::partitions]
        file = kit.file(f"{topic}-{partition}-{first}.txt", "".join(f"{value}\n" for value in mine).encode())
        kit.client("kcat").produce(topic, partition, file)
    return set(values)


def made(kit: Kit, name: str, count: int = 400, partitions: int = PARTITIONS) -> tuple[str, str, set[str]]:
    topic = kit.topic(name, partitions)
    return topic, f"{topic}-group", fill(kit, topic, partitions, 0, count)


def reads_and_shares(kit: Kit, library: str, protocol: str):
    """One reads all; a second takes its share; a third leaves and a fourth dies; the next life goes on where the group was."""
    topic, group, values = made(kit, f"groups-{library}-{protocol}")
    options = {"protocol": protocol, "session_ms": SESSION_MS}
    with Members(kit, group, topic) as members:
        first = members.start(library, **options)
        first.wait("has all records and has committed them", lambda one: len(one.records) == 400 and sum(one.committed.values()) == 400)
        expect(sorted(first.values()) == sorted(values), "the records differ from what was produced")
        # franz-go falls back to the classic protocol where a broker doesn't advertise the other.
        expect(library != "franz" or _group_type(kit, group) == protocol.title(), f"the group's type is {_group_type(kit, group)}")
        second = members.start(library, **options)
        members.await_shared(PARTITIONS)
        more = fill(kit, topic, PARTITIONS, 400, 40)
        members.await_values(more)
        expect(not values & set(second.values()), "the second member read what the first one had committed")
        first.leave()
        members.await_shared(PARTITIONS)
        third = members.start(library, **options)
        members.await_shared(PARTITIONS)
        # The consumer protocol's session is the broker's to say, 45 s unless configured: too long for short runs.
        (third.kill if protocol == "classic" or not kit.quick else third.leave)()
        members.await_shared(PARTITIONS, 2 * DEATH_SECONDS)
        second.leave()
    fill(kit, topic, PARTITIONS, 440, 40)
    with Members(kit, group, topic) as members:
        last = members.start(library, **options)
        last.wait("has the records of the time between", lambda one: len(one.records) >= 40)
        expect(len(set(last.values()) & (values | more)) == 0, "a later member of the group read again what was committed")
        last.leave()


def static(kit: Kit, library: str):
    """A static member that is back within its session has its partitions again, and nobody else notices."""
    topic, group, _ = made(kit, f"groups-{library}-static")
    with Members(kit, group, topic) as members:
        stays = members.start(library, instance="stays", session_ms=30_000)
        goes = members.start(library, instance="goes", session_ms=30_000)
        members.await_shared(PARTITIONS)
        before, changes = set(goes.assigned), len(stays.changes)
        goes.leave()
        back = members.start(library, instance="goes", session_ms=30_000)
        back.wait("has partitions", lambda one: one.assigned)
        members.await_shared(PARTITIONS)
        expect(back.assigned == before, f"the static member had partitions {before} and came back to {back.assigned}")
        expect(len(stays.changes) == changes, f"the other member was told of {stays.changes[changes:]}")


def cooperative(kit: Kit, library: str):
    """What a member keeps is never taken from it."""
    topic, group, values = made(kit, f"groups-{library}-cooperative")
    with Members(kit, group, topic) as members:
        first = members.start(library, assignor="cooperative-sticky", session_ms=SESSION_MS)
        first.wait("has all partitions", lambda one: len(one.assigned) == PARTITIONS)
        members.start(library, assignor="cooperative-sticky", session_ms=SESSION_MS)
        members.await_shared(PARTITIONS)
        taken = [partitions for name, partitions in first.changes if name != "partitions_assigned" and partitions]
        expect(len(set().union(*taken)) == 2, f"from the first member were taken {taken} for a second one of two")
        members.await_values(values)


def all_libraries(kit: Kit):
    """Members of all libraries in one group: they agree on an assignor, and the leader may be any of them."""
    topic, group, values = made(kit, "groups-all")
    with Members(kit, group, topic) as members:
        for library in LIBRARIES:
            members.start(library, assignor="range", session_ms=SESSION_MS)
        members.await_shared(PARTITIONS)
        members.await_values(values)
        more = fill(kit, topic, PARTITIONS, 400, 40)
        members.await_values(more)
        # Whoever leads, one by one they go, each time the next one must lead.
        while len(members.running()) > 1:
            members.running()[0].leave()
            members.await_shared(PARTITIONS)
        members.await_values(fill(kit, topic, PARTITIONS, 440, 40))
        members.running()[0].leave()


def classic_to_consumer(kit: Kit):
    """A group changes its protocol while it runs, one member after the other, and back (KIP-848's migration)."""
    topic, group, values = made(kit, "groups-migration")
    with Members(kit, group, topic) as members:
        first, second = (members.start("java", assignor="range", session_ms=SESSION_MS) for _ in range(2))
        members.await_shared(PARTITIONS)
        members.await_values(values)
        new = members.start("java", protocol="consumer")
        members.await_shared(PARTITIONS)
        expect(_group_type(kit, group) == "Consumer", f"the group's type with a member of the consumer protocol: {_group_type(kit, group)}")
        members.await_values(fill(kit, topic, PARTITIONS, 400, 40))
        first.leave()
        members.await_shared(PARTITIONS)
        new.leave()
        members.await_shared(PARTITIONS)
        expect(_group_type(kit, group) == "Classic", f"the group's type without a member of the consumer protocol: {_group_type(kit, group)}")
        members.await_values(fill(kit, topic, PARTITIONS, 440, 40))
        second.leave()


def _group_type(kit: Kit, group: str) -> str:
    said = kit.tool("org.apache.kafka.tools.GroupsCommand", "--list").text
    rows = [line.split() for line in said.splitlines()]
    return next((row[1] for row in rows if row and row[0] == group), f"none: {said.strip()}")


def pattern(kit: Kit):
    """Topics by regular expression: sent to the broker by the consumer protocol, matched in the client by the classic one."""
    topic, group, values = made(kit, "groups-pattern", partitions=1)
    prefix = topic.removesuffix("pattern")
    for protocol in ("classic", "consumer"):
        with Members(kit, f"{group}-{protocol}", f"^{re.escape(prefix)}pat.*n$") as members:
            one = members.start("confluent", protocol=protocol)
            one.wait("has all records", lambda one: len(one.records) == 400)
            expect(set(one.values()) == values, "the records differ from what was produced")
            one.leave()


def console_consumer(kit: Kit):
    """kafka-console-consumer in a group: what one has read another doesn't read again; and what kcat has."""
    topic, group, values = made(kit, "groups-console")
    read: list[str] = []
    for protocol in ("classic", "consumer"):
        args = ["--topic", topic, "--group", group, "--from-beginning", "--max-messages", 200, "--timeout-ms", 60_000]
        said = kit.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *args, "--consumer-property", f"group.protocol={protocol}", timeout=120)
        read += said.text.splitlines()
    expect(sorted(read) == sorted(values), f"two console consumers read {len(read)} records, {len(set(read))} different ones of {len(values)}")
    more = fill(kit, topic, PARTITIONS, 400, 40)
    said = kit.kcat("-G", group, "-q", "-c", 40, "-X", "auto.offset.reset=earliest", topic, timeout=120)
    expect(set(said.text.splitlines()) == more, f"kcat -G read {len(said.text.splitlines())} records, not those that nobody had read")


def perf_test(kit: Kit):
    topic, group, _ = made(kit, "groups-perf", 2000)
    for protocol in ("classic", "consumer"):
        config = kit.file(f"perf-{protocol}.properties", f"group.protocol={protocol}\n".encode())
        args = ["--topic", topic, "--group", f"{group}-{protocol}", "--messages", 2000, "--consumer.config", config, "--hide-header", "--timeout", 60_000]
        said = kit.tool("org.apache.kafka.tools.ConsumerPerformance", *args).text
        fields = [field.strip() for field in said.strip().splitlines()[-1].split(",")]
        expect(len(fields) > 4 and int(fields[4]) == 2000, f"--group with {protocol}: it says {said.strip()[-200:]}")


def consumer_groups(kit: Kit):
    """kafka-consumer-groups: list, describe in all its forms, reset and delete offsets, delete groups."""
    topic, group, _ = made(kit, "groups-tool")
    tool = ["--group", group]
    with Members(kit, group, topic) as members:
        one = members.start("confluent", session_ms=SESSION_MS)
        one.wait("has committed all", lambda one: sum(one.committed.values()) == 400)
        listed = kit.tool(COMMAND, "--list", "--state", "stable").text
        expect(re.search(rf"^{group}\s+Stable\s*$", listed, re.MULTILINE), f"--list --state says {listed.strip()[-300:]}")
        expect(_lags(kit, group) == dict.fromkeys(range(PARTITIONS), (100, 100, 0)), f"--describe shows {_lags(kit, group)}")
        said = kit.tool(COMMAND, "--describe", *tool, "--members", "--verbose").text
        expect("rdkafka-" in said and "/127.0.0.1" in said and f"{topic}:0,1,2,3" in said.replace("(", ":").replace(")", ""),
               f"--describe --members says {said.strip()[-300:]}")
        said = kit.tool(COMMAND, "--describe", *tool, "--state").text
        expect(re.search(r"range\s+Stable\s+1\s*$", said, re.MULTILINE), f"--describe --state says {said.strip()[-300:]}")
        said = kit.tool(COMMAND, *tool, "--delete", fails=None)
        expect("GroupNotEmpty" in said.text + said.err, f"--delete of a group with a member: {said.last_words()}")
        said = kit.tool(COMMAND, *tool, "--reset-offsets", "--all-topics", "--to-earliest", "--execute", fails=None)
        expect("can only be reset if the group" in said.text + said.err, f"--reset-offsets of a group with a member: {said.last_words()}")
        one.leave()
    _offsets_of_nobody(kit, topic, group)


def _lags(kit: Kit, group: str) -> dict[int, tuple[int, int, int]]:
    """By partition: committed offset, end of the log, lag."""
    said = kit.tool(COMMAND, "--describe", "--group", group).text
    rows = [line.split() for line in said.splitlines() if line.startswith(group)]
    return {int(row[2]): (int(row[3]), int(row[4]), int(row[5])) for row in rows if row[3] != "-"}


def _offsets_of_nobody(kit: Kit, topic: str, group: str) -> None:
    tool = ["--group", group]
    said = kit.tool(COMMAND, *tool, "--reset-offsets", "--topic", f"{topic}:1,2", "--to-offset", 30, "--execute").text
    expect(len(re.findall(rf"{topic}\s+[12]\s+30\b", said)) == 2, f"--reset-offsets says {said.strip()[-300:]}")
    kit.tool(COMMAND, *tool, "--reset-offsets", "--topic", f"{topic}:3", "--shift-by", -10, "--execute")
    wanted = {0: (100, 100, 0), 1: (30, 100, 70), 2: (30, 100, 70), 3: (90, 100, 10)}
    expect(_lags(kit, group) == wanted, f"after --reset-offsets --describe shows {_lags(kit, group)}")
    said = kit.tool(COMMAND, *tool, "--delete-offsets", "--topic", f"{topic}:0", fails=None).text
    expect(re.search(rf"{topic}\s+0\s+Successful", said), f"--delete-offsets says {said.strip()[-300:]}")
    expect(sorted(_lags(kit, group)) == [1, 2, 3], f"after --delete-offsets --describe shows {_lags(kit, group)}")
    kit.tool(COMMAND, *tool, "--delete")
    expect(group not in kit.tool(COMMAND, "--list").text, "--list still shows the group that was deleted")
    again = kit.tool(COMMAND, *tool, "--delete", fails=None)
    expect("GroupIdNotFound" in again.text + again.err, f"--delete of no group: {again.last_words()}")


def kafka_groups(kit: Kit):
    """kafka-groups: groups of both protocols by type."""
    topic, group, _ = made(kit, "groups-list")
    with Members(kit, f"{group}-classic", topic) as classic, Members(kit, f"{group}-consumer", topic) as consumer:
        classic.start("confluent").wait("has partitions", lambda one: one.assigned)
        consumer.start("confluent", protocol="consumer").wait("has partitions", lambda one: one.assigned)
        for kind, members in (("Classic", classic), ("Consumer", consumer)):
            expect(_group_type(kit, members.group) == kind, f"the type of {members.group} is shown as {_group_type(kit, members.group)}")
        only = kit.tool("org.apache.kafka.tools.GroupsCommand", "--list", "--group-type", "consumer").text
        expect(consumer.group in only and classic.group not in only, f"--group-type consumer shows {only.strip()[-300:]}")
        said = kit.tool(COMMAND, "--describe", "--group", consumer.group, "--members", "--verbose").text
        expect("CURRENT-EPOCH" in said and "TARGET-ASSIGNMENT" in said, f"--describe --members --verbose says {said.strip()[-400:]}")
        said = kit.tool(COMMAND, "--describe", "--group", consumer.group, "--state").text
        expect(re.search(r"uniform\s+Stable\s+\d*\s*1\b", said), f"--describe --state says {said.strip()[-300:]}")
