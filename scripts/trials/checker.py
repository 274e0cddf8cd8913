"""Knows what was sent, acknowledged and read, and finds what can't be in a log that loses nothing.

Owns no client, clock or file: it is told. Everything is by partition; a record is named by its producer and that producer's
number for the partition, counted from 0. Logs are taken to hold every offset from 0 on (no transactions, compaction
or retention). Calls may come from several threads.

What it finds:
  lost        acknowledged, and not in the log at the end
  gone        once read, and not there at the end
  changed     an offset with another record than the one first seen there, by an acknowledgement or by a reader
  duplicate   a record at two offsets
  reordered   a producer's record after a later one of its own
  unknown     a record that nobody sent
  skipped     a reader, or the log at the end, went over offsets or back
  damaged     a value that isn't what was sent
  refused     a client gave up on a record, or altogether
"""

import threading
from array import array
from collections import Counter
from typing import NamedTuple

NOT_ACKED, REFUSED, ANYWHERE = -1, -2, -3
NOTHING = -1
SEQUENCE_BITS = 40
SHOWN_OF_A_KIND = 20


class Finding(NamedTuple):
    kind: str
    text: str


def _identity(producer: int, sequence: int) -> int:
    return producer << SEQUENCE_BITS | sequence


def _named(identity: int) -> str:
    return f"record {identity & (1 << SEQUENCE_BITS) - 1} of producer {identity >> SEQUENCE_BITS}"


class Checker:
    def __init__(self, may_repeat: frozenset[int] = frozenset()) -> None:
        """Producers that may repeat are those whose client is known to send records again as new ones."""
        self._may_repeat = may_repeat
        self.repeated = 0
        self._lock = threading.Lock()
        # By producer and partition: where each record was acknowledged.
        self._acked: dict[tuple[int, int], array] = {}
        # By partition and offset: what was first seen there.
        self._seen: dict[int, array] = {}
        self._next: dict[tuple[str, int], int] = {}
        self._counts: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.sent = 0
        self.acked = 0
        self.reads = 0

    def found(self, kind: str, text: str) -> None:
        """Keeps the first of each kind, and the number of all."""
        self._counts[kind] += 1
        if self._counts[kind] <= SHOWN_OF_A_KIND:
            self.findings.append(Finding(kind, text))

    @property
    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    # -- while it runs ------------------------------------------------------------------------------------------

    def sending(self, producer: int, partition: int) -> int:
        """Notes that the producer's next record for the partition is about to be sent; gives its number."""
        with self._lock:
            acked = self._acked.setdefault((producer, partition), array("q"))
            acked.append(NOT_ACKED)
            self.sent += 1
            return len(acked) - 1

    def acknowledged(self, producer: int, partition: int, sequence: int, offset: int) -> None:
        """An offset below 0 is one that the client wasn't told."""
        with self._lock:
            self.acked += 1
            self._acked[producer, partition][sequence] = offset if offset >= 0 else ANYWHERE
            if offset >= 0:
                self._claim("an acknowledgement", partition, offset, _identity(producer, sequence))

    def refused(self, producer: int, partition: int, sequence: int, why: str) -> None:
        with self._lock:
            self._acked[producer, partition][sequence] = REFUSED
            self.found("refused", f"partition {partition}: {_named(_identity(producer, sequence))}: {why}")

    def reading(self, reader: str, partition: int, offset: int) -> None:
        """The reader begins, anew or for the first time, at this offset."""
        with self._lock:
            self._next[reader, partition] = offset

    def read(self, reader: str, partition: int, offset: int, producer: int, sequence: int) -> None:
        with self._lock:
            self.reads += 1
            self._in_turn(reader, partition, offset)
            self._claim(reader, partition, offset, _identity(producer, sequence))

    def damaged(self, reader: str, partition: int, offset: int, why: str) -> None:
        with self._lock:
            self._in_turn(reader, partition, offset)
            self.found("damaged", f"partition {partition}, offset {offset}, read by {reader}: {why}")

    def outstanding(self) -> int:
        """Records sent and neither acknowledged nor refused."""
        with self._lock:
            return sum(acked.count(NOT_ACKED) for acked in self._acked.values())

    def _in_turn(self, reader: str, partition: int, offset: int) -> None:
        wanted = self._next.get((reader, partition), offset)
        if offset != wanted:
            self.found("skipped", f"partition {partition}: {reader} got offset {offset} where {wanted} comes next")
        self._next[reader, partition] = offset + 1

    def _claim(self, who: str, partition: int, offset: int, identity: int) -> None:
        seen = self._seen.setdefault(partition, array("q"))
        if offset >= len(seen):
            seen.extend([NOTHING] * (offset + 1 - len(seen)))
        if seen[offset] == NOTHING:
            seen[offset] = identity
        elif seen[offset] != identity:
            self.found("changed", f"partition {partition}, offset {offset}: {_named(seen[offset])} was there, {who} has {_named(identity)}")

    # -- at the end ---------------------------------------------------------------------------------------------

    def final(self, partition: int) -> "Final":
        """Begins the last reading of the partition, whole and in order."""
        return Final(self, partition)


class Final:
    """The partition's log at the end, record for record from its first offset on, and then `end`."""

    def __init__(self, checker: Checker, partition: int):
        self._checker = checker
        self._partition = partition
        self._reader = "the last reading"
        self._present = {producer: bytearray(len(acked)) for (producer, at), acked in checker._acked.items() if at == partition}
        self._latest = dict.fromkeys(self._present, -1)
        checker.reading(self._reader, partition, 0)

    def read(self, offset: int, producer: int, sequence: int) -> None:
        self._checker.read(self._reader, self._partition, offset, producer, sequence)
        name = _named(_identity(producer, sequence))
        present = self._present.get(producer)
        if present is None or sequence >= len(present):
            self._checker.found("unknown", f"partition {self._partition}, offset {offset}: {name} was never sent")
        elif present[sequence] and producer in self._checker._may_repeat:
            self._checker.repeated += 1
        elif present[sequence]:
            self._checker.found("duplicate", f"partition {self._partition}, offset {offset}: {name} again")
        else:
            present[sequence] = 1
            if sequence < self._latest[producer]:
                self._checker.found("reordered", f"partition {self._partition}, offset {offset}: {name} after its record {self._latest[producer]}")
            self._latest[producer] = max(sequence, self._latest[producer])

    def damaged(self, offset: int, why: str) -> None:
        self._checker.damaged(self._reader, self._partition, offset, why)

    def end(self, offset: int) -> None:
        """The log ends before this offset."""
        checker, partition = self._checker, self._partition
        read_to = checker._next[self._reader, partition]
        if read_to != offset:
            checker.found("skipped", f"partition {partition}: the last reading came to {read_to}, the log ends at {offset}")
        for producer, present in self._present.items():
            for sequence, where in enumerate(checker._acked[producer, partition]):
                if where not in (NOT_ACKED, REFUSED) and not present[sequence]:
                    at = f"offset {where}" if where >= 0 else "an unknown offset"
                    checker.found("lost", f"partition {partition}: {_named(_identity(producer, sequence))}, acknowledged at {at}")
        for beyond, identity in enumerate(checker._seen.get(partition, array("q"))[offset:], offset):
            if identity != NOTHING:
                checker.found("gone", f"partition {partition}: the log ends at {offset}; offset {beyond} once had {_named(identity)}")
