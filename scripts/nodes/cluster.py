"""A cluster as one thing: brought up, its nodes stopped, killed, paused, cut off and brought back, taken down.

Every change is noted in the cluster's folder before the next begins, so that whoever comes later, or after a Ctrl-C,
finds all there is.
"""

import base64
import contextlib
import fcntl
import os
import shutil
import signal
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from nodes import drives, network, processes
from nodes.layout import FILE, ClusterError, Layout, Node
from nodes.network import CLIENTS
from nodes.processes import Process
from nodes.systems import listens, system

START_SECONDS = 120
STOP_SECONDS = 60
LOG_LINES = 15


class Shown(NamedTuple):
    """A node as `status` tells it."""

    node: Node
    state: str
    ready: bool
    free: list[int]


def process_of(node: Node) -> Process:
    return Process(node.pid, node.began)


def last_words(node: Node) -> str:
    try:
        lines = node.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return ""
    return "\n".join(f"  {line[:300]}" for line in lines)


class Cluster:
    def __init__(self, layout: Layout):
        self.layout = layout
        self.system = system(layout.system)

    @classmethod
    def open(cls, folder: Path) -> "Cluster":
        return cls(Layout.load(folder))

    @property
    def bootstrap(self) -> str:
        return self.layout.bootstrap

    @property
    def nodes(self) -> list[Node]:
        return self.layout.nodes

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone with the folder, with what it says now; what was changed is noted in any case."""
        with open(Path(self.layout.folder) / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (Path(self.layout.folder) / FILE).exists():
                self.layout = Layout.load(Path(self.layout.folder))
            try:
                yield
            finally:
                self.layout.save()

    # -- all of it ----------------------------------------------------------------------------------------------

    @classmethod
    def up(cls, layout: Layout, count: int) -> "Cluster":
        """Starts a new cluster of `count` nodes and waits until all of them serve."""
        folder = Path(layout.folder)
        if (folder / FILE).exists():
            raise ClusterError(f"a cluster is up already in {folder}: see scripts/cluster status, or take it down with scripts/cluster down")
        cluster = cls(layout)
        cluster._check(count)
        if folder.exists() and any(entry.name != "lock" and not entry.name.startswith("node-") for entry in folder.iterdir()):
            raise ClusterError(f"{folder} has files in it that aren't a cluster's: set OTTLA_CLUSTER_DIR to a new or empty folder")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            cluster._build(count)
            cluster.await_ready()
        except BaseException:
            cluster.down(keep=True)
            raise
        return cluster

    def _check(self, count: int) -> None:
        layout = self.layout
        if count < 1:
            raise ClusterError("--nodes: one at least")
        if missing := drives.missing_tools(layout):
            raise ClusterError(f"missing: {', '.join(missing)}")
        if (layout.xfs or layout.netns) and os.geteuid():
            raise ClusterError("--xfs and --netns need root")
        if 0 < layout.xfs < drives.XFS_LEAST:
            raise ClusterError(f"--xfs: XFS wants {drives.XFS_LEAST >> 20}M at least")
        if not 1 <= layout.voters <= count:
            raise ClusterError(f"--voters {layout.voters}: from 1 to the number of nodes, {count}")
        drives.check_rate(layout)
        self.system.check(layout)
        self.system.prepare(layout)
        for _ in range(count):
            layout.add_node()
        for node in layout.nodes:
            for port in (node.port, node.internal, node.admin):
                if listens(node.host, port) and not layout.netns:
                    raise ClusterError(f"port {port} is in use: give another --base-port, or stop what listens there")

    def _build(self, count: int) -> None:
        layout = self.layout
        layout.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        layout.save()
        if layout.netns:
            network.make_bridge(layout)
        for node in layout.nodes:
            self._place(node)
        with self._changing():
            for node in self.nodes:
                self._launch(node)
            self._settle(self.nodes)

    def _place(self, node: Node) -> None:
        """What a node needs before its first start."""
        Path(node.folder).mkdir(parents=True)
        if self.layout.netns:
            network.join(self.layout, node)
        drives.make(self.layout, node.drives)
        drives.hold(self.layout, node.drives)

    def _launch(self, node: Node) -> None:
        self.system.start(self.layout, node)
        node.wanted = "running"
        self.layout.save()

    def _settle(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self.system.settle(self.layout, node)

    def down(self, keep: bool = False) -> None:
        """Ends and removes all there is; with `keep` what the nodes wrote stays, but for drives of their own."""
        folder = Path(self.layout.folder)
        for node in self.nodes:
            processes.kill(process_of(node))
        # What was started and not noted down because the script was broken off.
        for stray in processes.strays(self.layout.folder):
            processes.kill(stray)
        for node in self.nodes:
            for drive in node.drives:
                drives.unmake(drive)
        network.take_down(self.layout)
        drives.unhold(self.layout)
        (folder / FILE).unlink(missing_ok=True)
        if not keep:
            shutil.rmtree(folder)

    # -- single nodes -------------------------------------------------------------------------------------------

    def add(self) -> Node:
        """One node more, which knows the others' quorum and isn't a voter of it."""
        if len(self.nodes) == 1:
            raise ClusterError("a node that was started alone has no quorum to join: start the cluster with --nodes 2 or more")
        with self._changing():
            node = self.layout.add_node()
            self._place(node)
            self._launch(node)
            self._settle([node])
        self.await_ready([node.id])
        return node

    def state(self, node: Node) -> str:
        """running, paused, or gone: stopped, killed, or `ended` where nobody wanted that."""
        now = processes.state(process_of(node))
        if now != "gone":
            return now
        return "ended" if node.wanted == "running" else node.wanted

    def start(self, *numbers: int, wait: bool = True) -> None:
        with self._changing():
            nodes = [self.layout.node(number) for number in numbers]
            for node in nodes:
                if processes.state(process_of(node)) != "gone":
                    raise ClusterError(f"node {node.id} runs already (process {node.pid})")
            for node in nodes:
                self._launch(node)
            self._settle(nodes)
        if wait:
            self.await_ready(numbers)

    def stop(self, number: int) -> float:
        """Ends the node as SIGTERM does; gives the seconds it took."""
        return self._ended(number, "stopped")

    def kill(self, *numbers: int) -> None:
        """SIGKILL, to several at the same moment."""
        with self._changing():
            nodes = [self._running(number) for number in numbers]
            for node in nodes:
                node.wanted = "killed"
                processes.send(process_of(node), signal.SIGKILL)
            for node in nodes:
                processes.kill(process_of(node))

    def _ended(self, number: int, wanted: str) -> float:
        with self._changing():
            node = self._running(number)
            node.wanted = wanted
            self.layout.save()
            began = time.monotonic()
            if not processes.end(process_of(node), STOP_SECONDS):
                raise ClusterError(f"node {number} didn't end within {STOP_SECONDS} s of SIGTERM: see {node.log}; scripts/cluster kill {number} ends it")
            return time.monotonic() - began

    def _running(self, number: int) -> Node:
        node = self.layout.node(number)
        if processes.state(process_of(node)) == "gone":
            raise ClusterError(f"node {number} isn't running: scripts/cluster start {number}")
        return node

    def restart(self, number: int) -> None:
        self.stop(number)
        self.start(number)

    def pause(self, number: int) -> None:
        processes.send(process_of(self._running(number)), signal.SIGSTOP)

    def resume(self, number: int) -> None:
        processes.send(process_of(self._running(number)), signal.SIGCONT)

    def await_ready(self, numbers: Iterable[int] | None = None, seconds: float = START_SECONDS) -> None:
        wanted = [self.layout.node(number) for number in numbers] if numbers is not None else self.nodes
        deadline = time.monotonic() + seconds
        for node in wanted:
            while not self.system.ready(self.layout, node):
                if self.state(node) == "ended":
                    raise ClusterError(f"node {node.id} ended by itself; the end of {node.log}:\n{last_words(node)}")
                if time.monotonic() > deadline:
                    raise ClusterError(f"node {node.id} isn't ready after {seconds:.0f} s; the end of {node.log}:\n{last_words(node)}")
                time.sleep(0.05)

    def status(self) -> list[Shown]:
        shown = []
        for node in self.nodes:
            state = self.state(node)
            free = [os.statvfs(drive).f_bavail * os.statvfs(drive).f_frsize for drive in node.drives]
            shown.append(Shown(node, state, state == "running" and self.system.ready(self.layout, node), free))
        return shown

    # -- network and drives -------------------------------------------------------------------------------------

    def cut(self, one: str, other: str, one_way: bool = False) -> None:
        """Nothing of `one` reaches `other`, and without `one_way` nor the other way round. A party is a node or `clients`."""
        if not self.layout.netns:
            raise ClusterError("all nodes are on one loopback address: start the cluster with --netns to cut between them")
        if one == other:
            raise ClusterError(f"there is nothing to cut between {one} and {other}")
        with self._changing():
            for party in (one, other):
                if party != CLIENTS:
                    self.layout.node(int(party))
            for sender, receiver in [(one, other)] if one_way else [(one, other), (other, one)]:
                if f"{sender}>{receiver}" not in self.layout.cuts:
                    network.cut(self.layout, sender, receiver)
                    self.layout.cuts.append(f"{sender}>{receiver}")

    def heal(self) -> None:
        """Ends all cuts."""
        with self._changing():
            for made in list(self.layout.cuts):
                network.mend(self.layout, *made.split(">"))
                self.layout.cuts.remove(made)

    def fill(self, number: int) -> None:
        """Takes all room on the node's drives."""
        for drive in self.layout.node(number).drives:
            drives.fill(drive)

    def free(self, number: int) -> None:
        for drive in self.layout.node(number).drives:
            drives.free(drive)
