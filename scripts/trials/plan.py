"""What is done to the cluster and when: a function of the seed alone.

Which node leads a partition is not, so that a victim may be given as `the leader of partition N`; the same seed
does the same things in the same order, at times that are only roughly the same.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("kill", "pause", "cut", "oneway", "full", "restart", "killall")
# How a node is cut off: from all other nodes, from one, or from the clients as well.
CUTS = ("peers", "one peer", "everyone")
ONE_WAYS = ("its sending to peers", "its hearing from peers", "its sending to one peer")
SHORT, LONG = (0.05, 2.0), (2.0, 12.0)
# A full drive is noticed when a segment's room is used up, not before.
FULL = (4.0, 20.0)
SETTLE_EVERY = 10


@dataclass(frozen=True)
class Step:
    """One fault, and for how many seconds it lasts."""

    kind: str
    # A node's number, or with `leads` a partition whose leader is meant.
    victim: int
    leads: bool
    way: str
    hold: float

    def __str__(self) -> str:
        at = f"the leader of partition {self.victim}" if self.leads else f"node {self.victim}"
        return f"{self.kind}{f' ({self.way})' if self.way else ''} of {at} for {self.hold:.1f} s"


@dataclass(frozen=True)
class Round:
    steps: list[Step]
    # Ends the second fault before the first.
    crossed: bool
    # Waits until all nodes serve again.
    await_ready: bool
    # Seconds until the next round.
    pause: float
    # Waits until all replicas are in sync again.
    settle: bool


def _step(random_: random.Random, kind: str, nodes: int, partitions: int) -> Step:
    leads = random_.random() < 0.6
    victim = random_.randrange(partitions) if leads else random_.randint(1, nodes)
    way = {"cut": CUTS, "oneway": ONE_WAYS}.get(kind, ("",))
    hold = random_.uniform(*(FULL if kind == "full" else SHORT if random_.random() < 0.5 else LONG))
    return Step(kind, victim, leads, random_.choice(way), hold)


def rounds(seed: int, kinds: list[str], nodes: int, partitions: int, faults: int) -> Iterator[Round]:
    """So many faults, one or at times two at once."""
    random_ = random.Random(seed)
    done, number = 0, 0
    while done < faults:
        number += 1
        count = 2 if faults - done >= 2 and random_.random() < 0.15 else 1
        steps = [_step(random_, random_.choice(kinds), nodes, partitions) for _ in range(count)]
        done += count
        yield Round(steps, random_.random() < 0.5, random_.random() < 0.8, random_.uniform(0, 4), number % SETTLE_EVERY == 0)
