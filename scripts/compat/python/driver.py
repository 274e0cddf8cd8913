"""Python clients behind a command line: produces what it reads, prints what it consumes.

    driver.py (confluent|kafka-python) (produce|consume|create|delete|config|watermarks) --bootstrap HOST:PORT …
"""

import argparse
import importlib
import sys

from records import parse, render

LIBRARIES = {"confluent": "confluent_driver", "kafka-python": "kafka_python_driver"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=LIBRARIES)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("produce", "consume", "create", "delete", "config", "watermarks"):
        sub = verbs.add_parser(verb)
        sub.add_argument("--bootstrap", required=True)
        sub.add_argument("--timeout", type=int, default=150)
        many = {"nargs": "+"} if verb in ("create", "delete") else {}
        sub.add_argument("--topic", required=True, **many)
        if verb in ("produce", "consume", "watermarks"):
            sub.add_argument("--partition", type=int, default=0, help="producing, -1 picks one by the key")
        if verb in ("produce", "consume"):
            sub.add_argument("--json", action="store_true")
    produce, consume, create = verbs.choices["produce"], verbs.choices["consume"], verbs.choices["create"]
    produce.add_argument("--codec", default="none")
    produce.add_argument("--acks", default="all", choices=("0", "1", "all"))
    produce.add_argument("--max-bytes", type=int, default=1_000_000)
    consume.add_argument("--offset", type=int, default=0)
    consume.add_argument("--count", type=int, required=True)
    consume.add_argument("--read-committed", action="store_true")
    create.add_argument("--partitions", type=int, default=1)
    create.add_argument("--config", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    library = importlib.import_module(LIBRARIES[args.library])
    if args.verb == "produce":
        lines = (line.removesuffix(b"\n") for line in sys.stdin.buffer)
        library.produce(args, (parse(line, args.json) for line in lines))
    elif args.verb == "consume":
        for record in library.consume(args):
            sys.stdout.buffer.write(render(record, args.json))
    elif args.verb == "config":
        for name, value in library.config(args):
            print(f"{name}={value}")
    elif args.verb == "watermarks":
        print(*library.watermarks(args))
    else:
        getattr(library, args.verb)(args)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the one line a failed check shows
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
