"""Tests of what the trials stand on besides the checker: records, plans, outages, and the reading of replicas."""

import struct
import tempfile
import unittest
from pathlib import Path

from trials import plan, record, replicas
from trials.outages import FOLLOWED, LED, Outages, percentile


def batch(base: int, records: int, content: bytes = b"", leader: int = 0, producer: tuple[int, int, int] = (-1, -1, -1)) -> bytes:
    rest = struct.pack(">i", leader) + bytes(7) + struct.pack(">i", records - 1) + bytes(16) + struct.pack(">qhi", *producer) + bytes(4) + content
    return struct.pack(">qi", base, len(rest)) + rest


class Records(unittest.TestCase):
    def test_come_back_as_they_went(self):
        for sequence in (0, 1, 2, 3, record.LARGE_EVERY - 1, 10**9):
            self.assertEqual(record.decode(record.encode(3, 5, sequence), 5), (3, sequence))

    def test_are_refused_when_anything_is_different(self):
        whole = record.encode(3, 5, 7)
        for value in (None, b"", b"hello", whole[:-1], whole + b"0", whole[:-1] + b"!", record.encode(3, 4, 7)):
            with self.assertRaises(record.Damaged):
                record.decode(value, 5)


class Plans(unittest.TestCase):
    def test_are_the_same_for_a_seed(self):
        one, same, other = (list(plan.rounds(seed, list(plan.KINDS), 3, 6, 100)) for seed in (7, 7, 8))
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_have_as_many_faults_as_asked_for_and_all_kinds(self):
        for faults in (1, 2, 300):
            steps = [step for at in plan.rounds(3, list(plan.KINDS), 3, 6, faults) for step in at.steps]
            self.assertEqual(len(steps), faults)
        self.assertEqual({step.kind for step in steps}, set(plan.KINDS))
        self.assertTrue(all(0 <= step.victim < 6 if step.leads else 1 <= step.victim <= 3 for step in steps))


class Times(unittest.TestCase):
    def test_end_with_the_first_record_sent_after_the_fault(self):
        outages = Outages()
        outages.fault("kill", 10.0, {0: LED, 1: FOLLOWED})
        outages.acknowledged(0, sent=9.9, now=10.1)
        outages.acknowledged(0, sent=10.2, now=13.5)
        outages.acknowledged(0, sent=10.3, now=13.6)
        self.assertEqual([(partition) for _, partition in outages.unanswered()], [1])
        outages.acknowledged(1, sent=10.0, now=10.5)
        self.assertEqual(outages.unanswered(), [])
        self.assertEqual(outages.faults[0].took, {0: 3.5, 1: 0.5})
        self.assertIn("| kill | led | 1 | 3.500 | 3.500 | 3.500 |", outages.table())

    def test_the_longest_come_first(self):
        outages = Outages()
        for number, took in enumerate((1.0, 3.0, 2.0)):
            outages.fault("kill", 10.0 * number, {0: LED, 1: LED}, f"round {number}")
            for partition in (0, 1):
                outages.acknowledged(partition, 10.0 * number, 10.0 * number + took - 0.5 * partition)
        self.assertEqual(outages.longest(2), ["3.0 s after round 1", "2.0 s after round 2"])

    def test_percentiles(self):
        values = [float(number) for number in range(1, 101)]
        self.assertEqual([percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)], [1, 50, 99, 100])
        self.assertEqual(percentile([4.0], 0.5), 4.0)


class Replicas(unittest.TestCase):
    def test_batches_up_to_one_that_is_not_whole(self):
        log = batch(0, 3) + batch(3, 1, b"x")
        for tail in (b"", bytes(100), batch(4, 2)[:-1], b"\0\0"):
            self.assertEqual([(found.base, found.after) for found in replicas.batches(log + tail)], [(0, 3), (3, 4)])

    def test_differences(self):
        log = list(replicas.batches(batch(0, 3) + batch(3, 1)))
        self.assertEqual(replicas.difference(log, list(log)), "")
        self.assertIn("offset 3", replicas.difference(log, list(replicas.batches(batch(0, 3) + batch(3, 1, b"y")))))
        self.assertIn("in length", replicas.difference(log, log[:1]))

    def test_sequences(self):
        def wrong(*made: bytes) -> list[str]:
            return list(replicas.out_of_sequence(list(replicas.batches(b"".join(made)))))

        good = batch(0, 2, producer=(7, 0, 0)), batch(2, 1, leader=1, producer=(8, 3, 0)), batch(3, 1, leader=1, producer=(7, 0, 2))
        self.assertEqual(wrong(*good), [])
        self.assertEqual(wrong(*good, batch(4, 1, leader=1, producer=(7, 1, 0)), batch(5, 1, leader=1)), [])
        for producer in ((7, 0, 2), (7, 0, 4), (7, 0, 0), (8, 2, 0), (8, 4, 1), (9, 0, 1)):
            self.assertEqual(len(wrong(*good, batch(4, 1, leader=1, producer=producer))), 1, producer)
        self.assertIn("leader epoch 0 after 1", wrong(*good, batch(4, 1))[0])

    def test_an_answer_is_taken_apart(self):
        records = batch(5, 2)
        answer = struct.pack(">iihi", 1, 0, 0, 0) + struct.pack(">ih", 1, 1) + b"t" + struct.pack(">i", 1)
        answer += struct.pack(">ihqqqi", 0, 0, 7, 7, 0, -1) + struct.pack(">ii", -1, len(records)) + records
        self.assertEqual(replicas.parse(answer), replicas.Answer(0, 7, records))

    def test_segments_in_order_over_drives(self):
        with tempfile.TemporaryDirectory() as made:
            drives = [Path(made) / "a", Path(made) / "b"]
            for drive, folder, name, content in ((0, "t-0.id", "00000000000000000003", batch(3, 1)), (0, "t-0.id", "00000000000000000000", batch(0, 3)),
                                                 (1, "t-01.id", "00000000000000000000", batch(9, 1)), (0, "t-0.id", "other", batch(9, 1))):
                path = drives[drive] / folder / f"{name}.log"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content + bytes(50))
            self.assertEqual([found.base for found in replicas.on_drives(drives, "t", 0)], [0, 3])

    def test_nodes_are_compared_partition_by_partition(self):
        with tempfile.TemporaryDirectory() as made:
            nodes = {node: [Path(made) / str(node)] for node in (1, 2, 3)}
            same, other = batch(0, 3), batch(0, 3, b"x")
            for node, folder, content in ((1, "t-0", same), (2, "t-0.id", same), (3, "t-0", b""), (2, "t-11", same), (3, "t-11", other), (1, "t-x-0", other)):
                path = nodes[node][0] / folder / "00000000000000000000.log"
                path.parent.mkdir(parents=True)
                path.write_bytes(content)
            first, second = replicas.compared(nodes, "t")
            self.assertEqual(first[:3], (0, [1, 2, 3], 3))
            self.assertEqual(first.differences, ["node 3 differs from node 1 in length: 1 batches to 3, and 0 to 0"])
            self.assertEqual(second[:3], (11, [2, 3], 3))
            self.assertIn("node 3 differs from node 2 at offset 0", second.differences[0])
            self.assertEqual(list(replicas.compared(nodes, "nothing")), [])
