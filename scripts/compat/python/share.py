"""librdkafka's share consumer, which says what happens, one JSON object a line; written alike for every client (see ../suite/sharing.py,
which says how records are acknowledged). It leaves on SIGTERM.

    share.py member --bootstrap HOST:PORT --group G --topic T --ack implicit|value|ask|random …
"""

import argparse
import json
import logging
import os
import queue
import random
import signal
import sys
import threading
import time

from confluent_kafka import AcknowledgeType, KafkaException, ShareConsumer

STOPPING = threading.Event()
TYPES = {"accept": AcknowledgeType.ACCEPT, "release": AcknowledgeType.RELEASE, "reject": AcknowledgeType.REJECT}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("member",))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--ack", required=True, choices=("implicit", "value", "ask", "random"))
    parser.add_argument("--commit", default="poll", choices=("poll", "sync", "async"))
    parser.add_argument("--max-poll", default="500")
    parser.add_argument("--pause-ms", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def say(name: str, **what) -> None:
    print(json.dumps({"name": name, "at": time.monotonic()} | what), flush=True)


def acknowledged(offsets, error) -> None:
    partitions = [{"partition": at.partition, "offsets": sorted(of)} for at, of in offsets.items()]
    say("acknowledged", partitions=partitions, error=error.args[0].name() if error else None)


class Misnamed(logging.Filter):
    """Kafka 4.1 fails at librdkafka's member ids where they have a + or a /, as half of them do: then another life is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = threading.Event()

    def filter(self, record: logging.LogRecord) -> bool:
        if "ShareFetch reply error: Unknown broker error" in record.getMessage():
            self.seen.set()
            return False
        return True


class Member:
    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.random = random.Random(args.seed)
        self.input: queue.Queue[str] = queue.Queue()
        self.misnamed = Misnamed()
        self.log = logging.getLogger("librdkafka")
        self.log.addHandler(logging.StreamHandler())
        self.log.addFilter(self.misnamed)
        self.log.setLevel(logging.INFO)
        threading.Thread(target=lambda: [self.input.put(line.strip()) for line in sys.stdin], daemon=True).start()

    def run(self) -> None:
        args = self.args
        mode = "implicit" if args.ack == "implicit" else "explicit"
        settings = {"bootstrap.servers": args.bootstrap, "group.id": args.group, "share.acknowledgement.mode": mode, "max.poll.records": args.max_poll}
        self.consumer = ShareConsumer(settings, logger=self.log)
        self.consumer.set_acknowledgement_commit_callback(acknowledged)
        self.consumer.subscribe([args.topic])
        say("startup_complete")
        while not STOPPING.is_set():
            messages = []
            if self.misnamed.seen.is_set():
                os.execv(sys.executable, [sys.executable, *sys.argv])
            try:
                polled = self.consumer.poll(0.2)
            except KafkaException as error:
                say("error", error=str(error))
                continue
            for message in polled:
                if message.error():
                    say("error", error=str(message.error()))
                else:
                    messages.append(message)
            if messages:
                self.process(messages)
        self.consumer.close()
        say("shutdown_complete")

    def process(self, messages: list) -> None:
        args, chosen = self.args, [self.choose(message) for message in messages]
        for message, ack in zip(messages, chosen, strict=True):
            say("record_data", topic=message.topic(), partition=message.partition(), offset=message.offset(), delivery=message.delivery_count(),
                value=message.value().decode(), ack=ack)
        told = self.ask() if args.ack == "ask" else None
        if args.ack == "ask" and told is None:
            return
        time.sleep(self.random.random() * args.pause_ms / 1000)
        if args.ack == "implicit":
            return
        for message, ack in zip(messages, chosen, strict=True):
            self.consumer.acknowledge(message, TYPES[told or ack])
        if args.commit == "sync":
            self.consumer.commit_sync()
        elif args.commit == "async":
            self.consumer.commit_async()

    def choose(self, message) -> str:
        if self.args.ack == "random":
            dice = self.random.randrange(100)
            return "accept" if dice < 85 else "release" if dice < 95 else "reject"
        if self.args.ack != "value":
            return self.args.ack
        word = message.value().decode().split(" ")[0]
        if word == "retry":
            return "release" if message.delivery_count() == 1 else "accept"
        return word

    def ask(self) -> str | None:
        """What the next line of the input says; none when it is to end first."""
        say("asking")
        while not STOPPING.is_set():
            try:
                return self.input.get(timeout=0.1)
            except queue.Empty:
                continue
        return None


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: STOPPING.set())
    Member(arguments()).run()


if __name__ == "__main__":
    main()
