"""kafka-topics, kafka-broker-api-versions, kafka-cluster, kafka-log-dirs, and the other clients' views of topics."""

import json
import re
import time

from suite.kit import Kit, expect

TOPICS = "org.apache.kafka.tools.TopicCommand"


def checks(quick: bool):
    return [
        ("topics/create-list-describe", create_list_describe),
        ("topics/alter-partitions", alter_partitions),
        ("topics/delete", delete),
        ("topics/refusals", refusals),
        ("topics/auto-create", auto_create),
        ("topics/recreate-changes-id", recreate_changes_id),
        ("topics/kcat-metadata", kcat_metadata),
        ("topics/python-admin", python_admin),
        ("broker/api-versions", api_versions),
        ("broker/cluster-id", cluster_id),
        ("broker/log-dirs", log_dirs),
    ]


def create_list_describe(kit: Kit):
    name = kit.name("create")
    create = ["--create", "--topic", name, "--partitions", 3, "--replication-factor", 1]
    made = kit.tool(TOPICS, *create, "--config", "retention.ms=3600000", "--config", "cleanup.policy=delete")
    expect(f"Created topic {name}." in made.text, f"no word of the topic: {made.last_words()}")
    listed = kit.tool(TOPICS, "--list").text.split()
    expect(name in listed, "the new topic isn't listed")
    described = kit.tool(TOPICS, "--describe", "--topic", name).text
    head, *rows = described.strip().splitlines()
    expect("PartitionCount: 3" in head and "ReplicationFactor: 1" in head, f"describe says: {head}")
    expect(re.search(r"TopicId: [A-Za-z0-9_-]{22}", head), f"no topic id: {head}")
    expect("retention.ms=3600000" in head, f"the config given at creation isn't shown: {head}")
    expect(len(rows) == 3, f"{len(rows)} partition rows in place of 3")
    for number, row in enumerate(rows):
        expect(f"Partition: {number}\t" in row and "Leader: none" not in row, f"describe says: {row.strip()}")
        leader, isr = re.search(r"Leader: (\d+)", row), re.search(r"Isr: (\d+)", row)
        expect(leader and isr and leader[1] == isr[1], f"leader and in-sync replica differ: {row.strip()}")


def alter_partitions(kit: Kit):
    name = kit.topic("alter", 2)
    kit.tool(TOPICS, "--alter", "--topic", name, "--partitions", 5)
    described = kit.tool(TOPICS, "--describe", "--topic", name).text
    expect("PartitionCount: 5" in described, f"after --partitions 5: {described.splitlines()[0]}")
    refused = kit.tool(TOPICS, "--alter", "--topic", name, "--partitions", 3, fails=True)
    expect("InvalidPartitionsException" in refused.text + refused.err, f"shrinking: {refused.last_words()}")
    # The new partitions take data at once.
    lines = kit.file("alter.txt", b"".join(b"line %d\n" % n for n in range(50)))
    kit.client("kcat").produce(name, 4, lines)
    expect(kit.client("franz").consume(name, 4, 50) == lines.read_bytes(), "data of an added partition differs")


def delete(kit: Kit):
    name, other = kit.topics(["delete", "delete-not"])
    kit.tool(TOPICS, "--delete", "--topic", name)
    deadline = time.monotonic() + 10
    while f'"{name}"' in (listed := kit.kcat("-L", "-J").text):
        expect(time.monotonic() < deadline, "still in the metadata ten seconds after its deletion")
        time.sleep(0.2)
    expect(f'"{other}"' in listed, "another topic went with it")
    again = kit.tool(TOPICS, "--delete", "--topic", name, fails=True)
    expect("does not exist" in again.text + again.err, f"deleting it again: {again.last_words()}")


def refusals(kit: Kit):
    existing = kit.topic("exists")
    cases = [
        (existing, [], "TopicExistsException"),
        (kit.name("rf"), ["--replication-factor", 3], "InvalidReplicationFactorException"),
        (kit.name("config"), ["--config", "retention.ms=soon"], "InvalidConfigurationException|ConfigException"),
        (kit.name("unknown-config"), ["--config", "no.such.config=1"], "InvalidConfigurationException|Unknown topic config"),
        (kit.name("bad name").replace("-bad", "/bad"), [], "InvalidTopicException"),
        (kit.name("x" * 250), [], "InvalidTopicException"),
    ]
    if kit.quick:
        cases = [cases[0], cases[1], cases[3]]
    for topic, options, wanted in cases:
        refused = kit.tool(TOPICS, "--create", "--topic", topic, *options, fails=True)
        expect(re.search(wanted, refused.text + refused.err), f"{wanted} wanted, got: {refused.last_words()}")


