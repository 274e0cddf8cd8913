"""Programs with transactions, written alike for several clients (see ../suite/transactions.py and ../franz/transact.go).

    transact.py (confluent|kafka-python) transact --bootstrap HOST:PORT --topic T --partitions N --transactional-id I --plan c10,a5,o3
    transact.py confluent ledger --bootstrap HOST:PORT --topic T --partitions N --transactional-id I [--first N]
    transact.py confluent copy --bootstrap HOST:PORT --input T --output T --group G --transactional-id I

In a plan, c10 is a transaction of ten records that is committed, a5 one of five that is aborted, o3 one of three that stays open
until a line of the input says `c` or `a`; if the input ends before, so does the program, at once.
"""

import argparse
import os
import random
import signal
import sys
import threading
import time

PATIENCE = 150
STOPPING = threading.Event()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=("confluent", "kafka-python"))
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("transact", "ledger", "copy"):
        sub = verbs.add_parser(verb)
        sub.add_argument("--bootstrap", required=True)
        sub.add_argument("--transactional-id", required=True)
        if verb != "copy":
            sub.add_argument("--topic", required=True)
            sub.add_argument("--partitions", type=int, default=1)
    transact, ledger, copy = verbs.choices["transact"], verbs.choices["ledger"], verbs.choices["copy"]
    transact.add_argument("--plan", required=True)
    transact.add_argument("--transaction-timeout", type=int, default=60_000, metavar="MS")
    ledger.add_argument("--first", type=int, default=0, help="number of the first transaction")
    ledger.add_argument("--pause", type=float, default=0, metavar="SECONDS", help="between transactions")
    copy.add_argument("--input", required=True)
    copy.add_argument("--output", required=True)
    copy.add_argument("--group", required=True)
    copy.add_argument("--transaction-size", type=int, default=50)
    copy.add_argument("--protocol", default="classic", choices=("classic", "consumer"))
    copy.add_argument("--random-aborts", action="store_true")
    return parser.parse_args()


class Confluent:
    def __init__(self, args):
        from confluent_kafka import KafkaException, Producer

        self.failure = KafkaException
        timeout = getattr(args, "transaction_timeout", 60_000)
        self.producer = Producer({"bootstrap.servers": args.bootstrap, "transactional.id": args.transactional_id, "transaction.timeout.ms": timeout,
                                  "linger.ms": 0})
        self._patiently(lambda: self.producer.init_transactions(30))

    def _patiently(self, step) -> None:
        """As librdkafka's documentation says: what can be retried is, at once."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return step()
            except self.failure as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise

    def begin(self) -> None:
        self.producer.begin_transaction()

    def send(self, topic: str, partition: int, value: bytes) -> None:
        self.producer.produce(topic, value, partition=partition)

    def flush(self) -> None:
        if self.producer.flush(PATIENCE):
            raise TimeoutError(f"records not delivered in {PATIENCE} s")

    def send_offsets(self, ends: list, consumer) -> None:
        self._patiently(lambda: self.producer.send_offsets_to_transaction(ends, consumer.consumer_group_metadata(), 30))

    def end(self, commit: bool) -> None:
        self._patiently(lambda: self.producer.commit_transaction(30) if commit else self.producer.abort_transaction(30))


class KafkaPython:
    def __init__(self, args):
        from kafka import KafkaProducer

        self.producer = KafkaProducer(bootstrap_servers=args.bootstrap, transactional_id=args.transactional_id,
                                      transaction_timeout_ms=getattr(args, "transaction_timeout", 60_000))
        self.producer.init_transactions()
        self.sent = []

    def begin(self) -> None:
        self.producer.begin_transaction()

    def send(self, topic: str, partition: int, value: bytes) -> None:
        self.sent.append(self.producer.send(topic, value, partition=partition))

    def flush(self) -> None:
        for future in self.sent:
            future.get(PATIENCE)
        self.sent.clear()

    def end(self, commit: bool) -> None:
        if commit:
            self.producer.commit_transaction()
        else:
            self.producer.abort_transaction()


def write(client, args, values: list[str]) -> None:
    client.begin()
    for at, value in enumerate(values):
        client.send(args.topic, at % args.partitions, value.encode())
    client.flush()


def end(client, commit: bool, number: int) -> None:
    client.end(commit)
    print("committed" if commit else "aborted", number, flush=True)


def transact(client, args) -> None:
    for number, step in enumerate(args.plan.split(",")):
        write(client, args, [f"{number}:{at}" for at in range(int(step[1:]))])
        how = step[0]
        if how == "o":
            print("open", number, flush=True)
            how = sys.stdin.readline().strip() or os._exit(0)
        end(client, how == "c", number)


def ledger(client, args) -> None:
    number = args.first
    while not STOPPING.is_set():
        count = random.randint(1, 20)
        print("begun", number, flush=True)
        write(client, args, [f"{args.transactional_id}:{number}:{at}:{count}" for at in range(count)])
        end(client, random.randrange(7) != 0, number)
        number += 1
        time.sleep(args.pause)


def copy(client, args) -> None:
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": args.bootstrap, "group.id": args.group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                "isolation.level": "read_committed"}
    settings |= {"group.protocol": "consumer"} if args.protocol == "consumer" else {"session.timeout.ms": 10_000}
    consumer = Consumer(settings)
    # With callbacks, even if they do nothing, partitions come and go within consume() alone: what it gave is still this member's
    # when its offsets are sent, or the group's generation says that it isn't.
    consumer.subscribe([args.input], on_assign=lambda *_: None, on_revoke=lambda *_: None, on_lost=lambda *_: None)
    while not STOPPING.is_set():
        given = consumer.consume(args.transaction_size, 0.2)
        mine = {at.partition for at in consumer.assignment()}
        messages = [message for message in given if not message.error() and message.partition() in mine]
        if not messages:
            continue
        client.begin()
        ends = {}
        for message in messages:
            client.send(args.output, message.partition(), message.value())
            ends[message.partition()] = message.offset() + 1
        # Not left to the end: what is under way when a transaction is aborted librdkafka drops, and gives its sequence numbers to what
        # comes next. If it had been written after all, no broker can tell the new records from a repetition of the old ones.
        client.flush()
        commit = not (args.random_aborts and random.randrange(5) == 0)
        try:
            client.send_offsets([TopicPartition(args.input, partition, offset) for partition, offset in ends.items()], consumer)
            client.end(commit)
        except client.failure as error:
            if not error.args[0].txn_requires_abort():
                raise
            client.end(False)
            commit = False
        print("committed" if commit else "aborted", len(messages), flush=True)
        if not commit:
            rewind(consumer)
    consumer.close()


def rewind(consumer) -> None:
    """To what is committed, since what was read has not become of anything."""
    from confluent_kafka import OFFSET_BEGINNING

    for at in consumer.committed(consumer.assignment(), 30):
        at.offset = at.offset if at.offset >= 0 else OFFSET_BEGINNING
        consumer.seek(at)


def main() -> None:
    args = arguments()
    if args.verb != "transact":
        signal.signal(signal.SIGTERM, lambda *_: STOPPING.set())
    client = {"confluent": Confluent, "kafka-python": KafkaPython}[args.library](args)
    {"transact": transact, "ledger": ledger, "copy": copy}[args.verb](client, args)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the one line a failed check shows
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
