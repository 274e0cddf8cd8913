"""Share groups (KIP-932): accepting, releasing, rejecting, several members on one partition, death, time-outs, and Kafka's tools for them."""

import json
import re
import time

from suite import transactions
from suite.kit import Kit, expect
from suite.process import CheckFailed
from suite.sharing import LIBRARIES, Sharer, Sharers

COMMAND = "org.apache.kafka.tools.consumer.group.ShareGroupCommand"
CONSOLE = "org.apache.kafka.tools.consumer.ConsoleShareConsumer"
CONFIGS = "kafka.admin.ConfigCommand"
DELIVERIES = 5  # group.share.delivery.count.limit, its default
# The brokers allow no lock under 15 s by default; who tries more often gives them a lower limit.
LOCKS_MS = (2000, 15_000)
QUIET_SECONDS = 3


def checks(quick: bool):
    each = (("acknowledges", acknowledges), ("implicit", implicit), ("killed", killed), ("lock", lock))
    # In short runs one library waits for time-outs: they are the broker's.
    of_each = [(f"share/{library}-{name}", lambda kit, library=library, check=check: check(kit, library)) for library in LIBRARIES
               for name, check in each if not quick or library == "java" or check in (acknowledges, implicit)]
    slow = [("share/many-members", many_members), ("share/isolation", isolation), ("share/verifiable-share-consumer", verifiable),
            ("share/internal-topics", internal_topics), ("share/deleted-records", deleted_records), ("share/topic-again", topic_again)]
    return of_each + ([] if quick else slow) + [
        ("share/all-libraries", all_libraries),
        ("share/console-share-consumer", console),
        ("share/share-consumer-perf-test", perf_test),
        ("share/kafka-share-groups", share_groups),
        ("share/offsets", offsets),
        ("share/kafka-configs", configs),
        ("share/other-groups", other_groups),
    ]


def made(kit: Kit, name: str, partitions: int = 1, **settings: object) -> tuple[str, str]:
    """A topic, and a group that begins at its beginning."""
    topic = kit.topic(f"share-{name}", partitions)
    configure(kit, f"{topic}-group", share_auto_offset_reset="earliest", **settings)
    return topic, f"{topic}-group"


def configure(kit: Kit, group: str, *, fails: bool | None = False, **settings: object) -> bool:
    given = ",".join(f"{name.replace('_', '.')}={value}" for name, value in settings.items())
    return kit.run([*kit.jvm("64m"), "Share", "configure", "--bootstrap", kit.bootstrap, "--groups", group, "--set", given], fails=fails).code == 0


def locked_for(kit: Kit, group: str) -> float:
    """Sets the shortest lock that the broker allows; gives its seconds."""
    for milliseconds in LOCKS_MS:
        if configure(kit, group, fails=None, share_record_lock_duration_ms=milliseconds):
            return milliseconds / 1000
    raise CheckFailed(f"{group} takes none of {LOCKS_MS} ms as share.record.lock.duration.ms")


def put(kit: Kit, topic: str, values: list[str], partition: int = 0, batch: int = 1000) -> list[str]:
    """Produces the values in batches of so many."""
    kit.kcat("-P", "-t", topic, "-p", partition, "-X", f"batch.num.messages={batch}", stdin="".join(f"{value}\n" for value in values).encode())
    return values


def numbered(word: str, count: int, first: int = 0) -> list[str]:
    return [f"{word} {number:04d}" for number in range(first, first + count)]


def nothing_more(kit: Kit, topic: str, group: str, library: str) -> None:
    """Another life of the group has only what is written after all the rest."""
    last = f"accept the last of {time.monotonic_ns()}"
    with Sharers(kit, group, topic) as members:
        one = members.start(library, "value", "--commit", "sync")
        put(kit, topic, [last])
        one.wait("has the last record, accepted", lambda one: last in [row[3] for row in one.records] and one.answers)
        one.leave()
        expect(one.values() == [last], f"the group was given again, after all was done: {one.values()[:5]} of {len(one.values())}")


