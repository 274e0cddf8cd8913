"""One trial: a cluster under load, faults by plan, and what must hold at the end."""

import subprocess
import threading
import time
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from nodes import drives
from nodes.cluster import Cluster, last_words
from nodes.layout import ClusterError
from nodes.network import CLIENTS
from nodes.processes import until

from trials import load, replicas
from trials.checker import Checker
from trials.outages import FOLLOWED, LED, Outages
from trials.plan import Round, Step

TOPIC = "trial"
# The least that Kafka allows: new segments are begun all the time, also on full drives.
SEGMENT_BYTES = 1 << 20
IN_SYNC_SECONDS = 180
DRAIN_SECONDS = 120
READ_SECONDS = 600


class Watcher(load.Worker):
    """Asks the cluster again and again who leads and who is in sync; the last answer counts while there is none."""

    def __init__(self, bootstrap: str, partitions: int):
        super().__init__("watcher")
        self.admin = AdminClient(load.PATIENCE | {"bootstrap.servers": bootstrap})
        self.partitions = partitions
        self.leaders: dict[int, int] = {}
        self.in_sync: dict[int, int] = {}
        self.at = 0.0

    def work(self) -> None:
        while not self.stopping.wait(0.3):
            asked = time.monotonic()
            try:
                topic = self.admin.list_topics(TOPIC, timeout=2).topics[TOPIC]
            except KafkaException:
                continue
            if len(topic.partitions) == self.partitions:
                self.leaders |= {number: at.leader for number, at in topic.partitions.items() if at.leader >= 0}
                self.in_sync = {number: len(at.isrs) for number, at in topic.partitions.items()}
                self.at = asked

    def await_in_sync(self, replicas_: int, seconds: float) -> bool:
        """Until an answer asked for from now on shows all replicas of all partitions in sync."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            if self.at > began and len(self.in_sync) == self.partitions and all(count == replicas_ for count in self.in_sync.values()):
                return True
            time.sleep(0.1)
        return False


class Trial:
    def __init__(self, cluster: Cluster, partitions: int, producers: int, min_in_sync: int, say):
        self.cluster, self.partitions, self.say = cluster, partitions, say
        self.replicas = min(3, len(cluster.nodes))
        self.producers = producers
        self.checker, self.outages = Checker(frozenset(filter(load.pipelined, range(producers)))), Outages()
        self.watcher = Watcher(cluster.bootstrap, partitions)
        self.workers: list[load.Worker] = []
        self.senders: list[load.Sender] = []
        self.ends: dict[int, int] = {}
        self._make_topic(min_in_sync)

    def _make_topic(self, min_in_sync: int) -> None:
        admin = self.watcher.admin
        config = {"min.insync.replicas": str(min_in_sync), "retention.ms": "-1", "segment.bytes": str(SEGMENT_BYTES)}
        admin.create_topics([NewTopic(TOPIC, self.partitions, self.replicas, config=config)])[TOPIC].result(60)
        self.watcher.start()
        if not self.watcher.await_in_sync(self.replicas, IN_SYNC_SECONDS):
            raise ClusterError(f"the new topic's replicas aren't in sync after {IN_SYNC_SECONDS} s")

    def start_load(self, rate: float, acks: str, seed: int) -> None:
        cluster, checker = self.cluster, self.checker
        self.senders = [load.Sender(number, cluster.bootstrap, TOPIC, self.partitions, rate / self.producers, acks, checker, self.outages)
                        for number in range(self.producers)]
        self.workers = [*self.senders, load.Follower(0, cluster.bootstrap, TOPIC, self.partitions, checker),
                        load.Wanderer(cluster.bootstrap, TOPIC, self.partitions, checker, seed)]
        for worker in self.workers:
            worker.start()

    # -- faults -------------------------------------------------------------------------------------------------

    def round(self, number: int, at: Round) -> None:
        self.say(f"{number:4d}  {'; '.join(map(str, at.steps))}")
        chosen: list[tuple[Step, int]] = []
        for step in at.steps:
            victim = self._victim(step, [node for _, node in chosen])
            chosen.append((step, victim))
            kind = step.kind if len(at.steps) == 1 else "two at once"
            roles = {p: LED if step.kind == "killall" or self.watcher.leaders.get(p) == victim else FOLLOWED for p in range(self.partitions)}
            self.outages.fault(kind, time.monotonic(), roles, f"round {number}, {step}")
            self._do(step, victim)
            time.sleep(step.hold)
        for step, victim in reversed(chosen) if at.crossed else chosen:
            self._undo(step, victim)
        self._look_after()
        if at.await_ready:
            self._await_ready()
        time.sleep(at.pause)
        if at.settle:
            self.settle()

    def _await_ready(self) -> None:
        try:
            self.cluster.await_ready()
        except ClusterError as error:
            self.checker.found("unavailable", str(error))

    def settle(self) -> None:
        if not self.watcher.await_in_sync(self.replicas, IN_SYNC_SECONDS):
            self.checker.found("not in sync", f"in-sync replicas of the partitions {self.watcher.in_sync} {IN_SYNC_SECONDS} s after the last fault")

    def _victim(self, step: Step, taken: list[int]) -> int:
        victim = self.watcher.leaders.get(step.victim, 1) if step.leads else step.victim
        others = [node.id for node in self.cluster.nodes if node.id not in taken]
        return victim if victim in others else others[victim % len(others)]

    def _parties(self, step: Step, victim: int) -> list[tuple[str, str, bool]]:
        """What is cut for it: pairs, and whether only one way."""
        peers = [str(node.id) for node in self.cluster.nodes if node.id != victim]
        me = str(victim)
        return {
            "peers": [(me, peer, False) for peer in peers],
            "one peer": [(me, peers[0], False)],
            "everyone": [(me, party, False) for party in [*peers, CLIENTS]],
            "its sending to peers": [(me, peer, True) for peer in peers],
            "its hearing from peers": [(peer, me, True) for peer in peers],
            "its sending to one peer": [(me, peers[-1], True)],
        }[step.way]

    def _do(self, step: Step, victim: int) -> None:
        cluster = self.cluster
        if step.kind == "kill":
            self._unless_gone(cluster.kill, victim)
        elif step.kind == "killall":
            running = [node.id for node in cluster.nodes if cluster.state(node) in ("running", "paused")]
            cluster.kill(*running)
        elif step.kind == "pause":
            self._unless_gone(cluster.pause, victim)
        elif step.kind == "restart":
            self._unless_gone(self._stop, victim)
        elif step.kind == "full":
            cluster.fill(victim)
        else:
            for one, other, one_way in self._parties(step, victim):
                cluster.cut(one, other, one_way)

    def _undo(self, step: Step, victim: int) -> None:
        cluster = self.cluster
        if step.kind in ("kill", "restart", "killall"):
            gone = [node.id for node in cluster.nodes if cluster.state(node) in ("killed", "stopped")]
            cluster.start(*gone, wait=False)
        elif step.kind == "pause":
            if cluster.state(cluster.layout.node(victim)) == "paused":
                cluster.resume(victim)
        elif step.kind == "full":
            cluster.free(victim)
        else:
            cluster.heal()

    def _unless_gone(self, act, victim: int) -> None:
        """An earlier fault of the same round may have ended it."""
        if self.cluster.state(self.cluster.layout.node(victim)) in ("running", "paused"):
            act(victim)

    def _stop(self, victim: int) -> None:
        try:
            self.cluster.stop(victim)
        except ClusterError as error:
            # Kafka waits for a controller, for minutes while there is none.
            if self.cluster.layout.system == "ottla":
                self.checker.found("not stopped", str(error))
            self.cluster.kill(victim)

    def _look_after(self) -> None:
        """Nodes that ended by themselves, and workers that did."""
        for node in self.cluster.nodes:
            if self.cluster.state(node) == "ended":
                # Kafka's own way with a drive that fails, where it has no other.
                if self.cluster.layout.system == "ottla":
                    self.checker.found("ended", f"node {node.id} ended by itself; the end of {node.log}:\n{last_words(node)}")
                self.cluster.start(node.id, wait=False)
        for worker in self.workers:
            if worker.died is not None:
                raise RuntimeError(f"{worker.name} died") from worker.died

    # -- the end ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Waits for all to be well, and reads everything from everywhere."""
        self._await_ready()
        self.settle()
        until(lambda: not self.outages.unanswered(), DRAIN_SECONDS)
        for worker in self.workers:
            worker.stopping.set()
        for worker in self.workers:
            worker.join(60)
        self._look_after()
        left = sum(self._drain())
        if left:
            self.checker.found("unavailable", f"{left} records have no answer {DRAIN_SECONDS} s after all faults are over")
        for fault, partition in self.outages.unanswered():
            self.checker.found("unavailable", f"partition {partition} took nothing any more after {fault.kind}")
        self.say("reading all partitions")
        for partition in range(self.partitions):
            self.ends[partition] = load.read_whole(self.cluster.bootstrap, TOPIC, partition, self.checker, READ_SECONDS)
        self._compare()
        self.watcher.stopping.set()
        self.watcher.join(10)

    def _drain(self) -> list[int]:
        left = [0] * len(self.senders)

        def drain(number: int) -> None:
            left[number] = self.senders[number].drain(DRAIN_SECONDS)

        threads = [threading.Thread(target=drain, args=(number,)) for number in range(len(self.senders))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return left

    def _compare(self) -> None:
        """Every replica as it is read from its node, and, once all are stopped, as it is on the drive."""
        self.settle()
        whole: dict[int, list[replicas.Batch]] = {}
        for partition in range(self.partitions):
            end = self.ends[partition]
            for node in self.cluster.nodes:
                try:
                    with replicas.Replica(node.host, node.port) as replica:
                        read = replica.whole(TOPIC, partition, end)
                except (OSError, replicas.Unreadable) as error:
                    self.checker.found("replicas differ", f"partition {partition} can't be read from node {node.id}: {error}")
                    continue
                first = whole.setdefault(partition, read)
                if different := replicas.difference(first, read):
                    self.checker.found("replicas differ", f"partition {partition}, read from node {node.id}: {different}")
        for partition, log in whole.items():
            for wrong in replicas.out_of_sequence(log):
                self.checker.found("out of sequence", f"partition {partition}, {wrong}")
        for node in self.cluster.nodes:
            self._stop(node.id)
        for node in self.cluster.nodes:
            folders = [drives.data(drive) for drive in node.drives]
            for partition, first in whole.items():
                if different := replicas.difference(first, replicas.on_drives(folders, TOPIC, partition)):
                    self.checker.found("replicas differ", f"partition {partition}, on node {node.id}'s drive: {different}")
            self._dump(node.id, [path for partition in range(self.partitions) for path in replicas.segments(folders, TOPIC, partition)])

    def _dump(self, node: int, files: list[Path]) -> None:
        if self.cluster.layout.system != "ottla" or not files:
            return
        done = subprocess.run([self.cluster.layout.ottla, "log", "dump", "--quiet", *files], capture_output=True, text=True, check=False)
        if done.returncode:
            self.checker.found("corrupt", f"ottla log dump of node {node}'s segments: {(done.stdout + done.stderr)[-400:]}")
