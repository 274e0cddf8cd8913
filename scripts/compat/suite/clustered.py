"""What is done with a cluster of three while clients run, and what Kafka's tools must say of it."""

import json
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from nodes.cluster import Cluster

from suite.failover import LIBRARIES, Failover
from suite.kit import Kit, expect

TOPICS = "org.apache.kafka.tools.TopicCommand"
QUORUM = "org.apache.kafka.tools.MetadataQuorumCommand"
ELECTION = "org.apache.kafka.tools.LeaderElectionCommand"
REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
CLUSTER = "org.apache.kafka.tools.ClusterTool"
PARTITIONS = 3
REPLICAS = 3
WAIT_SECONDS = 90
ROW = re.compile(r"Topic: (?P<topic>\S+)\s+Partition: (?P<partition>\d+)\s+Leader: (?P<leader>\S+)\s+Replicas: (?P<replicas>[\d,]*)\s+Isr: (?P<isr>[\d,]*)")


class Row(NamedTuple):
    """A partition as kafka-topics describes it."""

    topic: str
    partition: int
    leader: int  # -1 where there is none
    replicas: list[int]
    in_sync: list[int]


class Clustered:
    def __init__(self, kit: Kit, cluster: Cluster):
        self.kit, self.cluster = kit, cluster
        self.topic = kit.name("described")
        self.failover: Failover | None = None

    def _create(self, topic: str) -> None:
        self.kit.tool(TOPICS, "--create", "--topic", topic, "--partitions", PARTITIONS, "--replication-factor", REPLICAS,
                      "--config", "min.insync.replicas=2")

    def described(self, *options: str) -> list[Row]:
        """What kafka-topics says, but for internal topics."""
        said = self.kit.tool(TOPICS, "--describe", *options).text
        numbers = [match.groupdict() for match in ROW.finditer(said)]
        return [Row(row["topic"], int(row["partition"]), int(row["leader"].replace("none", "-1")), _list(row["replicas"]), _list(row["isr"]))
                for row in numbers if not row["topic"].startswith("__")]

    def rows(self, topic: str | None = None) -> list[Row]:
        """What kcat says, which is quicker to ask again and again."""
        said = self.kit.kcat("-L", "-J", *(["-t", topic] if topic else []), fails=None)
        topics = json.loads(said.text)["topics"] if said.code == 0 else []
        return [Row(at["topic"], row["partition"], row["leader"], [one["id"] for one in row["replicas"]], [one["id"] for one in row["isrs"]])
                for at in topics if not at["topic"].startswith("__") for row in at["partitions"]]

    def _await(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (seen := condition()):
            expect(time.monotonic() < deadline, f"{what}: not after {WAIT_SECONDS} s")
            time.sleep(0.5)
        self.kit.log.write(f"{what}: {seen}")

    def _await_in_sync(self) -> None:
        self._await("no replica is out of sync", lambda: (rows := self.rows()) and all(len(row.in_sync) == len(row.replicas) for row in rows))

    # -- checks, in their order ---------------------------------------------------------------------------------

    def describe(self) -> None:
        self._create(self.topic)
        self._await_in_sync()
        rows = self.described("--topic", self.topic)
        expect(len(rows) == PARTITIONS, f"{len(rows)} partitions are described in place of {PARTITIONS}")
        nodes = sorted(node.id for node in self.cluster.nodes)
        for row in rows:
            expect(sorted(row.replicas) == nodes, f"partition {row.partition} has replicas {row.replicas}, the nodes are {nodes}")
            expect(sorted(row.in_sync) == nodes, f"partition {row.partition} has in sync {row.in_sync}")
            expect(row.leader == row.replicas[0], f"partition {row.partition} is led by {row.leader}, its replicas are {row.replicas}")
        leaders = {row.leader for row in rows}
        expect(len(leaders) == len(nodes), f"all {PARTITIONS} partitions are led by {leaders}")
        expect(not self.described("--under-replicated-partitions"), "--under-replicated-partitions shows some")

    def quorum(self) -> None:
        status = dict(re.findall(r"^(\w+):\s+(.*)$", self.kit.tool(QUORUM, "describe", "--status").text, re.MULTILINE))
        nodes = {node.id for node in self.cluster.nodes}
        expect(int(status.get("LeaderId", "-1")) in nodes, f"the quorum's status is {status}")
        voters = {int(number) for number in re.findall(r'"id": (\d+)|\b(\d+)\b', status.get("CurrentVoters", "")) for number in number if number}
        expect(nodes <= voters, f"the voters are {status.get('CurrentVoters')}")
        described = self.kit.tool(QUORUM, "describe", "--replication").text
        found = {int(row.split()[0]): row.split()[-1] for row in described.strip().splitlines()[1:] if row.split()[0].isdigit()}
        expect(set(found) == nodes, f"the quorum's replicas are {found}")
        expect(sorted(found.values()) == ["Follower", "Follower", "Leader"], f"the quorum's replicas are {found}")

    def start_clients(self, rate: int) -> Failover:
        topics = {library: self.kit.name(f"failover-{library}") for library in LIBRARIES}
        for topic in topics.values():
            self._create(topic)
        self._await_in_sync()
        self.failover = Failover(self.kit, topics, PARTITIONS, rate)
        self._await_progress()
        return self.failover

    def _await_progress(self) -> None:
        """Until a record of every producer has been acknowledged that was sent from now on, more or less."""
        before = self.failover.acknowledged()
        self._await("every producer goes on", lambda: all(now > before[library] + 100 for library, now in self.failover.acknowledged().items()))

    def kill(self, number: int, away: float) -> None:
        self.cluster.kill(number)
        try:
            self._while_away(number)
            time.sleep(away)
        finally:
            self.cluster.start(number)
        self._await_in_sync()
        self._await_progress()

    def _while_away(self, number: int) -> None:
        self._await(f"node {number} is out of sync everywhere", lambda: (rows := self.rows()) and all(number not in row.in_sync for row in rows))
        self._await(f"node {number} leads nothing", lambda: (rows := self.rows()) and all(row.leader not in (number, -1) for row in rows))
        if number == 1:
            self._under_replicated(number)
        self._await_progress()

    def _under_replicated(self, away: int) -> None:
        """What kafka-topics says while a node is away."""
        rows, all_rows = self.described("--under-replicated-partitions"), self.rows()
        expect(len(rows) == len(all_rows), f"{len(rows)} of {len(all_rows)} partitions are shown as under-replicated with node {away} away")
        expect(all(away in row.replicas and away not in row.in_sync for row in rows), f"--under-replicated-partitions shows {rows}")
        expect(not self.described("--unavailable-partitions"), "--unavailable-partitions shows some while one node of three is away")
        expect(len(self.described("--at-min-isr-partitions")) == len(all_rows), "--at-min-isr-partitions doesn't show all while one node of three is away")

    def restart(self, number: int) -> None:
        took = self.cluster.stop(number)
        self.kit.log.write(f"node {number} ended {took:.1f} s after SIGTERM")
        self.cluster.start(number)
        self._await_in_sync()
        self._await_progress()

    def elect_preferred(self) -> None:
        def wrong() -> list[Row]:
            return [row for row in self.rows() if row.leader != row.replicas[0]]

        # Leaders may be where they belong already, by the cluster's own rebalancing: then the tool has nothing to do.
        self.kit.log.write(f"not led by their first replica: {wrong()}")
        said = self.kit.java(ELECTION, "--bootstrap-server", self.kit.bootstrap, "--election-type", "preferred", "--all-topic-partitions", fails=None)
        expect(said.code == 0, f"kafka-leader-election: {said.last_words()}")
        self._await("every partition is led by its first replica", lambda: not wrong())

    def reassign(self) -> None:
        topic = self.failover.topics["java"]
        content = self._content(topic)
        added = self.cluster.add().id
        self._await(f"node {added} is a broker", lambda: f" {added} " in self._brokers())
        self._move(topic, {partition: [added, 1 + partition % 3, 1 + (partition + 1) % 3] for partition in range(PARTITIONS)})
        expect(self._content(topic) == content, "the records differ after the move")
        self._await(f"node {added} is elected", lambda: self._elected(topic, added))
        expect(self._content(topic) == content, "the records differ when the new node leads")

    def _elected(self, topic: str, number: int) -> bool:
        self.kit.java(ELECTION, "--bootstrap-server", self.kit.bootstrap, "--election-type", "preferred", "--all-topic-partitions", fails=None)
        return all(row.leader == number for row in self.rows(topic))

    def _content(self, topic: str) -> list[bytes]:
        return [self.kit.franz("consume", "--topic", topic, "--partition", partition, "--count", self.failover.ends[topic, partition]).out
                for partition in range(PARTITIONS)]

    def _brokers(self) -> str:
        return " " + " ".join(str(broker["id"]) for broker in json.loads(self.kit.kcat("-L", "-J").text)["brokers"]) + " "

    def _move(self, topic: str, to: dict[int, list[int]]) -> None:
        plan = {"version": 1, "partitions": [{"topic": topic, "partition": partition, "replicas": replicas} for partition, replicas in to.items()]}
        file = self.kit.file(f"reassign-{time.monotonic_ns()}.json", json.dumps(plan).encode())
        said = self.kit.tool(REASSIGN, "--reassignment-json-file", file, "--execute").text
        expect("Successfully started partition reassignment" in said, f"--execute says: {said.strip()[-300:]}")
        verify = ["--reassignment-json-file", file, "--verify"]
        self._await("the reassignment is complete", lambda: self.kit.tool(REASSIGN, *verify).text.count("is completed.") == len(to))
        expect("No partition reassignments found." in self.kit.tool(REASSIGN, "--list").text, "--list still shows reassignments")
        for row in self.described("--topic", topic):
            expect(row.replicas == to[row.partition], f"partition {row.partition} has replicas {row.replicas} in place of {to[row.partition]}")
            expect(sorted(row.in_sync) == sorted(row.replicas), f"partition {row.partition} has in sync {row.in_sync}")

    def unregister(self) -> None:
        number = self.cluster.nodes[-1].id
        expect(number == len(self.cluster.nodes) == REPLICAS + 1, "there is no fourth node: the check before has failed")
        self._move(self.failover.topics["java"], {partition: [1 + (partition + at) % 3 for at in range(3)] for partition in range(PARTITIONS)})
        self.cluster.stop(number)
        self._await(f"node {number} is gone from the metadata", lambda: f" {number} " not in self._brokers())
        said = self.kit.java(CLUSTER, "unregister", "--bootstrap-server", self.kit.bootstrap, "--id", number).text
        expect(f"Broker {number} is no longer registered." in said, f"kafka-cluster unregister says: {said.strip()}")
        again = self.kit.java(CLUSTER, "unregister", "--bootstrap-server", self.kit.bootstrap, "--id", number, fails=None)
        self.kit.log.write(f"unregistering it again: {again.text.strip()} {again.last_words()}")


def _list(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]
