"""Members of share groups as processes: Kafka's own share consumer, librdkafka's and franz-go's, in programs written alike
(../java/Share.java, ../python/share.py, ../franz/share.go).

A member says a JSON object a line: startup_complete, record_data for each record with its delivery count, acknowledged for what the
broker has answered to acknowledgements, shutdown_complete. How it acknowledges is told it:

  implicit  not at all by itself: the next poll accepts what the last one gave
  value     as the first word of the record says: accept, release, reject, or retry, which releases it once and then accepts it
  ask       all of a poll as the next line of the input says; it says asking when it has told of all of them
  random    it chooses, and says what in record_data
"""

import subprocess
import time
from collections import Counter

from suite.install import HERE
from suite.kit import Kit, expect
from suite.members import WAIT_SECONDS, Teller

LIBRARIES = ("java", "librdkafka", "franz")


def program(kit: Kit, library: str) -> list[str]:
    if library == "java":
        return [*kit.jvm("128m"), "Share", "member"]
    if library == "franz":
        return [str(kit.shared.installed.franz), "share"]
    return [str(kit.shared.installed.python), str(HERE / "python" / "share.py"), "member"]


class Sharer(Teller):
    """One member of a share group."""

    def __init__(self, kit: Kit, library: str, group: str, topic: str, ack: str, *more: str):
        self.records: list[tuple[int, int, int, str]] = []  # partition, offset, delivery count, value
        self.answers: list[tuple[int, int, str | None]] = []  # partition, offset, what was wrong
        self.started = False
        self.asked = 0
        argv = [*program(kit, library), "--bootstrap", kit.bootstrap, "--group", group, "--topic", topic, "--ack", ack, *more]
        super().__init__(kit, library, argv, subprocess.PIPE)

    def _heard(self, said: dict) -> None:
        self.started = True
        if said["name"] == "record_data":
            self.records.append((said["partition"], said["offset"], said["delivery"], said["value"]))
        elif said["name"] == "asking":
            self.asked += 1
        elif said["name"] == "acknowledged":
            self.answers += [(at["partition"], offset, said["error"]) for at in said["partitions"] for offset in at["offsets"]]

    def _state(self) -> str:
        wrong = Counter(error for _, _, error in self.answers if error)
        return f"it has {len(self.records)} records and {len(self.answers)} answers to acknowledgements{f', {dict(wrong)}' if wrong else ''}"

    def leave(self) -> None:
        # Before it has begun, it knows nothing of an orderly end.
        self.wait("has begun", lambda one: one.started)
        super().leave()

    def tell(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def values(self) -> list[str]:
        with self._changed:
            return [value for _, _, _, value in self.records]

    def deliveries(self) -> dict[str, list[int]]:
        """The delivery counts that came with each value, in their order."""
        found: dict[str, list[int]] = {}
        with self._changed:
            for _, _, delivery, value in self.records:
                found.setdefault(value, []).append(delivery)
        return found

    def errors(self) -> set[str]:
        with self._changed:
            return {error for _, _, error in self.answers if error}


class Sharers:
    """All that a check starts; none of them outlives it."""

    def __init__(self, kit: Kit, group: str, topic: str):
        self.kit, self.group, self.topic = kit, group, topic
        self.all: list[Sharer] = []

    def __enter__(self) -> "Sharers":
        return self

    def __exit__(self, *_) -> None:
        for member in self.all:
            if member.process.poll() is None:
                member.kill()

    def start(self, library: str, ack: str, *more: str) -> Sharer:
        self.all.append(Sharer(self.kit, library, self.group, self.topic, ack, *more))
        return self.all[-1]

    def values(self) -> list[str]:
        return [value for member in self.all for value in member.values()]

    def await_values(self, wanted: set[str], seconds: float = WAIT_SECONDS) -> None:
        """Until every wanted value has come to some member."""
        deadline = time.monotonic() + seconds
        while missing := wanted - set(self.values()):
            expect(time.monotonic() < deadline, f"{len(missing)} of {len(wanted)} records came to no member in {seconds:.0f} s, such as {sorted(missing)[:3]}")
            time.sleep(0.1)