def acknowledges(kit: Kit, library: str):
    """Accepted and rejected records come once, a released one again until it has come as often as the broker allows."""
    topic, group = made(kit, f"{library}-acknowledges")
    wanted = {"accept": [1], "reject": [1], "retry": [1, 2], "release": list(range(1, DELIVERIES + 1))}
    for commit in ("poll", "async", "sync"):
        values = put(kit, topic, [f"{word} {commit} {number}" for number in range(20) for word in wanted], batch=30)
        with Sharers(kit, group, topic) as members:
            one = members.start(library, "value", "--commit", commit)
            count = sum(len(counts) for counts in wanted.values()) * 20
            one.wait(f"has {count} records, all answered", lambda one, count=count: len(one.records) >= count and len(one.answers) >= count)
            one.leave()
            expect(not one.errors(), f"acknowledgements were refused: {one.errors()}")
            seen = one.deliveries()
            expect(sorted(seen) == sorted(values), f"with --commit {commit} {len(seen)} records came, and not the {len(values)} of them")
            wrong = {value: counts for value, counts in seen.items() if counts != wanted[value.split(' ')[0]]}
            expect(not wrong, f"with --commit {commit} the delivery counts of {len(wrong)} records are wrong, such as {list(wrong.items())[:2]}")
    nothing_more(kit, topic, group, library)


def implicit(kit: Kit, library: str):
    """Two members have one partition: each record comes to one of them, and to nobody again."""
    topic, group = made(kit, f"{library}-implicit")
    first_values = put(kit, topic, numbered("accept", 40))
    with Sharers(kit, group, topic) as members:
        first = members.start(library, "implicit", "--max-poll", "20", "--pause-ms", "20")
        first.wait("has the first records", lambda one: len(one.records) == len(first_values))
        second = members.start(library, "implicit", "--max-poll", "20", "--pause-ms", "20")
        values, until = list(first_values), time.monotonic() + 60
        # Until both have had some: the second member must join first.
        while not second.values() or len(values) < 400:
            values += put(kit, topic, numbered("accept", 40, len(values)), batch=10)
            expect(time.monotonic() < until, "the second member gets no records")
        members.await_values(set(values))
        for one in (first, second):
            one.leave()
            expect(not one.errors(), f"acknowledgements were refused: {one.errors()}")
        expect(sorted(members.values()) == sorted(values), f"of {len(values)} records {len(members.values())} came to the two members")
        counts = {row[2] for one in members.all for row in one.records}
        expect(counts == {1}, f"delivery counts are {counts}")
    nothing_more(kit, topic, group, library)


def killed(kit: Kit, library: str):
    """What a member had when it was killed comes to another one, and what it had acknowledged does not."""
    topic, group = made(kit, f"{library}-killed")
    seconds = locked_for(kit, group)
    done, held = put(kit, topic, numbered("accept", 30)), numbered("held", 30)
    with Sharers(kit, group, topic) as members:
        first = members.start(library, "ask", "--commit", "sync")
        answer(first, len(done), "accept")
        put(kit, topic, held)
        first.wait("has the records that it holds", lambda one: len(one.records) == 60)
        second = members.start(library, "ask", "--commit", "sync")
        first.kill()
        second.wait("has what the killed one had", lambda one: one.records, 60 + seconds)
        answer(second, len(held), "accept")
        expect(sorted(second.values()) == held, f"the second member got {len(second.values())} records: {second.values()[:3]}")
        second.leave()
    nothing_more(kit, topic, group, library)


def answer(member: Sharer, count: int, word: str, polls: int = 0) -> None:
    """Tells the member to acknowledge each poll after the first `polls`, until that many records have an answer."""
    while len(member.answers) < count:
        member.wait(f"asks about {count} records", lambda one, polls=polls: one.asked > polls)
        polls += 1
        before = len(member.values())
        member.tell(word)
        member.wait(f"has {before} answers", lambda one, before=before: len(one.answers) >= before)


