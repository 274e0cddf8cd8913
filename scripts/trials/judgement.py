"""What must hold of what was read, as rules over plain values: each gives what is wrong, in words.

Owns no client and no process, so that every rule is tried by itself (see judgement_tests.py).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

Span = tuple[float, float, str, bool]  # from when to when who had a partition, and whether it was lost or its owner gone


def difference(live: Sequence, final: Sequence) -> str:
    """Between what was seen all the time and what is read in the end."""
    if live == final:
        return ""
    at = _first_difference(live, final)
    return f"{len(live)} and {len(final)} records, from number {at} on: {live[at:at + 2]} and {final[at:at + 2]}"


def copy_wrong(got: Sequence[bytes], wanted: Sequence[bytes]) -> str:
    """Of a copy that must have all records, each once and in order."""
    if got == wanted:
        return ""
    at = _first_difference(got, wanted)
    return f"{len(got)} records in place of {len(wanted)}; record {at} is {got[at:at + 3]}, wanted {wanted[at:at + 3]}; {len(got) - len(set(got))} are doubled"


def _first_difference(one: Sequence, other: Sequence) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def ledger_wrong(name: str, said: Mapping[int, str], partitions: Sequence[Sequence[str]]) -> list[str]:
    """Of a writer's transactions: `said` is what it said last of each (begun, committed, aborted), and partitions hold records of the
    form WRITER:TRANSACTION:INDEX:COUNT."""
    found: list[str] = []
    seen: dict[int, list[int]] = defaultdict(list)
    counts: dict[int, int] = {}
    for partition, values in enumerate(partitions):
        last = (-1, -1)
        for value in values:
            _, number, index, count = value.split(":")
            if (int(number), int(index)) <= last:
                found.append(f"{name}, partition {partition}: {value} comes after transaction {last[0]}, index {last[1]}")
            last = (int(number), int(index))
            seen[last[0]].append(last[1])
            counts[last[0]] = int(count)
    for number, indexes in seen.items():
        if sorted(indexes) != list(range(counts[number])):
            found.append(f"{name}: of transaction {number} are there {sorted(indexes)} of {counts[number]} ({said.get(number)})")
    found += [f"{name}: transaction {number} was committed and isn't there" for number, what in said.items() if what == "committed" and number not in seen]
    found += [f"{name}: transaction {number} was aborted and is there" for number, what in said.items() if what == "aborted" and number in seen]
    return found


def counts_wrong(sent: Mapping[str, int], counts: Mapping[str, Sequence[int]]) -> list[str]:
    """Of a word count with every change in its output: 1 to n for a word that was sent n times."""
    found = []
    for word in sorted(sent.keys() | counts.keys()):
        got, times = counts.get(word, []), sent.get(word, 0)
        if list(got) != list(range(1, times + 1)):
            wrong = next((at for at, count in enumerate(got, 1) if count != at), len(got) + 1)
            found.append(f"{word}: {len(got)} changes for {times} times; from number {wrong} on they are {got[wrong - 1:wrong + 2]}")
    return found


def shared_in_generation(generations: Mapping[int, Mapping[int, set[str]]]) -> list[str]:
    """Partitions with several owners in one generation."""
    return [f"in generation {generation} partition {partition} is of {sorted(names)}"
            for generation, partitions in generations.items() for partition, names in partitions.items() if len(names) > 1]


def shared_in_time(spans: Mapping[int, Sequence[Span]]) -> list[str]:
    """Partitions that somebody was given while another still had them; who lost them, or was killed, may not have known."""
    found = []
    for partition, of in spans.items():
        ordered = sorted(of)
        for (_, end, one, lost), (began, _, other, _) in zip(ordered, ordered[1:], strict=False):
            if began < end and not lost:
                found.append(f"partition {partition} is of {one} until {end:.3f} and of {other} from {began:.3f}")
    return found
