"""Programs with transactions, written alike for several clients (../python/transact.py, ../franz/transact.go, ../java/Transact.java).

  transact does what a plan says (c10,a5,o3: see there) and says `committed N`, `aborted N` or `open N` of each transaction;
  ledger writes transactions until it is ended, and says `begun N` and what became of each;
  copy consumes, produces what it has read and commits both in one, and says `committed COUNT` or `aborted COUNT`.
"""

import queue
import subprocess
import threading

from suite.install import HERE
from suite.kit import Kit, expect
from suite.process import CheckFailed

WRITERS = ("java", "confluent", "kafka-python", "franz")
COPIERS = ("java", "confluent", "franz")
WAIT_SECONDS = 60


def transact(kit: Kit, library: str, topic: str, partitions: int, transactional_id: str, plan: str, timeout_ms: int = 60_000) -> list[str]:
    if library == "java":
        argv = [*kit.jvm("128m"), "Transact"]
    elif library == "franz":
        argv = [str(kit.shared.installed.franz)]
    else:
        argv = [str(kit.shared.installed.python), str(HERE / "python" / "transact.py"), library]
    argv += ["transact", "--bootstrap", kit.bootstrap, "--topic", topic, "--partitions", str(partitions)]
    return [*argv, "--transactional-id", transactional_id, "--plan", plan, "--transaction-timeout", str(timeout_ms)]


def copy(kit: Kit, library: str, source: str, target: str, group: str, transactional_id: str, *, protocol: str = "classic") -> list[str]:
    """Java's is Kafka's own TransactionalMessageCopier, which ends at what was the end when it began."""
    if library == "java":
        argv = [*kit.jvm("128m"), "org.apache.kafka.tools.TransactionalMessageCopier", "--broker-list", kit.bootstrap, "--input-topic", source,
                "--input-partition", "0", "--output-topic", target, "--consumer-group", group, "--transactional-id", transactional_id]
        return [*argv, "--transaction-size", "50", "--enable-random-aborts", "--group-mode", "--use-group-metadata"]
    installed = kit.shared.installed
    argv = [str(installed.franz)] if library == "franz" else [str(installed.python), str(HERE / "python" / "transact.py"), library]
    argv += ["copy", "--bootstrap", kit.bootstrap, "--input", source, "--output", target, "--group", group]
    return [*argv, "--transactional-id", transactional_id, "--protocol", protocol, "--random-aborts"]


def outcomes(plan: str, partitions: int) -> tuple[list[list[str]], list[list[str]]]:
    """What each partition holds after a plan: what was committed, and all."""
    committed: list[list[str]] = [[] for _ in range(partitions)]
    everything: list[list[str]] = [[] for _ in range(partitions)]
    for number, step in enumerate(plan.split(",")):
        for at in range(int(step[1:])):
            everything[at % partitions].append(f"{number}:{at}")
            if step[0] == "c":
                committed[at % partitions].append(f"{number}:{at}")
    return committed, everything


class Talk:
    """A program that is told things while it runs."""

    def __init__(self, kit: Kit, argv: list[str]):
        kit.log.write(f"$ {' '.join(argv)}")
        self._log = kit.log
        self._said: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._words: list[str] = []
        self._listeners = [threading.Thread(target=listen, daemon=True) for listen in (self._listen, self._listen_to_errors)]
        for listener in self._listeners:
            listener.start()

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self._said.put(line.strip())
        self._said.put(None)

    def _listen_to_errors(self) -> None:
        for line in self.process.stderr:
            self._words.append(line.strip())
            self._log.write(line)

    def hear(self, wanted: str) -> None:
        try:
            said = self._said.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise CheckFailed(f"it doesn't say {wanted!r} within {WAIT_SECONDS} s") from None
        expect(said == wanted, f"it says {said!r} where {wanted!r} is wanted; {self.words()}")

    def tell(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ends(self) -> int:
        self.process.stdin.close()
        try:
            code = self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"it doesn't end within {WAIT_SECONDS} s") from None
        for listener in self._listeners:
            listener.join(WAIT_SECONDS)
        return code

    def words(self) -> str:
        telling = [line for line in self._words if "rror" in line or "xception" in line or "ence" in line]
        return " | ".join((telling or self._words)[-3:])[:400]
