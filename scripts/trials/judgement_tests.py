"""Every rule of the judgement: it lets pass what is right and finds what is wrong."""

import unittest

from trials import judgement


class Judgement(unittest.TestCase):
    def test_copies(self):
        wanted = [b"0", b"1", b"2"]
        self.assertEqual(judgement.copy_wrong([b"0", b"1", b"2"], wanted), "")
        self.assertIn("record 1 is", judgement.copy_wrong([b"0", b"2"], wanted))
        self.assertIn("1 are doubled", judgement.copy_wrong([b"0", b"1", b"1", b"2"], wanted))
        self.assertIn("record 1 is", judgement.copy_wrong([b"0", b"2", b"1"], wanted))
        self.assertIn("4 records in place of 3", judgement.copy_wrong([*wanted, b"3"], wanted))

    def test_readers(self):
        self.assertEqual(judgement.difference([(0, b"a")], [(0, b"a")]), "")
        self.assertIn("from number 1 on", judgement.difference([(0, b"a"), (1, b"aborted")], [(0, b"a"), (2, b"b")]))
        self.assertIn("from number 1 on", judgement.difference([(0, b"a")], [(0, b"a"), (1, b"b")]))

    def test_ledgers(self):
        said = {0: "committed", 1: "aborted", 2: "begun", 3: "begun"}
        whole = [["w:0:0:3", "w:0:2:3", "w:2:0:1"], ["w:0:1:3"]]
        self.assertEqual(judgement.ledger_wrong("w", said, whole), [])
        for wrong, partitions in (
            ("of transaction 0 are there [0, 2] of 3", [whole[0], []]),
            ("of transaction 0 are there [0, 1, 1, 2] of 3", [whole[0], ["w:0:1:3", "w:0:1:3"]]),
            ("transaction 0 was committed and isn't there", [["w:2:0:1"], []]),
            ("transaction 1 was aborted and is there", [[*whole[0][:2], "w:1:0:1", "w:2:0:1"], whole[1]]),
            ("w:0:2:3 comes after transaction 2", [["w:0:0:3", "w:2:0:1", "w:0:2:3"], whole[1]]),
        ):
            found = judgement.ledger_wrong("w", said, partitions)
            self.assertTrue(any(wrong in one for one in found), f"{wrong} isn't in {found}")

    def test_counts(self):
        self.assertEqual(judgement.counts_wrong({"a": 3}, {"a": [1, 2, 3]}), [])
        for counts in ([1, 2], [1, 2, 2, 3], [1, 3, 2], [1, 2, 3, 4], []):
            self.assertEqual(len(judgement.counts_wrong({"a": 3}, {"a": counts})), 1, counts)
        self.assertEqual(len(judgement.counts_wrong({}, {"b": [1]})), 1)

    def test_owners(self):
        self.assertEqual(judgement.shared_in_generation({1: {0: {"a"}, 1: {"b"}}, 2: {0: {"b"}}}), [])
        self.assertEqual(len(judgement.shared_in_generation({1: {0: {"a", "b"}}})), 1)
        self.assertEqual(judgement.shared_in_time({0: [(3.0, 4.0, "b", False), (1.0, 2.0, "a", False)]}), [])
        self.assertEqual(judgement.shared_in_time({0: [(1.0, 5.0, "a", True), (3.0, 4.0, "b", False)]}), [])
        self.assertEqual(len(judgement.shared_in_time({0: [(1.0, 3.5, "a", False), (3.0, 4.0, "b", False)]})), 1)
