"""How long each partition took no records after a fault: until one is acknowledged that was sent after it.

Owns no clock: it is told the times, in seconds. Calls may come from several threads.
"""

import math
import threading
from dataclasses import dataclass, field

LED, FOLLOWED = "led", "followed"


@dataclass
class Fault:
    kind: str
    at: float
    # By partition: whether the node that failed led it.
    roles: dict[int, str]
    # Which one it is, for a reader.
    label: str = ""
    took: dict[int, float] = field(default_factory=dict)


def percentile(values: list[float], share: float) -> float:
    """The least of the values that at least this share of them doesn't exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


class Outages:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Fault] = []
        self.faults: list[Fault] = []

    def fault(self, kind: str, at: float, roles: dict[int, str], label: str = "") -> None:
        with self._lock:
            fault = Fault(kind, at, dict(roles), label)
            self.faults.append(fault)
            self._open.append(fault)

    def acknowledged(self, partition: int, sent: float, now: float) -> None:
        with self._lock:
            if not self._open:
                return
            for fault in self._open:
                if sent >= fault.at and partition in fault.roles:
                    fault.took.setdefault(partition, now - fault.at)
            self._open = [fault for fault in self._open if len(fault.took) < len(fault.roles)]

    def unanswered(self) -> list[tuple[Fault, int]]:
        """Faults after which nothing was acknowledged in a partition any more."""
        with self._lock:
            return [(fault, partition) for fault in self._open for partition in fault.roles if partition not in fault.took]

    def table(self) -> str:
        """Seconds, by kind of fault, for the partitions that the failed node led and for the others."""
        lines = ["| fault | partitions | outages | p50 s | p99 s | max s |", "|---|---|--:|--:|--:|--:|"]
        for kind in sorted({fault.kind for fault in self.faults}):
            for role in (LED, FOLLOWED):
                took = [seconds for fault in self.faults if fault.kind == kind for partition, seconds in fault.took.items()
                        if fault.roles[partition] == role]
                if took:
                    lines.append(f"| {kind} | {role} | {len(took)} | {percentile(took, 0.5):.3f} | {percentile(took, 0.99):.3f} | {max(took):.3f} |")
        return "\n".join(lines)

    def longest(self, count: int) -> list[str]:
        """The faults after which a partition took no records for longest."""
        worst = sorted((fault for fault in self.faults if fault.took), key=lambda fault: max(fault.took.values()), reverse=True)
        return [f"{max(fault.took.values()):.1f} s after {fault.label}" for fault in worst[:count]]
