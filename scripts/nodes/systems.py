"""How a node of each system is started, and how to tell that it serves."""

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from nodes import drives, network, processes
from nodes.layout import ROOT, ClusterError, Layout, Node
from nodes.processes import Process

KAFKA = ROOT / "scripts" / "peers" / "kafka"
PROCESS_ID_SECONDS = 90
PROBE_SECONDS = 2


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
        return True
    except OSError:
        return False


def common_settings(layout: Layout, nodes: int) -> list[str]:
    """What both systems are given, so that they replicate alike; what the caller sets comes later and wins."""
    replicas = min(3, nodes)
    settings = [f"default.replication.factor={replicas}"]
    if replicas == 3:
        settings.append("min.insync.replicas=2")
    return settings + layout.settings


def cores(layout: Layout, node: Node) -> list[int]:
    """As many cores as the node has shards, taken in turn: shards are pinned, and would else all sit on the first."""
    available = sorted(os.sched_getaffinity(0))
    first = 0 if layout.one_core else (node.id - 1) * layout.shards
    return sorted({available[(first + shard) % len(available)] for shard in range(layout.shards)})


class Ottla:
    """`ottla serve` as one node of several."""

    name = "ottla"

    def check(self, layout: Layout) -> None:
        if not Path(layout.ottla).exists():
            raise ClusterError(f"{layout.ottla} isn't there: build it (cargo build --release --bin ottla), or give --ottla FILE")
        if layout.shards > len(os.sched_getaffinity(0)):
            raise ClusterError(f"--shards {layout.shards}: a shard needs a core, and there are {len(os.sched_getaffinity(0))}")

    def prepare(self, layout: Layout) -> None:
        """Nothing: the first start makes what it needs."""

    def command(self, layout: Layout, node: Node) -> list[str]:
        argv = [layout.ottla, "serve", "--node-id", str(node.id), "--listen", node.address, "--admin", f"{node.host}:{node.admin}"]
        if len(layout.nodes) > 1:
            voters = ",".join(f"{voter.id}@{voter.host}:{voter.internal}" for voter in layout.nodes[: layout.voters])
            argv += ["--internal", f"{node.host}:{node.internal}", "--quorum", voters]
        for drive in node.drives:
            argv += ["--data-dir", str(drives.data(drive))]
        argv += ["--shards", str(layout.shards), "--memory", layout.memory]
        for setting in common_settings(layout, len(layout.nodes)):
            argv += ["--set", setting]
        return argv + layout.options

    def start(self, layout: Layout, node: Node) -> None:
        argv = network.within(layout, node) + self.command(layout, node)
        started = processes.spawn(argv, layout.folder, Path(node.folder) / "ottla.log",
                                  cores=cores(layout, node), cgroup=drives.cgroup(layout))
        node.pid, node.began = processes.identify(started.pid) or (started.pid, 0)

    def settle(self, layout: Layout, node: Node) -> None:
        """Nothing: the process is known at once."""

    def ready(self, layout: Layout, node: Node) -> bool:
        try:
            with urllib.request.urlopen(f"http://{node.host}:{node.admin}/readyz", timeout=PROBE_SECONDS) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


class Kafka:
    """Apache Kafka (KRaft): the voters are broker and controller in one, later nodes brokers."""

    name = "kafka"

    def check(self, layout: Layout) -> None:
        if layout.options:
            raise ClusterError("--option is for ottla serve: give Kafka's settings by --set")

    def prepare(self, layout: Layout) -> None:
        jars = subprocess.run([KAFKA.parent / "kafka-jars"], stdout=subprocess.PIPE, text=True, check=False)
        if jars.returncode:
            raise ClusterError("Apache Kafka can't be had: see above")

    def properties(self, layout: Layout, node: Node) -> list[str]:
        voter = node.id <= layout.voters
        everywhere = "0.0.0.0"
        controller = f",CONTROLLER://{everywhere}:{node.internal}" if voter else ""
        replicas = min(3, len(layout.nodes))
        return [
            f"process.roles={'broker,controller' if voter else 'broker'}",
            f"node.id={node.id}",
            "controller.quorum.voters=" + ",".join(f"{one.id}@{one.host}:{one.internal}" for one in layout.nodes[: layout.voters]),
            f"listeners=PLAINTEXT://{everywhere}:{node.port}{controller}",
            f"advertised.listeners=PLAINTEXT://{node.address}",
            "log.dirs=" + ",".join(str(drives.data(drive)) for drive in node.drives),
            f"offsets.topic.replication.factor={replicas}",
            f"transaction.state.log.replication.factor={replicas}",
            f"transaction.state.log.min.isr={min(2, replicas)}",
            f"share.coordinator.state.topic.replication.factor={replicas}",
            f"share.coordinator.state.topic.min.isr={min(2, replicas)}",
            *common_settings(layout, len(layout.nodes)),
        ]

    def start(self, layout: Layout, node: Node) -> None:
        argv = network.within(layout, node) + [str(KAFKA), "start", node.folder, str(node.port), *self.properties(layout, node)]
        environment = {"KAFKA_HEAP": layout.heap, "KAFKA_CLUSTER_ID": layout.cluster_id, "KAFKA_CONTROLLER_PORT": str(node.internal)}
        environment |= {name: os.environ[name] for name in ("OTTLA_CACHE",) if name in os.environ}
        (Path(node.folder) / "kafka.pid").unlink(missing_ok=True)
        self._keep_log(Path(node.folder))
        started = processes.spawn(argv, layout.folder, Path(node.folder) / "start.log", cgroup=drives.cgroup(layout), environment=environment)
        # Until the broker's own process is known, the script that starts it stands for the node.
        node.pid, node.began = processes.identify(started.pid) or (started.pid, 0)

    @staticmethod
    def _keep_log(folder: Path) -> None:
        """Each life begins a new server.log; what the earlier ones said is kept beside it."""
        log = folder / "server.log"
        if log.exists():
            with (folder / "server-before.log").open("ab") as before:
                before.write(log.read_bytes())
            log.unlink()

    def settle(self, layout: Layout, node: Node) -> None:
        """Waits until the broker's own process is known."""
        starter = Process(node.pid, node.began)
        noted = Path(node.folder) / "kafka.pid"
        processes.until(lambda: self._noted(noted) or processes.state(starter) == "gone", PROCESS_ID_SECONDS)
        found = self._noted(noted)
        if not found:
            processes.send(starter, signal.SIGKILL)
            raise ClusterError(f"node {node.id} didn't start: see {Path(node.folder) / 'start.log'}")
        node.pid, node.began = found

    @staticmethod
    def _noted(noted: Path) -> Process | None:
        text = noted.read_text().strip() if noted.exists() else ""
        return processes.identify(int(text)) if text else None

    def ready(self, layout: Layout, node: Node) -> bool:
        log = Path(node.folder) / "server.log"
        return log.exists() and "Kafka Server started" in log.read_text(errors="replace") and listens(node.host, node.port)


def system(name: str) -> Ottla | Kafka:
    return {"ottla": Ottla, "kafka": Kafka}[name]()