def auto_create(kit: Kit):
    name = kit.name("auto")
    kit.kcat("-P", "-t", name, stdin=b"first\n")
    expect(name in [topic["topic"] for topic in metadata(kit)["topics"]], "producing didn't create the topic")
    partitions = next(t["partitions"] for t in metadata(kit)["topics"] if t["topic"] == name)
    found = [p["partition"] for p in partitions if kit.driver("confluent", "watermarks", "--topic", name,
             "--partition", p["partition"]).text.split() == ["0", "1"]]
    expect(len(found) == 1, f"the record is in {len(found)} partitions")


def recreate_changes_id(kit: Kit):
    ids = []
    for content in (b"old\n", b"new\n"):
        name = kit.topic("recreated")
        kit.kcat("-P", "-t", name, "-p", 0, stdin=content)
        expect(kit.client("franz").consume(name, 0, 1) == content, "a new topic shows other data")
        ids.append(re.search(r"TopicId: (\S+)", kit.tool(TOPICS, "--describe", "--topic", name).text)[1])
        kit.driver("confluent", "delete", "--topic", name)
        time.sleep(1)
    expect(ids[0] != ids[1], "a topic made again has its old id")


def metadata(kit: Kit) -> dict:
    return json.loads(kit.kcat("-L", "-J").text)


def kcat_metadata(kit: Kit):
    name = kit.topic("metadata", 4)
    seen = metadata(kit)
    brokers = {broker["id"] for broker in seen["brokers"]}
    expect(brokers, "no brokers in the metadata")
    topic = next((t for t in seen["topics"] if t["topic"] == name), None)
    expect(topic, "the topic isn't in the metadata of all topics")
    expect([p["partition"] for p in topic["partitions"]] == [0, 1, 2, 3], f"partitions: {topic['partitions']}")
    expect(all(p["leader"] in brokers for p in topic["partitions"]), "a leader is not among the brokers")
    one = json.loads(kit.kcat("-L", "-J", "-t", name).text)
    expect([t["topic"] for t in one["topics"]] == [name], "metadata of one topic shows others, or not it")


def python_admin(kit: Kit):
    for library in ("confluent", "kafka-python"):
        name = kit.name(f"admin-{library}")
        kit.driver(library, "create", "--topic", name, "--partitions", 2, "--config", "retention.ms=7654321")
        config = kit.driver(library, "config", "--topic", name).text.splitlines()
        expect("retention.ms=7654321" in config, f"{library} doesn't see the config it gave")
        again = kit.driver(library, "create", "--topic", name, fails=True)
        expect("exist" in again.err.lower(), f"{library} creating it again: {again.last_words()}")
        kit.driver(library, "delete", "--topic", name)


def api_versions(kit: Kit):
    said = kit.tool("org.apache.kafka.tools.BrokerApiVersionsCommand").text
    ranges = dict(re.findall(r"(\w+)\((\d+)\): \d+", said))
    for api in ("Produce", "Fetch", "ListOffsets", "Metadata", "ApiVersions", "CreateTopics", "InitProducerId"):
        expect(api in ranges, f"{api} isn't among the versions shown")


def cluster_id(kit: Kit):
    said = kit.java("org.apache.kafka.tools.ClusterTool", "cluster-id", "--bootstrap-server", kit.bootstrap).text
    expect(re.search(r"Cluster ID: \S{10,}", said), f"it says: {said.strip()}")


def log_dirs(kit: Kit):
    name = kit.topic("log-dirs", 2)
    lines = kit.file("log-dirs.txt", b"".join(b"%0100d\n" % n for n in range(2000)))
    kit.client("kcat").produce(name, 1, lines)
    said = kit.tool("org.apache.kafka.tools.LogDirsCommand", "--describe", "--topic-list", name).text
    report = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    dirs = [d for broker in report["brokers"] for d in broker["logDirs"]]
    expect(dirs and all(d["error"] is None for d in dirs), f"errors in the report: {said[-300:]}")
    sizes = {p["partition"]: p["size"] for d in dirs for p in d["partitions"]}
    expect(set(sizes) == {f"{name}-0", f"{name}-1"}, f"partitions in the report: {sorted(sizes)}")
    expect(sizes[f"{name}-0"] == 0, f"an empty partition has size {sizes[f'{name}-0']}")
    expect(200_000 <= sizes[f"{name}-1"] <= 400_000, f"200 kB written, size shown is {sizes[f'{name}-1']}")
