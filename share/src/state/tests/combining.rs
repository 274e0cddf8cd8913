//! Putting states together, as Kafka's own class does it.

use proptest::prelude::*;

use super::*;
use crate::state::combine::combine;

fn read(text: &str) -> Vec<StateBatch> {
    let one = |text: &str| {
        let (offsets, state) = text.split_once(':').unwrap();
        let (first, last) = offsets.split_once('-').unwrap();
        let (state, count) = state.split_once('x').unwrap();
        batch(
            first.parse().unwrap(),
            last.parse().unwrap(),
            state.parse().unwrap(),
            count.parse().unwrap(),
        )
    };
    text.split_whitespace().map(one).collect()
}

/// Each offset with its state: Kafka doesn't always join batches that it could.
fn offsets(batches: &[StateBatch]) -> Vec<(i64, i8, i16)> {
    let of = |batch: &StateBatch| {
        let (state, count) = (batch.delivery_state, batch.delivery_count);
        (batch.first_offset..=batch.last_offset).map(move |offset| (offset, state, count))
    };
    batches.iter().flat_map(of).collect()
}

#[test]
fn states_are_combined_as_kafka_combines_them() {
    let mut cases = 0;
    for line in include_str!("combined.txt").lines().skip(1) {
        let parts: Vec<&str> = line.split('|').collect();
        let [start, known, changed, wanted] = parts[..] else {
            panic!("{line}");
        };
        let start = start.trim().parse().unwrap();
        let combined = combine(&read(known), &read(changed), start);
        assert_eq!(offsets(&combined), offsets(&read(wanted)), "{line}");
        cases += 1;
    }
    assert!(cases >= 100);
}

fn some_batches() -> impl Strategy<Value = Vec<StateBatch>> {
    let one = (0..30_i64, 0..8_i64, 0..3_i8, 1..4_i16);
    let one =
        one.prop_map(|(first, more, state, count)| batch(first, first + more, 2 * state, count));
    prop::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn every_offset_has_the_last_of_its_states(
        known in some_batches(),
        changed in some_batches(),
        start in -1..20_i64,
    ) {
        let combined = combine(&known, &changed, start);
        let mut wanted: BTreeMap<i64, (i16, i8)> = BTreeMap::new();
        for (offset, state, count) in offsets(&known).into_iter().chain(offsets(&changed)) {
            if offset >= start {
                let of = wanted.entry(offset).or_default();
                *of = (*of).max((count, state));
            }
        }
        let wanted: Vec<_> = wanted.into_iter().map(|(at, (count, state))| (at, state, count)).collect();
        prop_assert_eq!(offsets(&combined), wanted);
        for pair in combined.windows(2) {
            prop_assert!(pair[0].last_offset < pair[1].first_offset);
            let joined = pair[0].last_offset + 1 == pair[1].first_offset
                && pair[0].delivery_state == pair[1].delivery_state
                && pair[0].delivery_count == pair[1].delivery_count;
            prop_assert!(!joined, "two that could be one");
        }
    }
}