def lock(kit: Kit, library: str):
    """Who takes too long loses the records to another, and is told so when it accepts them at last."""
    topic, group = made(kit, f"{library}-lock")
    seconds = locked_for(kit, group)
    values = put(kit, topic, numbered("slow", 20))
    with Sharers(kit, group, topic) as members:
        slow = members.start(library, "ask", "--commit", "sync")
        slow.wait("has all records", lambda one: len(one.records) == len(values))
        had = time.monotonic()
        other = members.start(library, "ask", "--commit", "sync")
        other.wait("has them when the lock is over", lambda one: len(one.records) == len(values), 60 + seconds)
        after = time.monotonic() - had
        expect(after > seconds * 0.5, f"records with a lock of {seconds} s came again after {after:.1f} s")
        # Clients fetch ahead, so that the slow one may have had them once more in between.
        expect(sorted(other.values()) == values and all(row[2] in (2, 3) for row in other.records), f"what came are {other.records[:3]}")
        # While the other has them: once that one is done with them, to be late is no error any more.
        slow.tell("accept")
        slow.wait("is answered", lambda one: len(one.answers) == len(values))
        expect(slow.errors() in ({"InvalidRecordStateException"}, {"INVALID_RECORD_STATE"}), f"who came late is told {slow.errors() or 'nothing'}")
        answer(other, len(values), "accept")
        expect(not other.errors(), f"the other is told {other.errors()}")
        slow.leave()
        other.leave()
    nothing_more(kit, topic, group, library)


def many_members(kit: Kit):
    """More members than partitions, some of which go while they work: all is done, and nothing is done twice."""
    topic, group = made(kit, "many", 3)
    values: list[str] = []
    with Sharers(kit, group, topic) as members:
        for number in range(6):
            members.start(LIBRARIES[number % 3], "value", "--commit", "async", "--max-poll", "10", "--pause-ms", "50")
            values += put(kit, topic, numbered("accept", 200, len(values)), number % 3, batch=10)
        for number in range(3):
            members.all[number].leave()
            values += put(kit, topic, numbered("accept", 200, len(values)), number, batch=10)
        members.await_values(set(values))
        for one in members.all[3:]:
            one.leave()
        again = len(members.values()) - len(values)
        expect(again == 0, f"{again} of {len(values)} records came to more than one member, and none was killed")


def isolation(kit: Kit):
    """share.isolation.level: with read_committed nobody is given what was aborted."""
    for level in ("read_committed", "read_uncommitted"):
        topic, group = made(kit, level.replace("_", "-"), share_isolation_level=level)
        plan = "a4,c10,a6,c1,a1"
        kit.run(transactions.transact(kit, "java", topic, 1, topic, plan))
        committed, everything = transactions.outcomes(plan, 1)
        wanted = (committed if level == "read_committed" else everything)[0]
        with Sharers(kit, group, topic) as members:
            one = members.start("java", "implicit")
            one.wait("has what there is", lambda one, wanted=wanted: len(one.records) >= len(wanted))
            time.sleep(QUIET_SECONDS)
            expect(sorted(one.values()) == sorted(wanted), f"with {level} came {one.values()} and not {wanted}")
            one.leave()


def verifiable(kit: Kit):
    """Kafka's VerifiableShareConsumer, which sets where its group begins, in each of its ways to acknowledge."""
    topic = kit.topic("share-verifiable", 2)
    values = put(kit, topic, numbered("record", 100)) + put(kit, topic, numbered("and", 100), 1)
    for mode in ("auto", "sync", "async"):
        args = ["--topic", topic, "--group-id", f"{topic}-{mode}", "--offset-reset-strategy", "earliest", "--acknowledgement-mode", mode, "--max-messages", 200, "--verbose"]
        said = [json.loads(line) for line in kit.tool("org.apache.kafka.tools.VerifiableShareConsumer", *args).text.splitlines() if line.startswith("{")]
        read = [one["value"] for one in said if one["name"] == "record_data"]
        expect(sorted(read) == sorted(values), f"in mode {mode} it read {len(read)} records, {len(set(read))} different ones of {len(values)}")
        acknowledged = sum(one["count"] for one in said if one["name"] == "offsets_acknowledged" and one["success"])
        expect(acknowledged == len(values), f"in mode {mode} {acknowledged} acknowledgements of {len(values)} were taken")


def internal_topics(kit: Kit):
    """What is written of a share group is in Kafka's schemas: its own formatters read it."""
    topic, group = made(kit, "internal")
    put(kit, topic, [f"{word} {number}" for number in range(5) for word in ("accept", "reject")])
    with Sharers(kit, group, topic) as members:
        one = members.start("java", "value", "--commit", "sync")
        one.wait("has answers to all", lambda one: len(one.answers) == 10)
        put(kit, topic, ["accept one more"])
        one.wait("has an answer to the last", lambda one: len(one.answers) == 11)
        states = formatted(kit, "__share_group_state", "group.share.ShareGroupStateMessageFormatter", group)
        groups = formatted(kit, "__consumer_offsets", "ShareGroupMessageFormatter", group)
        one.leave()
    expect(states, "the state topic has nothing of the group")
    last = states[-1]["value"]["data"]
    expect(last["startOffset"] in (10, 11), f"the last state is {last}")
    kinds = {row["key"]["type"] for row in groups}
    expect({10, 11} <= kinds, f"the groups' topic has records of types {sorted(kinds)}")


