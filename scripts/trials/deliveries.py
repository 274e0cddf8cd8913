"""What the members of a share group were given and what they answered, and what must hold of it.

Owns no client, clock or process: it is told, with the times of one clock in seconds. A record is named by partition and offset. A
holder is one life of a member: what it had is not its own any more once it is gone.

  lost       a record came to nobody, or the last that is known of it is that it was given back or its holder gone, and it had not
             come as often as the broker allows
  again      a record came after it was accepted or rejected, and the broker had said that this is so; or after it was released for
             the last time that the broker allows
  twice      a record came to one while another had it, with the lock not over, and that other's answer was taken later on
  counted    a delivery count above what the broker allows, or one that didn't grow though the record was released
  changed    a record with another value than before
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FINAL = ("accept", "reject")
SHOWN = 10


@dataclass
class Delivery:
    holder: str
    at: float
    count: int
    ack: str  # what the holder chose
    answered: float | None = None
    error: str | None = None
    gone: float | None = None  # when its holder was
    # The holder was given it more than once before it had an answer, and clients may tell of several answers as of one.
    unsure: bool = False

    def done(self) -> bool:
        return self.answered is not None and self.error is None and not self.unsure


class Deliveries:
    def __init__(self, limit: int, lock_seconds: float):
        self.limit, self.lock_seconds = limit, lock_seconds
        self.records: dict[tuple[int, int], list[Delivery]] = defaultdict(list)
        self.values: dict[tuple[int, int], str] = {}
        # In the order in which they were given: answers come in that order, and a record may be given again before the last one came.
        self._held: dict[str, dict[tuple[int, int], list[Delivery]]] = defaultdict(dict)
        # When holders stood still, and a while after: what they say they got then, they may have been sent before.
        self._still: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.wrong: Counter[str] = Counter()
        self.findings: list[str] = []

    def _found(self, kind: str, at: tuple[int, int], text: str) -> None:
        self.wrong[kind] += 1
        if self.wrong[kind] <= SHOWN:
            self.findings.append(f"{kind}: partition {at[0]}, offset {at[1]}: {text}: {shown(self.records[at])}")

    def delivered(self, holder: str, partition: int, offset: int, when: float, count: int, ack: str, value: str) -> None:
        at = partition, offset
        delivery = Delivery(holder, when, count, ack)
        self.records[at].append(delivery)
        self._held[holder].setdefault(at, []).append(delivery)
        if self.values.setdefault(at, value) != value:
            self._found("changed", at, f"{self.values[at]!r} was there, now {value!r}")

    def answered(self, holder: str, partition: int, offsets: Iterable[int], when: float, error: str | None) -> None:
        for offset in offsets:
            if held := self._held[holder].get((partition, offset)):
                for one in held:
                    one.unsure |= len(held) > 1
                delivery = held.pop(0)
                delivery.answered, delivery.error = when, error

    def stood_still(self, holder: str, began: float, end: float) -> None:
        self._still[holder].append((began, end + self.lock_seconds))

    def gone(self, holder: str, when: float) -> None:
        for held in self._held.pop(holder, {}).values():
            for delivery in held:
                delivery.gone = when

    # -- the judgement ------------------------------------------------------------------------------------------

    def finished(self, at: tuple[int, int]) -> str:
        """How the record ended, as far as its holders know; empty where it must come again."""
        deliveries = self.records.get(at, [])
        if done := [one.ack for one in deliveries if one.done() and one.ack in FINAL]:
            return done[0]
        if any(one.count >= self.limit for one in deliveries):
            return "archived"
        last = max(deliveries, key=lambda one: one.at, default=None)
        # Its holder may have said so before it went, or the answer was lost.
        if last is not None and last.ack in FINAL and (last.gone is not None or last.error is not None or last.unsure):
            return "unknown"
        return ""

    def outstanding(self) -> int:
        """Records that are with someone, or must come again."""
        return sum(not self.finished(at) for at in list(self.records))

    def judge(self, sent: Sequence[int], deaths: Sequence[float], faults: Sequence[tuple[float, float]]) -> None:
        """`sent` is how many records each partition has; `deaths` are when members were killed, `faults` from when to when brokers
        were troubled: then locks may be gone."""
        for partition, count in enumerate(sent):
            for offset in range(count):
                self._judge((partition, offset), deaths, faults)
        for at in self.records:
            if at[0] >= len(sent) or at[1] >= sent[at[0]]:
                self._found("changed", at, "nobody sent it")

    def _judge(self, at: tuple[int, int], deaths: Sequence[float], faults: Sequence[tuple[float, float]]) -> None:
        deliveries = sorted(self.records.get(at, []), key=lambda one: one.at)
        if not self.finished(at):
            # Members that were killed may have had it before anybody knew, each for one delivery.
            hidden = sum(when >= deliveries[-1].at for when in deaths) if deliveries else 0
            if not deliveries or deliveries[-1].count + hidden < self.limit:
                self._found("lost", at, "it must come again, and doesn't")
        for number, one in enumerate(deliveries):
            if one.count > self.limit:
                self._found("counted", at, f"delivery count {one.count}")
            for later in deliveries[number + 1:]:
                self._judge_pair(at, one, later, faults)

    def _judge_pair(self, at: tuple[int, int], one: Delivery, later: Delivery, faults: Sequence[tuple[float, float]]) -> None:
        if not one.done() or overlaps(self._still[later.holder], later.at, later.at):
            return
        if later.at > one.answered:
            if one.ack in FINAL:
                self._found("again", at, f"it came after {one.ack} was answered")
            elif one.count >= self.limit:
                self._found("again", at, f"it came after it was released with delivery count {one.count}")
            elif later.count <= one.count:
                self._found("counted", at, f"delivery count {later.count} after it was released with {one.count}")
        elif one.ack in FINAL and later.at - one.at < self.lock_seconds / 2 and not overlaps(faults, one.at - 1, one.answered):
            self._found("twice", at, f"{later.holder} was given what {one.holder} had")

    def figures(self) -> dict[str, int]:
        """How records ended, and how often they came more than once, by why."""
        found: Counter[str] = Counter()
        for at, deliveries in self.records.items():
            found[self.finished(at) or "outstanding"] += 1
            for one, _ in zip(deliveries, deliveries[1:], strict=False):
                found["again after " + ("a release" if one.ack == "release" and one.done() else "a death" if one.gone is not None else "an error" if one.error else "no answer")] += 1
        return dict(sorted(found.items()))


def overlaps(spans: Sequence[tuple[float, float]], began: float, end: float) -> bool:
    return any(first <= end and last >= began for first, last in spans)


def shown(deliveries: Sequence[Delivery]) -> str:
    def how(one: Delivery) -> str:
        ended = f"answered {one.answered:.2f}{f' with {one.error}' if one.error else ''}" if one.answered is not None else f"gone {one.gone:.2f}" if one.gone else "no answer"
        return f"{one.holder} at {one.at:.2f} (number {one.count}, {one.ack}, {ended})"

    return "; ".join(how(one) for one in deliveries) or "it came to nobody"
