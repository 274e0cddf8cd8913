"""Shows that each thing is found that is looked for in what a share group was given, and nothing where all is well."""

import unittest

from trials.deliveries import Deliveries

LIMIT, LOCK = 5, 10


class Finds(unittest.TestCase):
    def setUp(self):
        self.deliveries = Deliveries(LIMIT, LOCK)

    def give(self, holder: str, at: float, count: int, ack: str, answer: float | None = None, error: str | None = None, value: str = "v") -> None:
        self.deliveries.delivered(holder, 0, 0, at, count, ack, value)
        if answer is not None:
            self.deliveries.answered(holder, 0, [0], answer, error)

    def judged(self, *, sent=(1,), deaths=(), faults=()) -> dict[str, int]:
        self.deliveries.judge(sent, deaths, faults)
        return dict(self.deliveries.wrong)

    def test_nothing_where_all_is_well(self):
        self.give("a", 1, 1, "release", 2)
        self.give("b", 1.9, 2, "accept", 3)  # before a heard that its release was taken
        self.assertEqual(self.judged(), {})
        self.assertEqual(self.deliveries.figures(), {"accept": 1, "again after a release": 1})

    def test_answers_that_come_late(self):
        self.give("a", 1, 1, "release")
        self.give("a", 2, 2, "accept")
        self.deliveries.answered("a", 0, [0], 2.5, None)
        self.give("a", 3, 3, "accept")
        self.deliveries.answered("a", 0, [0], 3.5, "NETWORK_EXCEPTION")
        self.deliveries.answered("a", 0, [0], 4, None)
        self.assertEqual(self.judged(), {})

    def test_nothing_where_several_answers_were_told_as_one(self):
        self.give("a", 1, 1, "release")
        self.give("a", 2, 2, "accept")
        self.deliveries.answered("a", 0, [0], 2.5, None)
        self.assertEqual(self.deliveries.outstanding(), 0)
        self.give("a", 3, 2, "accept", 4)
        self.assertEqual(self.judged(), {})

    def test_nothing_where_a_lock_was_over(self):
        self.give("a", 1, 1, "accept", 15, "INVALID_RECORD_STATE")
        self.give("b", 11.5, 2, "reject", 12)
        self.assertEqual(self.judged(), {})

    def test_nothing_where_a_holder_stood_still(self):
        self.give("b", 10, 2, "accept", 11)
        self.give("a", 20, 1, "accept", 21, "INVALID_RECORD_STATE")
        self.deliveries.stood_still("a", 5, 19)
        self.assertEqual(self.judged(), {})

    def test_nothing_where_the_end_is_not_known(self):
        self.give("a", 1, 1, "accept")
        self.assertEqual(self.deliveries.outstanding(), 1)
        self.deliveries.gone("a", 2)
        self.assertEqual((self.judged(), self.deliveries.outstanding()), ({}, 0))

    def test_nothing_where_it_came_as_often_as_it_may(self):
        for number in range(LIMIT):
            self.give("a", number, number + 1, "release", number + 0.5)
        self.assertEqual((self.judged(), self.deliveries.figures()["archived"]), ({}, 1))

    def test_what_came_to_nobody(self):
        self.assertEqual(self.judged(), {"lost": 1})

    def test_what_was_released_and_came_no_more(self):
        self.give("a", 1, 1, "release", 2)
        self.assertEqual(self.judged(), {"lost": 1})

    def test_what_the_dead_may_have_had(self):
        self.give("a", 1, 3, "release", 2)
        self.assertEqual(self.judged(deaths=(3, 4)), {})
        self.setUp()
        self.give("a", 1, 3, "release", 2)
        self.assertEqual(self.judged(deaths=(0.5, 4)), {"lost": 1})

    def test_what_came_after_its_end(self):
        for ack in ("accept", "reject"):
            self.setUp()
            self.give("a", 1, 1, ack, 2)
            self.give("b", 3, 2, "accept", 4)
            self.assertEqual(self.judged(), {"again": 1})
        self.setUp()
        self.give("a", 1, LIMIT, "release", 2)
        self.give("b", 3, LIMIT, "accept", 4)
        self.assertEqual(self.judged(), {"again": 1})

    def test_what_two_had_at_once(self):
        self.give("a", 1, 1, "accept", 3)
        self.give("b", 2, 2, "accept")
        self.assertEqual(self.judged(), {"twice": 1})
        self.assertEqual(Deliveries(LIMIT, LOCK).wrong, {})

    def test_not_what_two_had_while_a_broker_died(self):
        self.give("a", 1, 1, "accept", 3)
        self.give("b", 2, 2, "accept")
        self.assertEqual(self.judged(faults=((1.5, 1.8),)), {})

    def test_counts_that_cannot_be(self):
        self.give("a", 1, 2, "release", 2)
        self.give("b", 3, 2, "accept", 4)
        self.assertEqual(self.judged(), {"counted": 1})
        self.setUp()
        self.give("a", 1, LIMIT + 1, "accept", 2)
        self.assertEqual(self.judged(), {"counted": 1})

    def test_values_that_cannot_be(self):
        self.give("a", 1, 1, "release", 2)
        self.give("b", 3, 2, "accept", 4, value="w")
        self.assertEqual(self.judged(), {"changed": 1})
        self.setUp()
        self.give("a", 1, 1, "accept", 2)
        self.assertEqual(self.judged(sent=(0,)), {"changed": 1})


if __name__ == "__main__":
    unittest.main()
