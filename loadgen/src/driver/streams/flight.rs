//! Records of a stream that are on their way, by publishing id. Ids count up by one.

use std::collections::VecDeque;

use crate::measure::recorder::Ticket;

/// The records on their way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The id of the oldest in `sent`.
    first: u64,
    /// Those that were answered out of turn are gone already.
    sent: VecDeque<Option<Ticket>>,
}

impl Flight {
    /// Takes in a record that is sent, and gives it its id.
    pub(super) fn add(&mut self, ticket: Ticket) -> u64 {
        self.sent.push_back(Some(ticket));
        self.first + self.sent.len() as u64 - 1
    }

    /// Takes out the record with this id; none if it isn't on its way (any more).
    pub(super) fn take(&mut self, id: u64) -> Option<Ticket> {
        let at = usize::try_from(id.checked_sub(self.first)?).ok()?;
        let ticket = self.sent.get_mut(at)?.take()?;
        while let Some(None) = self.sent.front() {
            self.sent.pop_front();
            self.first += 1;
        }
        Some(ticket)
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> Vec<Ticket> {
        self.first += self.sent.len() as u64;
        self.sent.drain(..).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn ticket(sequence: u32) -> Ticket {
        Ticket {
            due_ns: 0,
            sequence,
            bytes: 0,
        }
    }

    #[test]
    fn records_come_out_by_id_in_any_order_and_once() {
        let mut flight = Flight::default();
        let ids: Vec<_> = (0..4).map(|number| flight.add(ticket(number))).collect();
        assert_eq!(ids, [0, 1, 2, 3]);
        assert_eq!(flight.take(2).unwrap().sequence, 2);
        assert!(flight.take(2).is_none());
        assert_eq!(flight.take(0).unwrap().sequence, 0);
        assert!(flight.take(0).is_none());
        assert_eq!(flight.add(ticket(4)), 4);
        assert_eq!(flight.take(1).unwrap().sequence, 1);
        assert!(flight.take(5).is_none());
        let rest: Vec<_> = flight.take_all().iter().map(|left| left.sequence).collect();
        assert_eq!(rest, [3, 4]);
        assert!(flight.take_all().is_empty());
        assert_eq!(flight.add(ticket(5)), 5);
    }
}
