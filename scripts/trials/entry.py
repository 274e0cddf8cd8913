"""What the trials' scripts have in common: arguments, the cluster, and an end that leaves nothing behind but what shows a failure."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from brokers import stop_on_sigterm
from nodes.cluster import Cluster
from nodes.layout import ROOT, ClusterError, Layout, default_folder
from suite import install

# A dead node is noticed within seconds, so that many faults fit into an hour.
SETTINGS = ("broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500", "replica.lag.time.max.ms=3000")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def last_of_each(settings: Iterable[str]) -> list[str]:
    """Of settings (NAME=VALUE) with the same name the last."""
    return list({one.partition("=")[0]: one for one in settings}.values())


def add_arguments(parser: argparse.ArgumentParser, base_port: int) -> None:
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"), help="(a new one)")
    parser.add_argument("--nodes", type=int, default=3, choices=(1, 3), help="(%(default)s)")
    parser.add_argument("--system", choices=("ottla", "kafka"), default="ottla", help="(%(default)s)")
    parser.add_argument("--shards", type=int, default=1, metavar="N", help="of each Ottla node (%(default)s)")
    parser.add_argument("--memory", default="512M", metavar="SIZE", help="of each Ottla node (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a broker setting; may be repeated")
    parser.add_argument("--ottla", type=Path, default=ROOT / "target" / "release" / "ottla", metavar="FILE", help="(%(default)s)")
    parser.add_argument("--base-port", type=int, default=base_port, metavar="PORT", help="(%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave logs and data behind; they are left anyway when something is wrong")


def cluster_of(args: argparse.Namespace, name: str) -> Cluster:
    # A folder of its own: a cluster that somebody works with isn't touched.
    folder = default_folder().with_name(f"{default_folder().name}-{name}")
    settings = last_of_each((*(SETTINGS if args.nodes > 1 else ()), *args.set))
    layout = Layout(folder=str(folder), system=args.system, nodes=[], voters=args.nodes, shards=args.shards, drives=args.shards,
                    base_port=args.base_port, memory=args.memory, heap="500m", ottla=str(args.ottla.resolve()), settings=settings)
    return Cluster.up(layout, args.nodes)


def main(name: str, arguments: Callable[[], argparse.Namespace], run: Callable[[argparse.Namespace, Cluster, Path], list[str]], well: str) -> int:
    """Goes on in the environment that has librdkafka; `run` gives what was wrong."""
    args = arguments()
    python = install.python_clients()
    if Path(sys.prefix) != python.parent.parent:
        os.execv(python, [str(python), *sys.argv])
    stop_on_sigterm()
    cluster, code, folder = None, 1, Path(tempfile.mkdtemp(prefix=f"ottla-{name}-"))
    try:
        cluster = cluster_of(args, name)
        findings = run(args, cluster, folder)
        for finding in findings[:20]:
            print(f"FAIL {finding}")
        print(f"FAIL with seed {args.seed}: {len(findings)} findings" if findings else f"ok: {well}")
        code = 1 if findings else 0
    except (ClusterError, install.MissingTool, subprocess.CalledProcessError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        code = 2 if cluster is None else 1
    except KeyboardInterrupt:
        code = 130
    finally:
        keep = args.keep or code != 0
        if cluster is not None:
            cluster.down(keep=keep)
        if keep:
            print(f"{name}: logs and data are in {folder}" + (f" and {cluster.layout.folder}" if cluster else ""), file=sys.stderr)
        else:
            shutil.rmtree(folder)
    return code