def deleted_records(kit: Kit):
    """What is deleted from the beginning of the log comes no more, and a group that stood there goes on behind it."""
    topic, group = made(kit, "deleted")
    put(kit, topic, numbered("release", 10))
    values = put(kit, topic, numbered("accept", 30))
    with Sharers(kit, group, topic) as members:
        one = members.start("java", "ask", "--commit", "sync")
        one.wait("has all records", lambda one: len(one.records) == 40)
        one.kill()
    plan = {"partitions": [{"topic": topic, "partition": 0, "offset": 25}], "version": 1}
    file = kit.file(f"{topic}.json", json.dumps(plan).encode())
    kit.tool("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", file)
    with Sharers(kit, group, topic) as members:
        one = members.start("java", "value", "--commit", "sync")
        one.wait("has what is left", lambda one: len(one.answers) >= 15)
        one.leave()
        expect(sorted(one.values()) == values[15:], f"after offsets below 25 were deleted came {len(one.values())} records: {one.values()[:3]}")
    nothing_more(kit, topic, group, "java")


def topic_again(kit: Kit):
    """A topic that is deleted and made again is another one: its records come from the first on, to members that were there all the time."""
    topic, group = made(kit, "again", 2)
    old = put(kit, topic, numbered("accept", 50))
    with Sharers(kit, group, topic) as members:
        one = members.start("java", "value", "--commit", "sync")
        one.wait("has all records", lambda one: len(one.answers) == 50)
        kit.driver("confluent", "delete", "--topic", topic)
        time.sleep(QUIET_SECONDS)
        # The member may have made it already, where brokers let that happen.
        kit.driver("confluent", "create", "--topic", topic, "--partitions", 2, fails=None)
        new = put(kit, topic, numbered("accept", 20, 50)) + put(kit, topic, numbered("accept", 20, 70), 1)
        one.wait("has the new topic's records", lambda one: len(one.answers) >= 90)
        one.leave()
        expect(sorted(one.values()) == sorted(old + new), f"of {len(old + new)} records came {len(one.values())}")


def formatted(kit: Kit, topic: str, formatter: str, group: str) -> list[dict]:
    """A group's records in an internal topic, those that aren't tombstones."""
    args = ["--topic", topic, "--from-beginning", "--timeout-ms", 6000, "--formatter", f"org.apache.kafka.tools.consumer.{formatter}"]
    said = kit.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *args, fails=None).text
    # They are written without anything between them.
    rows = [json.loads(line) for line in said.replace('}{"key"', '}\n{"key"').splitlines() if line.startswith("{")]
    return [row for row in rows if row["key"]["data"].get("groupId") == group and row["value"] is not None]


def all_libraries(kit: Kit):
    """Members of all libraries on one partition give each other records."""
    topic, group = made(kit, "all")
    values, until = [], time.monotonic() + 60
    with Sharers(kit, group, topic) as members:
        every = [members.start(library, "value", "--commit", "async", "--max-poll", "10", "--pause-ms", "20") for library in LIBRARIES]
        while not all(one.values() for one in every) or len(values) < 400:
            values += put(kit, topic, numbered("retry", 40, len(values)), batch=10)
            expect(time.monotonic() < until, f"they got {[len(one.values()) for one in every]} records")
        members.await_values(set(values))
        for one in every:
            one.wait("has an answer to all", lambda one: len(one.answers) >= len(one.records) and len(members.values()) >= 2 * len(values))
        counts: dict[str, list[int]] = {}
        for one in every:
            one.leave()
            for value, seen in one.deliveries().items():
                counts.setdefault(value, []).extend(seen)
        wrong = {value: seen for value, seen in counts.items() if sorted(seen) != [1, 2]}
        expect(not wrong, f"{len(wrong)} records that are released once came otherwise than twice, such as {list(wrong.items())[:3]}")


