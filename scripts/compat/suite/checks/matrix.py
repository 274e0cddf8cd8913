"""Every client with every codec and every acks; then every client reading what every other wrote."""

import json

from suite.clients import ACKS, CLIENTS, CODECS
from suite.install import corpus
from suite.kit import Kit, expect, expect_same

LINES = 400


def checks(quick: bool):
    found = []
    for client in CLIENTS:
        for codec in CODECS:
            for acks in ACKS:
                # JVM starts are what costs: a quick run gives Java all codecs with acks=all, all acks with one codec.
                if quick and client == "java" and acks != "all" and codec != "lz4":
                    continue
                found.append((f"produce/{client}/{codec}/acks-{acks}", _produce_check(client, codec, acks)))
    for producer in CLIENTS:
        for consumer in CLIENTS:
            found.append((f"cross/{producer}-to-{consumer}", _cross_check(producer, consumer)))
    return found


def sample(kit: Kit):
    """A file of some hundred lines of real text, and its bytes; long enough that every codec makes it smaller."""

    def make():
        lines = corpus().read_bytes().split(b"\n")
        text = [line.decode("utf-8", "replace").encode() for line in lines[20_000:] if line.strip()]
        content = b"\n".join(text[:LINES]) + b"\n"
        return kit.file("sample.txt", content), content

    return kit.shared.once("sample text", make)


def _place(kit: Kit, client: str, codec: str, acks: str) -> tuple[str, int]:
    """The topic and partition of one combination; a client's topics are made at once, at its first check."""
    combinations = [(c, a) for c in CODECS for a in ACKS]
    number = combinations.index((codec, acks))
    if kit.client(client).picks_partition:
        topic = kit.shared.once(f"topic of {client}", lambda: kit.topic(f"matrix-{client}", len(combinations)))
        return topic, number
    names = [f"matrix-{client}-{c}-{a}" for c, a in combinations]
    return kit.shared.once(f"topics of {client}", lambda: kit.topics(names))[number], 0


def _written(kit: Kit, client: str, codec: str, acks: str) -> tuple[str, int]:
    """Produces the sample once for this combination, whoever asks first; gives where it is."""
    place = _place(kit, client, codec, acks)

    def make():
        file, _ = sample(kit)
        kit.client(client).produce(*place, file, codec, acks)
        return place

    return kit.shared.once(f"{client} producing with {codec} and acks={acks}", make)


def _produce_check(client: str, codec: str, acks: str):
    def check(kit: Kit):
        topic, partition = _written(kit, client, codec, acks)
        _, content = sample(kit)
        reader = "franz" if kit.quick and client == "java" and acks == "all" else client
        expect_same(kit.client(reader).consume(topic, partition, LINES), content, f"read by {reader}")
        args = ["--topic", topic, "--partition", partition, "--count", LINES, "--json"]
        rows = [json.loads(line) for line in kit.franz("consume", *args).out.splitlines()]
        stored = {row["codec"] for row in rows}
        # Clients send a batch as it is when compressing doesn't make it smaller; a batch can be one line.
        expect(codec in stored and stored <= {codec, "none"}, f"sent with {codec}, stored as {', '.join(sorted(stored))}")
        offsets = [row["o"] for row in rows]
        expect(offsets == list(range(LINES)), "offsets are not 0, 1, 2, …")
        if client in ("java", "franz") and acks == "all":
            expect(all(row["pid"] >= 0 for row in rows), "an idempotent producer's records came back without its id")

    return check


def _cross_check(producer: str, consumer: str):
    def check(kit: Kit):
        _, content = sample(kit)
        codecs = list(CODECS)
        if kit.quick and consumer == "java":
            # One JVM a pair: over the five producers each codec is read once.
            codecs = [CODECS[CLIENTS.index(producer)]]
        for codec in codecs:
            topic, partition = _written(kit, producer, codec, "all")
            got = kit.client(consumer).consume(topic, partition, LINES)
            expect_same(got, content, f"{codec}, written by {producer}, read by {consumer}")

    return check
