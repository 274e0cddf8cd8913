"""A network namespace for each node, joined by a bridge, and what doesn't get through between them.

A cut drops whole packets silently and where they arrive: a policy rule in the receiver's namespace sends what comes
from the other address into a black hole, before the local table sees it. So senders see a network that answers
nothing, as with a broken cable, not an error. It is all or nothing: no delay, no partial loss, no reordering. ARP goes on
being answered, which no TCP connection notices.
"""

import subprocess
from pathlib import Path

from nodes.layout import ClusterError, Layout, Node

HOST = 254
# The host, where clients are, as a party of a cut.
CLIENTS = "clients"
CUT_PREFERENCE = 10
LOCAL_PREFERENCE = 100


def _run(*argv: object, fails: bool = False) -> str:
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False)
    if done.returncode and not fails:
        raise ClusterError(f"{' '.join(map(str, argv))}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def namespace(layout: Layout, node: Node) -> str:
    return f"ottla-{layout.token}-{node.id}"


def bridge(layout: Layout) -> str:
    return f"ot-{layout.token}"


def within(layout: Layout, node: Node) -> list[str]:
    """What stands before a command that runs in the node's namespace; it keeps its process id."""
    return ["nsenter", f"--net=/run/netns/{namespace(layout, node)}"] if layout.netns else []


def make_bridge(layout: Layout) -> None:
    taken = _run("ip", "-4", "-oneline", "addr", "show")
    if f" {layout.subnet}." in taken:
        raise ClusterError(f"{layout.subnet}.0/24 is in use on this machine: set OTTLA_CLUSTER_DIR to another folder, which gives another subnet")
    name = bridge(layout)
    _run("ip", "link", "add", name, "type", "bridge")
    _run("ip", "addr", "add", f"{layout.subnet}.{HOST}/24", "dev", name)
    _run("ip", "link", "set", name, "up")


def join(layout: Layout, node: Node) -> None:
    """Makes the node's namespace and plugs it into the bridge."""
    inside, outer = namespace(layout, node), f"{bridge(layout)}-{node.id}"
    _run("ip", "netns", "add", inside)
    _run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", inside)
    _run("ip", "link", "set", outer, "master", bridge(layout), "up")
    within_it = ("ip", "-netns", inside)
    _run(*within_it, "link", "set", "lo", "up")
    _run(*within_it, "addr", "add", f"{node.host}/24", "dev", "eth0")
    _run(*within_it, "link", "set", "eth0", "up")
    # The rule of the local table comes first of all, unless it is made anew behind the cuts.
    _run(*within_it, "rule", "add", "pref", LOCAL_PREFERENCE, "lookup", "local")
    _run(*within_it, "rule", "del", "pref", 0)


def address(layout: Layout, party: str) -> str:
    return f"{layout.subnet}.{HOST}" if party == CLIENTS else layout.node(int(party)).host


def cut(layout: Layout, sender: str, receiver: str) -> None:
    """From now on nothing that `sender` sends reaches `receiver`."""
    if receiver == CLIENTS:
        # The host's own rules aren't touched: what goes to it is lost on the way out.
        _out(layout, sender, "add")
        return
    inside = namespace(layout, layout.node(int(receiver)))
    _run("ip", "-netns", inside, "rule", "add", "pref", CUT_PREFERENCE, "from", address(layout, sender), "iif", "eth0", "blackhole")


def mend(layout: Layout, sender: str, receiver: str) -> None:
    if receiver == CLIENTS:
        _out(layout, sender, "del")
        return
    inside = namespace(layout, layout.node(int(receiver)))
    _run("ip", "-netns", inside, "rule", "del", "pref", CUT_PREFERENCE, "from", address(layout, sender), "iif", "eth0", "blackhole")


def _out(layout: Layout, sender: str, verb: str) -> None:
    """What a node sends to the host goes to a hardware address that nobody has."""
    inside, to = namespace(layout, layout.node(int(sender))), address(layout, CLIENTS)
    if verb == "add":
        _run("ip", "-netns", inside, "neigh", "replace", to, "lladdr", "02:00:00:00:00:00", "dev", "eth0", "nud", "permanent")
    else:
        _run("ip", "-netns", inside, "neigh", "del", to, "dev", "eth0")


def take_down(layout: Layout) -> None:
    """Removes all of it, whatever of it is there."""
    if not layout.netns:
        return
    for node in layout.nodes:
        # Its end of the pair goes with it, at once only when asked for.
        _run("ip", "link", "del", f"{bridge(layout)}-{node.id}", fails=True)
        _run("ip", "netns", "del", namespace(layout, node), fails=True)
    _run("ip", "link", "del", bridge(layout), fails=True)
    left = [namespace(layout, node) for node in layout.nodes if Path(f"/run/netns/{namespace(layout, node)}").exists()]
    if left:
        raise ClusterError(f"network namespaces are left: {', '.join(left)}; see ip netns pids NAME, then ip netns del NAME")
