"""What a cluster is made of and where each part listens; kept in cluster.json in the cluster's folder.

Owns the plan of ports and addresses. Never starts or looks at anything.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = "cluster.json"
BASE_PORT = 9092
# From the base port, by what is served.
INTERNAL = 100
ADMIN = 552
STRIDE = 10
LAST_PORT = 32767  # above it the kernel takes ports for outgoing connections


class ClusterError(Exception):
    """Something that wasn't done; the text says what to do about it."""


@dataclass
class Node:
    """One node: where it is, and the process it last ran as."""

    id: int
    host: str
    port: int
    internal: int
    admin: int
    folder: str
    drives: list[str]
    pid: int = 0
    # When the process began, in the kernel's ticks: a later process with the same id isn't taken for it.
    began: int = 0
    # What was last wanted of it: a node that should run and doesn't has ended by itself.
    wanted: str = "new"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        return Path(self.folder) / ("server.log" if (Path(self.folder) / "server.properties").exists() else "ottla.log")


@dataclass
class Layout:
    folder: str
    system: str
    nodes: list[Node]
    voters: int
    drives: int = 1
    shards: int = 1
    one_core: bool = False
    base_port: int = BASE_PORT
    netns: bool = False
    xfs: int = 0
    disk_rate: int = 0
    memory: str = ""
    heap: str = ""
    ottla: str = ""
    settings: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    cluster_id: str = ""
    cuts: list[str] = field(default_factory=list)

    @property
    def token(self) -> str:
        """Six letters that tell this cluster's namespaces, bridge and cgroup from another's."""
        return hashlib.sha256(self.folder.encode()).hexdigest()[:6]

    @property
    def subnet(self) -> str:
        """The first three numbers of the addresses with --netns."""
        number = int(self.token, 16)
        return f"10.{128 + number % 64}.{(number >> 8) % 256}"

    @property
    def bootstrap(self) -> str:
        return ",".join(node.address for node in self.nodes)

    def node(self, wanted: int) -> Node:
        for node in self.nodes:
            if node.id == wanted:
                return node
        raise ClusterError(f"there is no node {wanted}: the nodes are {', '.join(str(node.id) for node in self.nodes)}")

    def add_node(self) -> Node:
        """The next node, with ports of its own."""
        number = len(self.nodes)
        stride = max(STRIDE, self.shards + 2)
        host = f"{self.subnet}.{number + 1}" if self.netns else "127.0.0.1"
        folder = Path(self.folder) / f"node-{number + 1}"
        node = Node(
            id=number + 1, host=host, port=self.base_port + stride * number, internal=self.base_port + INTERNAL + stride * number,
            admin=self.base_port + ADMIN + stride * number, folder=str(folder),
            drives=[str(folder / f"drive-{drive}") for drive in range(self.drives)])
        if stride * (number + 1) > ADMIN - INTERNAL or (number + 1) * STRIDE > INTERNAL or node.admin + stride > LAST_PORT:
            raise ClusterError(f"there are no ports for node {node.id}: fewer nodes, fewer shards, or a lower --base-port")
        self.nodes.append(node)
        return node

    def save(self) -> None:
        path = Path(self.folder) / FILE
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=1) + "\n")
        fresh.replace(path)

    @classmethod
    def load(cls, folder: Path) -> "Layout":
        try:
            read = json.loads((folder / FILE).read_text())
        except FileNotFoundError:
            raise ClusterError(f"no cluster is up in {folder}: start one with scripts/cluster up") from None
        read["nodes"] = [Node(**node) for node in read["nodes"]]
        return cls(**read)


def default_folder() -> Path:
    return Path(os.environ.get("OTTLA_CLUSTER_DIR") or ROOT / "target" / "cluster").resolve()
