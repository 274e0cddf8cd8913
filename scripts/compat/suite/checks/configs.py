"""kafka-configs: topics, one broker, the brokers' default."""

import json
import re

from suite.kit import Kit, expect

CONFIGS = "kafka.admin.ConfigCommand"


def checks(quick: bool):
    return [
        ("configs/topic-describe-all", topic_describe_all),
        ("configs/topic-alter", topic_alter),
        ("configs/topic-refusals", topic_refusals),
        ("configs/broker-describe", broker_describe),
        ("configs/broker-alter", broker_alter),
        ("configs/broker-default", broker_default),
    ]


def broker_id(kit: Kit) -> int:
    return json.loads(kit.kcat("-L", "-J").text)["brokers"][0]["id"]


def described(kit: Kit, *who: object, everything: bool = False) -> dict[str, str]:
    """Config lines by name: `value sensitive=… synonyms={…}`."""
    said = kit.tool(CONFIGS, "--describe", *who, *(["--all"] if everything else [])).text
    lines = (line.strip() for line in said.splitlines() if line.startswith("  "))
    return {name: rest for name, _, rest in (line.partition("=") for line in lines)}


def topic_describe_all(kit: Kit):
    name = kit.topic("describe-configs")
    seen = described(kit, "--entity-type", "topics", "--entity-name", name, everything=True)
    defaults = {
        "cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "segment.bytes": "1073741824",
        "max.message.bytes": "1048588", "message.timestamp.type": "CreateTime", "min.insync.replicas": "1",
        "compression.type": "producer", "delete.retention.ms": "86400000", "flush.messages": "9223372036854775807",
        "segment.ms": "604800000", "unclean.leader.election.enable": "false", "min.compaction.lag.ms": "0",
    }
    for key, value in defaults.items():
        expect(key in seen, f"{key} isn't described")
        expect(seen[key].startswith(f"{value} "), f"{key} is {seen[key]}, Kafka's default is {value}")
    expect("DEFAULT_CONFIG:log.retention.hours" in seen["retention.ms"] or "DEFAULT_CONFIG" in seen["max.message.bytes"],
           f"no synonyms: {seen['retention.ms']}")


def topic_alter(kit: Kit):
    name = kit.topic("alter-configs")
    who = ["--entity-type", "topics", "--entity-name", name]
    kit.tool(CONFIGS, "--alter", *who, "--add-config", "retention.ms=3600000,cleanup.policy=[compact,delete]")
    seen = described(kit, *who)
    expect(seen.get("retention.ms", "").startswith("3600000 "), f"retention.ms is {seen.get('retention.ms')}")
    expect(seen.get("cleanup.policy", "").startswith("compact,delete "), f"cleanup.policy is {seen.get('cleanup.policy')}")
    expect("DYNAMIC_TOPIC_CONFIG:retention.ms=3600000" in seen["retention.ms"], f"source: {seen['retention.ms']}")
    kit.tool(CONFIGS, "--alter", *who, "--delete-config", "retention.ms")
    seen = described(kit, *who)
    expect("retention.ms" not in seen, "a deleted config is still set")
    expect("cleanup.policy" in seen, "deleting one config took another with it")


def topic_refusals(kit: Kit):
    name = kit.topic("refuse-configs")
    who = ["--entity-type", "topics", "--entity-name", name]
    for setting in ("no.such.config=1", "retention.ms=soon"):
        refused = kit.tool(CONFIGS, "--alter", *who, "--add-config", setting, fails=True)
        said = refused.text + refused.err
        expect(re.search("InvalidConfigurationException|ConfigException|Unknown", said), f"{setting}: {refused.last_words()}")


def broker_describe(kit: Kit):
    who = ["--entity-type", "brokers", "--entity-name", broker_id(kit)]
    seen = described(kit, *who, everything=True)
    wanted = {
        "log.segment.bytes": "1073741824", "message.max.bytes": "1048588", "auto.create.topics.enable": "true",
        "log.retention.hours": "168", "offsets.topic.num.partitions": "50",
    }
    for key, value in wanted.items():
        expect(key in seen, f"{key} isn't described")
        expect(seen[key].startswith(f"{value} "), f"{key} is {seen[key]}, Kafka's default is {value}")
    expect(seen.get("node.id", "").startswith(f"{who[3]} "), f"node.id is {seen.get('node.id')}")
    expect("listeners" in seen and "log.dirs" in seen, "listeners or log.dirs isn't described")


def broker_alter(kit: Kit):
    who = ["--entity-type", "brokers", "--entity-name", broker_id(kit)]
    setting, value = "log.flush.interval.ms", "1234567890123"
    kit.tool(CONFIGS, "--alter", *who, "--add-config", f"{setting}={value}")
    seen = described(kit, *who).get(setting, "")
    kit.tool(CONFIGS, "--alter", *who, "--delete-config", setting)
    expect(seen.startswith(f"{value} ") and "DYNAMIC_BROKER_CONFIG" in seen, f"{setting} is {seen or 'not there'}")
    expect(setting not in described(kit, *who), "a deleted config is still set")
    refused = kit.tool(CONFIGS, "--alter", *who, "--add-config", "node.id=77", fails=True)
    said = refused.text + refused.err
    expect(re.search("Invalid(Request|Configuration)Exception", said), f"altering node.id: {refused.last_words()}")


def broker_default(kit: Kit):
    who = ["--entity-type", "brokers", "--entity-default"]
    setting, value = "log.retention.ms", "604800001"
    kit.tool(CONFIGS, "--alter", *who, "--add-config", f"{setting}={value}")
    seen = described(kit, *who).get(setting, "")
    kit.tool(CONFIGS, "--alter", *who, "--delete-config", setting)
    expect(seen.startswith(f"{value} ") and "DYNAMIC_DEFAULT_BROKER_CONFIG" in seen, f"{setting} is {seen or 'not there'}")
