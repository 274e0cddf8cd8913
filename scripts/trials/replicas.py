"""Reads partitions from each replica alone, leader or not, and from the segment files, and compares them byte for byte.

By Kafka's Fetch version 11, which a replica that doesn't lead answers, too (KIP-392), up to where it knows the partition to be
committed.
"""

import hashlib
import mmap
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FETCH, FETCH_VERSION = 1, 11
HEAD = struct.Struct(">qi")  # base offset and length, before what the length counts
# From the start of a batch: leader epoch; the last record's offset in it; producer id, its epoch, first sequence number.
LEADER_EPOCH, LAST_DELTA, PRODUCER = 12, 23, 43
BATCH_HEAD = 61
MAX_BYTES = 4 << 20
PATIENCE_SECONDS = 30


class Batch(NamedTuple):
    base: int
    after: int
    leader_epoch: int
    producer: int
    producer_epoch: int
    sequence: int
    digest: bytes


class Answer(NamedTuple):
    error: int
    high_watermark: int
    records: bytes


class Unreadable(Exception):
    """A replica that doesn't give what it has; the text says which and why."""


def batches(records: bytes) -> Iterator[Batch]:
    """Whole batches, up to the first that isn't, or to zeros that were allocated ahead."""
    at = 0
    while at + BATCH_HEAD <= len(records):
        base, length = HEAD.unpack_from(records, at)
        end = at + HEAD.size + length
        if length <= 0 or end > len(records):
            return
        (leader_epoch,) = struct.unpack_from(">i", records, at + LEADER_EPOCH)
        (delta,) = struct.unpack_from(">i", records, at + LAST_DELTA)
        digest = hashlib.blake2b(records[at:end], digest_size=16).digest()
        yield Batch(base, base + delta + 1, leader_epoch, *struct.unpack_from(">qhi", records, at + PRODUCER), digest)
        at = end


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def request(topic: str, partition: int, offset: int, correlation: int) -> bytes:
    head = struct.pack(">hhi", FETCH, FETCH_VERSION, correlation) + _string("replicas")
    # replica, most ms to wait, least bytes, most bytes, isolation, session and its epoch (none)
    body = struct.pack(">iiiibii", -1, 500, 1, MAX_BYTES, 0, 0, -1)
    body += struct.pack(">i", 1) + _string(topic) + struct.pack(">iiiqqi", 1, partition, -1, offset, -1, MAX_BYTES)
    body += struct.pack(">i", 0) + _string("")
    return struct.pack(">i", len(head) + len(body)) + head + body


def parse(answer: bytes) -> Answer:
    """Of one topic and one partition."""
    error, _, topics = struct.unpack_from(">hii", answer, 8)
    if error or not topics:
        return Answer(error, -1, b"")
    (name,) = struct.unpack_from(">h", answer, 18)
    at = 20 + name + 4
    _, error, high_watermark, _, _, aborted = struct.unpack_from(">ihqqqi", answer, at)
    at += 34 + 16 * max(aborted, 0)
    _, length = struct.unpack_from(">ii", answer, at)
    return Answer(error, high_watermark, answer[at + 8 : at + 8 + max(length, 0)])


class Replica:
    """A connection to one node."""

    def __init__(self, host: str, port: int):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.name = f"{host}:{port}"
        self.correlation = 0

    def __enter__(self) -> "Replica":
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def _exactly(self, count: int) -> bytes:
        read = bytearray()
        while len(read) < count:
            chunk = self.socket.recv(count - len(read))
            if not chunk:
                raise Unreadable(f"{self.name} closed the connection")
            read += chunk
        return bytes(read)

    def fetch(self, topic: str, partition: int, offset: int) -> Answer:
        self.correlation += 1
        self.socket.sendall(request(topic, partition, offset, self.correlation))
        (size,) = struct.unpack(">i", self._exactly(4))
        return parse(self._exactly(size))

    def whole(self, topic: str, partition: int, end: int) -> list[Batch]:
        """All batches below `end`, which the replica may yet have to be told of."""
        found: list[Batch] = []
        at, until = 0, time.monotonic() + PATIENCE_SECONDS
        while at < end:
            answer = self.fetch(topic, partition, at)
            fresh = list(batches(answer.records))
            found += fresh
            if fresh:
                at, until = fresh[-1].after, time.monotonic() + PATIENCE_SECONDS
            elif time.monotonic() > until:
                raise Unreadable(f"{self.name} gives {topic}-{partition} up to {at} of {end} (error {answer.error}, "
                                 f"high watermark {answer.high_watermark})")
            else:
                time.sleep(0.1)
        return found


