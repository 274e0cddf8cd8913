"""Real data: this machine's own logs, then a text corpus, compared byte for byte between every pair of clients."""

import hashlib
import itertools
import os
from pathlib import Path

from suite.clients import CLIENTS
from suite.install import corpus
from suite.kit import Kit, expect_same

LINES_FULL = 1_000_000
LINES_QUICK = 50_000
# Each producer with another codec, so that the run has a real amount of each.
CODEC_OF = {"kcat": "lz4", "java": "zstd", "confluent": "snappy", "kafka-python": "gzip", "franz": "none"}


def checks(quick: bool):
    return [(f"real/{producer}-to-{consumer}", _check(producer, consumer)) for producer in CLIENTS for consumer in CLIENTS]


def machine_logs():
    """The readable text logs of this machine, in a fixed order."""
    for root, folders, names in os.walk("/var/log"):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if name.endswith((".gz", ".xz", ".journal")) or not os.access(path, os.R_OK) or not path.is_file():
                continue
            yield path.read_bytes()


def usable(line: bytes) -> bytes | None:
    """A line as every client can carry it: the console producer reads UTF-8 text and takes \\r for an end of line,
    kcat leaves out empty lines. Nothing else is changed."""
    text = line.decode("utf-8", "replace").replace("\r", "").encode()
    return text if 0 < len(text) < 500_000 else None


def real_lines(kit: Kit):
    count = LINES_QUICK if kit.quick else LINES_FULL

    def make():
        lines: list[bytes] = []
        # The corpus has a little under a million lines that aren't empty: its beginning comes once more.
        for source in itertools.chain(machine_logs(), itertools.repeat(corpus().read_bytes())):
            lines.extend(line for raw in source.split(b"\n") if (line := usable(raw)) is not None)
            if len(lines) >= count:
                break
        content = b"\n".join(lines[:count]) + b"\n"
        kit.log.write(f"{count} lines, {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
        return kit.file("real.txt", content), content, count

    return kit.shared.once("real data", make)


def _check(producer: str, consumer: str):
    def check(kit: Kit):
        file, content, count = real_lines(kit)

        def write():
            topic = kit.topic(f"real-{producer}")
            kit.client(producer).produce(topic, 0, file, CODEC_OF[producer])
            return topic

        topic = kit.shared.once(f"{producer} writing the real data", write)
        expect_same(kit.client(consumer).consume(topic, 0, count), content, f"written by {producer}, read by {consumer}")

    return check
