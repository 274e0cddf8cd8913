"""The records of a trial: each says who sent it, where to, and its number, and the rest of it follows from that."""

import zlib

# Most are small, some fill a batch by themselves.
SIZES = (40, 120, 300, 900)
LARGE = 20_000
LARGE_EVERY = 199


class Damaged(Exception):
    """A value that isn't what its own head says it is."""


def encode(producer: int, partition: int, sequence: int) -> bytes:
    head = b"%d:%d:%d:" % (producer, partition, sequence)
    size = LARGE if sequence % LARGE_EVERY == LARGE_EVERY - 1 else SIZES[sequence % len(SIZES)]
    mark = b"%08x" % zlib.crc32(head)
    return (head + mark * (size // len(mark)))[:size]


def decode(value: bytes | None, partition: int) -> tuple[int, int]:
    """The producer and its number, if the whole value is as it was sent to this partition."""
    try:
        producer, to, sequence, _ = (value or b"").split(b":", 3)
        named = int(producer), int(to), int(sequence)
    except ValueError:
        raise Damaged(f"no record of this trial: {(value or b'')[:40]!r}") from None
    if named[1] != partition:
        raise Damaged(f"was sent to partition {named[1]}")
    if value != encode(*named):
        raise Damaged(f"{len(value)} bytes that differ from the {len(encode(*named))} sent: {value[:40]!r}")
    return named[0], named[2]
