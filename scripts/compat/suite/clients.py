"""The producing and consuming clients, behind one face: lines of a file in, lines of bytes out.

Each is the real client with its defaults, but for codec, acks and what a comparison needs (a partition, an offset,
a count to stop at).
"""

from pathlib import Path

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ACKS = ("0", "1", "all")
CLIENTS = ("kcat", "java", "confluent", "kafka-python", "franz")


class Client:
    name = ""
    picks_partition = True  # can be told which partition to produce to

    def __init__(self, kit):
        self.kit = kit

    def produce(self, topic: str, partition: int, lines: Path, codec: str = "none", acks: str = "all") -> None:
        raise NotImplementedError

    def consume(self, topic: str, partition: int, count: int, offset: int = 0) -> bytes:
        raise NotImplementedError


class Kcat(Client):
    name = "kcat"

    def produce(self, topic, partition, lines, codec="none", acks="all"):
        args = ["-P", "-t", topic, "-p", partition, "-z", codec, "-X", f"acks={acks}", "-l", lines]
        self.kit.kcat(*args, timeout=300)

    def consume(self, topic, partition, count, offset=0):
        args = ["-C", "-q", "-t", topic, "-p", partition, "-o", offset, "-c", count]
        return self.kit.kcat(*args, timeout=300).out


class JavaConsole(Client):
    name = "java"
    picks_partition = False

    def produce(self, topic, partition, lines, codec="none", acks="all"):
        # The console producer has no partition option: callers give it topics of one partition.
        args = ["--topic", topic, "--compression-codec", codec, "--request-required-acks", acks]
        self.kit.tool("org.apache.kafka.tools.ConsoleProducer", *args, stdin=lines, timeout=300)

    def consume(self, topic, partition, count, offset=0):
        args = ["--topic", topic, "--partition", partition, "--offset", offset, "--max-messages", count]
        args += ["--timeout-ms", 60_000]
        return self.kit.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *args, timeout=300).out


class PythonClient(Client):
    def produce(self, topic, partition, lines, codec="none", acks="all"):
        args = ["--topic", topic, "--partition", partition, "--codec", codec, "--acks", acks, "--timeout", 280]
        self.kit.driver(self.name, "produce", *args, stdin=lines, timeout=300)

    def consume(self, topic, partition, count, offset=0):
        args = ["--topic", topic, "--partition", partition, "--offset", offset, "--count", count, "--timeout", 280]
        return self.kit.driver(self.name, "consume", *args, timeout=300).out


class Confluent(PythonClient):
    name = "confluent"


class KafkaPython(PythonClient):
    name = "kafka-python"


class Franz(Client):
    name = "franz"

    def produce(self, topic, partition, lines, codec="none", acks="all"):
        args = ["--topic", topic, "--partition", partition, "--codec", codec, "--acks", acks, "--timeout", "280s"]
        self.kit.franz("produce", *args, stdin=lines, timeout=300)

    def consume(self, topic, partition, count, offset=0):
        args = ["--topic", topic, "--partition", partition, "--offset", offset, "--count", count]
        return self.kit.franz("consume", *args, "--timeout", "280s", timeout=300).out