def console(kit: Kit):
    """kafka-console-share-consumer: releases, rejects, and what one has accepted another isn't given."""
    topic, group = made(kit, "console", 2)
    values = [value for partition in range(2) for value in put(kit, topic, numbered(f"line of {partition}", 30), partition)]
    args = ["--topic", topic, "--group", group, "--property", "print.delivery=true", "--timeout-ms", 5000]

    def read(*more: object) -> list[str]:
        return [line for line in kit.tool(CONSOLE, *args, *more, timeout=120).text.splitlines() if line.startswith("Delivery:")]

    expect(sorted(read("--release", "--max-messages", 60)) == [f"Delivery:1\t{value}" for value in sorted(values)], "--release didn't get all of them once")
    expect(sorted(read("--max-messages", 60)) == [f"Delivery:2\t{value}" for value in sorted(values)], "what was released doesn't come once again")
    more = put(kit, topic, numbered("another", 10))
    expect(sorted(read("--reject", "--max-messages", 10)) == [f"Delivery:1\t{value}" for value in more], "--reject wasn't given just what nobody had accepted")
    expect(read() == [], "what was rejected comes again")


def perf_test(kit: Kit):
    topic, group = made(kit, "perf")
    put(kit, topic, numbered("record", 5000))
    args = ["--topic", topic, "--group", group, "--messages", 5000, "--hide-header", "--timeout", 30_000]
    said = kit.tool("org.apache.kafka.tools.ShareConsumerPerformance", *args).text
    fields = [field.strip() for field in said.strip().splitlines()[-1].split(",")]
    expect(len(fields) > 6 and int(fields[5]) == 5000, f"it says {said.strip()[-200:]}")


def share_groups(kit: Kit):
    """kafka-share-groups: list, describe in all its forms, delete offsets and groups; kafka-groups shows them."""
    topic, group = made(kit, "tool", 2)
    put(kit, topic, numbered("accept", 20))
    with Sharers(kit, group, topic) as members:
        one = members.start("java", "value", "--commit", "sync")
        one.wait("has accepted all", lambda one: len(one.answers) == 20)
        put(kit, topic, numbered("accept", 5))
        one.wait("has accepted the rest", lambda one: len(one.answers) == 25)
        said = kit.tool(COMMAND, "--list", "--state", "stable").text
        expect(re.search(rf"^{group}\s+Stable\s*$", said, re.MULTILINE), f"--list --state says {said.strip()[-300:]}")
        said = kit.tool("org.apache.kafka.tools.GroupsCommand", "--list", "--share").text
        expect(re.search(rf"^{group}\s+Share\s+share\s*$", said, re.MULTILINE), f"kafka-groups says {said.strip()[-300:]}")
        rows = starts(kit, group)
        # The last acknowledgement may have moved it without having been the reason to write it down.
        expect(set(rows) == {(topic, 0), (topic, 1)} and rows[topic, 0] in range(20, 26), f"--describe shows {rows}")
        said = kit.tool(COMMAND, "--describe", "--group", group, "--members", "--verbose").text
        expect(re.search(rf"/127\.0\.0\.1\s+\S+\s+2\s+\d+\s+{topic}:0,1\s*$", said, re.MULTILINE), f"--describe --members says {said.strip()[-300:]}")
        said = kit.tool(COMMAND, "--describe", "--group", group, "--state", "--verbose").text
        expect(re.search(rf"^{group}\s+\S+\s+\(\d+\)\s+Stable\s+\d+\s+\d+\s+1\s*$", said, re.MULTILINE), f"--describe --state says {said.strip()[-300:]}")
        for verb in (["--delete"], ["--delete-offsets", "--topic", topic]):
            said = kit.tool(COMMAND, *verb, "--group", group, fails=None)
            expect("not empty" in (said.text + said.err).lower(), f"{verb[0]} of a group with a member: {said.last_words()}")
        one.leave()
    said = kit.tool(COMMAND, "--delete-offsets", "--group", group, "--topic", topic).text
    expect(re.search(rf"^{topic}\s+Successful\s*$", said, re.MULTILINE), f"--delete-offsets says {said.strip()[-300:]}")
    expect(starts(kit, group) == {}, f"after --delete-offsets --describe shows {starts(kit, group)}")
    kit.tool(COMMAND, "--delete", "--group", group)
    expect(group not in kit.tool(COMMAND, "--list").text, "--list still shows the group that was deleted")


