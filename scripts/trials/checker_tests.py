"""Shows that the checker finds each thing it is there for, and nothing in a run that is as it should be."""

import unittest

from trials.checker import Checker

PRODUCERS = (0, 1)
RECORDS = 20


def told(acknowledge: bool = True) -> tuple[Checker, list[tuple[int, int]]]:
    """A partition that two producers wrote in turn, as it should be, and its log: (producer, number) by offset."""
    checker, log = Checker(), []
    for _ in range(RECORDS):
        for producer in PRODUCERS:
            log.append((producer, checker.sending(producer, 0)))
    if acknowledge:
        for offset, (producer, sequence) in enumerate(log):
            checker.acknowledged(producer, 0, sequence, offset)
    return checker, log


def finish(checker: Checker, log: list[tuple[int, int]], end: int | None = None) -> dict[str, int]:
    final = checker.final(0)
    for offset, record in enumerate(log):
        final.read(offset, *record)
    final.end(len(log) if end is None else end)
    return checker.counts


def consume(checker: Checker, log: list[tuple[int, int]], offsets, reader: str = "a reader") -> None:
    for offset in offsets:
        checker.read(reader, 0, offset, *log[offset])


class Finds(unittest.TestCase):
    def test_nothing_where_all_is_well(self):
        checker, log = told()
        checker.reading("a reader", 0, 0)
        consume(checker, log, range(len(log)))
        checker.reading("a reader", 0, 7)
        consume(checker, log, range(7, 12))
        self.assertEqual(finish(checker, log), {})
        self.assertEqual((checker.sent, checker.acked, checker.outstanding()), (40, 40, 0))

    def test_nothing_where_what_was_not_acknowledged_is_missing_or_there(self):
        checker, log = told(acknowledge=False)
        self.assertEqual(finish(checker, log[:13]), {})
        self.assertEqual(checker.outstanding(), 40)

    def test_a_loss_at_the_end(self):
        checker, log = told()
        counts = finish(checker, log[:-1])
        self.assertEqual(counts, {"lost": 1, "gone": 1})
        self.assertIn("record 19 of producer 1, acknowledged at offset 39", checker.findings[0].text)

    def test_a_loss_that_another_record_covers(self):
        checker, log = told()
        more = (0, checker.sending(0, 0))
        self.assertEqual(finish(checker, [*log[:-1], more]), {"changed": 1, "lost": 1})

    def test_a_loss_in_the_middle(self):
        checker, log = told()
        counts = finish(checker, log[:5] + log[6:])
        self.assertEqual(counts["lost"], 1)
        self.assertIn("changed", counts)

    def test_a_loss_of_what_was_acknowledged_without_an_offset(self):
        checker, log = told(acknowledge=False)
        checker.acknowledged(1, 0, 19, -1)
        self.assertEqual(finish(checker, log[:-1]), {"lost": 1})

    def test_nothing_where_what_was_acknowledged_without_an_offset_is_there(self):
        checker, log = told(acknowledge=False)
        checker.acknowledged(1, 0, 19, -1)
        self.assertEqual(finish(checker, log), {})

    def test_a_record_that_was_read_and_is_gone(self):
        checker, log = told(acknowledge=False)
        consume(checker, log, range(len(log)))
        self.assertEqual(finish(checker, log[:-2]), {"gone": 2})

    def test_a_duplicate(self):
        checker, log = told()
        self.assertEqual(finish(checker, [*log, log[3]]), {"duplicate": 1})

    def test_no_duplicate_of_a_producer_that_may_repeat(self):
        checker, log = told()
        checker._may_repeat = frozenset({1})
        self.assertEqual(finish(checker, [*log, log[3]]), {})
        self.assertEqual(checker.repeated, 1)
        checker, log = told()
        checker._may_repeat = frozenset({1})
        self.assertEqual(finish(checker, [*log, log[2]]), {"duplicate": 1})

    def test_a_reordering(self):
        checker, log = told(acknowledge=False)
        log[10], log[12] = log[12], log[10]
        self.assertEqual(finish(checker, log), {"reordered": 1})

    def test_no_reordering_between_producers(self):
        checker, log = told(acknowledge=False)
        log[10], log[11] = log[11], log[10]
        self.assertEqual(finish(checker, log), {})

    def test_an_offset_that_changed_between_two_readers(self):
        checker, log = told(acknowledge=False)
        consume(checker, log, range(10))
        log[9], log[8] = log[8], log[9]
        consume(checker, log, [8, 9], reader="another")
        self.assertEqual(checker.counts, {"changed": 2})

    def test_an_offset_that_changed_after_its_acknowledgement(self):
        checker, log = told()
        checker.read("a reader", 0, 4, *log[5])
        self.assertEqual(checker.counts, {"changed": 1})

    def test_an_offset_acknowledged_twice(self):
        checker, _ = told(acknowledge=False)
        checker.acknowledged(0, 0, 3, 6)
        checker.acknowledged(1, 0, 3, 6)
        self.assertEqual(checker.counts, {"changed": 1})

    def test_a_record_that_nobody_sent(self):
        for record in ((0, RECORDS), (7, 0)):
            checker, log = told()
            self.assertEqual(finish(checker, [*log, record]), {"unknown": 1})

    def test_a_reader_that_skips_or_goes_back(self):
        for offsets in ([0, 1, 3], [0, 1, 1], [5, 4]):
            checker, log = told()
            consume(checker, log, offsets)
            self.assertEqual(checker.counts, {"skipped": 1})

    def test_a_last_reading_that_ends_early(self):
        checker, log = told(acknowledge=False)
        self.assertEqual(finish(checker, log, end=len(log) + 1), {"skipped": 1})

    def test_a_hole_in_the_log(self):
        checker, log = told(acknowledge=False)
        final = checker.final(0)
        for offset, record in enumerate(log):
            final.read(offset + (offset >= 10), *record)
        final.end(len(log) + 1)
        self.assertEqual(checker.counts, {"skipped": 1})

    def test_damage_and_refusals(self):
        checker, _ = told(acknowledge=False)
        checker.damaged("a reader", 0, 0, "cut off")
        checker.refused(0, 0, 0, "timed out")
        self.assertEqual(checker.counts, {"damaged": 1, "refused": 1})

    def test_partitions_apart(self):
        checker, log = told()
        other = checker.sending(0, 1)
        checker.acknowledged(0, 1, other, 0)
        self.assertEqual(finish(checker, log), {})
        final = checker.final(1)
        final.end(0)
        self.assertEqual(checker.counts, {"lost": 1, "gone": 1})

    def test_all_of_many_and_shows_some(self):
        checker, log = told()
        self.assertEqual(finish(checker, [])["lost"], len(log))
        self.assertEqual(sum(finding.kind == "lost" for finding in checker.findings), 20)