def difference(one: list[Batch], other: list[Batch]) -> str:
    """Where two logs first differ, in words; empty where they don't."""
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            return f"at offset {min(mine.base, theirs.base)} (batches {mine.base} to {mine.after - 1}, and {theirs.base} to {theirs.after - 1})"
    if len(one) != len(other):
        return f"in length: {len(one)} batches to {one[-1].after if one else 0}, and {len(other)} to {other[-1].after if other else 0}"
    return ""


def out_of_sequence(log: list[Batch]) -> Iterator[str]:
    """What a broker must not have taken: a hole or a repetition in a producer's sequence numbers, or an epoch that goes back."""
    leader_epoch = -1
    latest: dict[int, tuple[int, int]] = {}
    for batch in log:
        if batch.leader_epoch < leader_epoch:
            yield f"offset {batch.base}: leader epoch {batch.leader_epoch} after {leader_epoch}"
        leader_epoch = batch.leader_epoch
        if batch.producer < 0:
            continue
        epoch, next_ = latest.get(batch.producer, (-1, 0))
        wanted = next_ if batch.producer_epoch == epoch else 0
        if batch.producer_epoch < epoch or batch.sequence != wanted:
            yield (f"offset {batch.base}: producer id {batch.producer} has epoch {batch.producer_epoch} and sequence number {batch.sequence} after "
                   f"epoch {epoch}, where {next_} comes next")
        latest[batch.producer] = batch.producer_epoch, batch.sequence + batch.after - batch.base


def segments(drives: list[Path], topic: str, partition: int) -> list[Path]:
    """The partition's segment files of one node, in order."""
    return sorted((path for drive in drives for folder in (f"{topic}-{partition}", f"{topic}-{partition}.*")
                   for path in drive.glob(f"{folder}/*.log") if path.stem.isdigit()), key=lambda path: path.name)


def on_drives(drives: list[Path], topic: str, partition: int) -> list[Batch]:
    found: list[Batch] = []
    for path in segments(drives, topic, partition):
        with path.open("rb") as file:
            # An empty file can't be mapped.
            if path.stat().st_size:
                found += batches(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    return found


def partitions_on(drives: list[Path], topic: str) -> set[int]:
    """Those that a node has of a topic."""
    folder = re.compile(re.escape(topic) + r"-(\d+)(\..*)?")
    names = [folder.fullmatch(path.name) for drive in drives for path in drive.iterdir()]
    return {int(name[1]) for name in names if name}


class Compared(NamedTuple):
    partition: int
    nodes: list[int]
    offsets: int
    # Where a replica differs from the first one, in words.
    differences: list[str]


def compared(nodes: dict[int, list[Path]], topic: str) -> Iterator[Compared]:
    """What the nodes' drives have of each partition of a topic, one beside the other."""
    having = {node: partitions_on(drives, topic) for node, drives in nodes.items()}
    for partition in sorted(set().union(*having.values())):
        holders = [node for node in nodes if partition in having[node]]
        first, *others = holders
        log = on_drives(nodes[first], topic, partition)
        offsets = log[-1].after - log[0].base if log else 0
        found = ((node, difference(log, on_drives(nodes[node], topic, partition))) for node in others)
        yield Compared(partition, holders, offsets, [f"node {node} differs from node {first} {text}" for node, text in found if text])