def starts(kit: Kit, group: str) -> dict[tuple[str, int], int | None]:
    """Where the group starts in each partition, none where it has acknowledged nothing yet."""
    said = kit.tool(COMMAND, "--describe", "--group", group).text
    rows = [line.split() for line in said.splitlines() if line.startswith(group)]
    return {(row[1], int(row[2])): None if row[3] == "-" else int(row[3]) for row in rows}


def offsets(kit: Kit):
    """Where an empty group starts can be set, by Kafka's own admin client; it begins there, with delivery counts from 1."""
    topic, group = made(kit, "offsets")
    values = put(kit, topic, numbered("accept", 40))

    def read(count: int, *meanwhile: str) -> Sharer:
        with Sharers(kit, group, topic) as members:
            one = members.start("java", "value", "--commit", "sync")
            one.wait(f"has {count} records, all answered", lambda one: len(one.answers) >= count)
            if meanwhile:
                # It is refused, which this client doesn't tell.
                kit.run(meanwhile, fails=None)
            one.leave()
            expect(len(one.records) == count and {row[2] for row in one.records} == {1}, f"came {len(one.records)} records, not {count}: {one.records[:3]}")
            return one

    change = [*kit.jvm("64m"), "Share", "offsets", "--bootstrap", kit.bootstrap, "--group", group, "--topic", topic, "--set"]
    expect(read(40, *change, "0=0").values() == values, "the records differ from what was produced")
    nothing_more(kit, topic, group, "java")
    expect(kit.run([*change, "0=31"]).text.split() == [topic, "0", "31"], "the offset isn't what it was set to")
    expect(read(10).values()[:9] == values[31:], "after offset 31 was set it doesn't begin there")
    kit.run([*change, "0=0"])
    expect(read(41).values()[:40] == values, "after offset 0 was set it doesn't begin there")


def configs(kit: Kit):
    """kafka-configs: the settings of a group, kept in bounds."""
    topic, group = made(kit, "configs")
    who = ["--entity-type", "groups", "--entity-name", group]

    def settings() -> set[str]:
        return set(kit.run([*kit.jvm("64m"), "Share", "settings", "--bootstrap", kit.bootstrap, "--group", group]).text.split())

    kit.tool(CONFIGS, "--alter", *who, "--add-config", "share.record.lock.duration.ms=20000,share.isolation.level=read_committed")
    given = {"share.record.lock.duration.ms=20000", "share.isolation.level=read_committed", "share.auto.offset.reset=earliest"}
    expect(settings() == given, f"the group's settings are {settings()}, not {given}")
    for setting in ("share.record.lock.duration.ms=70000", "share.auto.offset.reset=sometimes", "share.session.timeout.ms=0", "share.nothing=1"):
        refused = kit.tool(CONFIGS, "--alter", *who, "--add-config", setting, fails=None)
        expect("InvalidConfiguration" in refused.text + refused.err, f"{setting}: {refused.last_words()}")
    kit.tool(CONFIGS, "--alter", *who, "--delete-config", "share.isolation.level")
    expect(settings() == given - {"share.isolation.level=read_committed"}, f"after --delete-config the group's settings are {settings()}")


def other_groups(kit: Kit):
    """A share consumer can't join a consumer group, nor a consumer a share group."""
    topic, group = made(kit, "other")
    put(kit, topic, ["accept 1"])
    with Sharers(kit, group, topic) as members:
        one = members.start("java", "value", "--commit", "sync")
        one.wait("has the record", lambda one: one.answers)
        said = kit.kcat("-G", group, "-q", "-e", topic, fails=None, timeout=60)
        expect(said.code != 0 and not said.out, f"a consumer of a share group: {said.last_words()}")
        one.leave()
    reader = f"{topic}-readers"
    kit.kcat("-G", reader, "-q", "-c", 1, "-X", "auto.offset.reset=earliest", topic, timeout=60)
    with Sharers(kit, reader, topic) as members:
        one = members.start("java", "value")
        one.wait("has ended", lambda one: one.ended, 30)
        expect(not one.records, f"a share consumer of a consumer group has {one.values()}")
