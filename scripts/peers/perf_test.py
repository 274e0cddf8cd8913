"""Kafka's own command-line tools, with the JVM settings of its scripts, and what kafka-producer-perf-test says in the end."""

import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOPICS = "org.apache.kafka.tools.TopicCommand"
PERF_TEST = "org.apache.kafka.tools.ProducerPerformance"
LAST_LINE = re.compile(
    r"^(?P<records>\d+) records sent, (?P<rate>[\d.]+) records/sec \((?P<mb>[\d.]+) MB/sec\), (?P<mean>[\d.]+) ms avg latency, "
    r"(?P<worst>[\d.]+) ms max latency, (?P<p50>\d+) ms 50th, (?P<p95>\d+) ms 95th, (?P<p99>\d+) ms 99th, (?P<p999>\d+) ms 99.9th"
)


def java() -> list[str]:
    """What stands before a tool's class; fetches Kafka where it isn't there."""
    jars = subprocess.run([HERE / "kafka-jars"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2-tools.properties'}"
    return ["java", "-Xmx512m", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", logging, "-cp", f"{jars}/*"]


def found(said: str, records: int) -> re.Match | None:
    """The figures of a run that sent all its records."""
    match = LAST_LINE.match(said.strip().splitlines()[-1])
    return match if match and int(match["records"]) == records else None
