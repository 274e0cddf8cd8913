//! Checking what was read.

use serde::{Deserialize, Serialize};

use super::ranges::Added;
use super::{LEAST_BYTES, Numbers, Ranges, Stream, TIMED_BYTES, TIMED_HEADER, make::key_of};

/// Most examples kept.
const EXAMPLES: usize = 8;

/// What is wrong with a record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It was read before.
    Duplicated,
    /// One sent later was read before it.
    Reordered,
    /// Its bytes are not those sent.
    Corrupted,
    /// It is of another run, or of nobody we know.
    Foreign,
}

/// What was made of a record.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When it was due; none where it is too small to say, or not to be trusted.
    pub due_ns: Option<u64>,
    /// What is wrong, if anything.
    pub fault: Option<Fault>,
}

/// How many of each fault, and examples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Read more than once.
    pub duplicated: u64,
    /// Read after one that was sent later.
    pub reordered: u64,
    /// With other bytes.
    pub corrupted: u64,
    /// Of these, how many could not be said to be a certain record: they may be any of those missing.
    pub unplaced: u64,
    /// Of other runs.
    pub foreign: u64,
    /// A few, in words.
    pub examples: Vec<String>,
}

impl Tally {
    /// Keeps an example, if there is room.
    pub fn example(&mut self, words: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(words());
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: Self) {
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.unplaced += other.unplaced;
        self.foreign += other.foreign;
        for example in other.examples {
            self.example(|| example);
        }
    }
}

/// Which records of one producer were read from one partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StreamSeen {
    /// Number of the producer.
    pub producer: u16,
    /// Number of the topic.
    pub topic: usize,
    /// Number of the partition.
    pub partition: usize,
    /// Sequences.
    pub seen: Ranges,
}

#[derive(Debug)]
struct Watched {
    stream: Stream,
    seen: Ranges,
}

/// Checks the records one consumer reads. Memory is bounded: a few ranges for each producer and partition.
#[derive(Debug)]
pub struct Checker {
    tag: u32,
    seed: u64,
    keys: u64,
    producers: u16,
    /// By topic and partition, then by producer: looked up for every record, so by index where possible.
    places: Vec<Vec<Option<Box<Watched>>>>,
    partitions: usize,
    topics: usize,
    tally: Tally,
    read: u64,
}

impl Checker {
    /// For records with this tag and seed, of `producers` producers, to `topics` times `partitions` partitions.
    pub fn new(
        tag: u32,
        seed: u64,
        keys: u64,
        producers: u16,
        topics: usize,
        partitions: usize,
    ) -> Self {
        let mut places = Vec::new();
        places.resize_with(topics * partitions, Vec::new);
        Self {
            tag,
            seed,
            keys,
            producers,
            places,
            partitions,
            topics,
            tally: Tally::default(),
            read: 0,
        }
    }

    /// How many different records of ours were read, whole or not.
    pub fn distinct(&self) -> u64 {
        self.read
    }

    /// Looks at one record.
    #[inline]
    pub fn check(
        &mut self,
        topic: usize,
        partition: usize,
        key: Option<&[u8]>,
        value: &[u8],
    ) -> Seen {
        let Some(header) = Header::read(value, self.tag) else {
            return self.foreign(topic, partition, value.len());
        };
        if topic >= self.topics || partition >= self.partitions {
            return self.foreign(topic, partition, value.len());
        }
        if header.producer >= self.producers {
            return self.corrupted(topic, partition, header, false, value.len());
        }
        let key_number = match key {
            None => 0,
            Some(key) => key_of(key, self.keys).map_or(u64::MAX, |key| key + 1),
        };
        let seed = self.seed;
        let place = &mut self.places[topic * self.partitions + partition];
        let producer = usize::from(header.producer);
        if place.len() <= producer {
            place.resize_with(producer + 1, || None);
        }
        let watched = place[producer].get_or_insert_with(|| {
            Box::new(Watched {
                stream: Stream::new(seed, header.producer, topic, partition),
                seen: Ranges::new(),
            })
        });
        let numbers =
            watched
                .stream
                .filler(header.sequence, header.due_ns, key_number, value.len());
        let whole = compare(&value[header.len..], numbers);
        let key_missing = self.keys > 0 && key.is_none();
        if whole != Filler::Same || key_missing {
            // Some words right prove that the header is: then it is known which record is damaged.
            let placed = whole != Filler::Different;
            return self.corrupted(topic, partition, header, placed, value.len());
        }
        let fault = match watched.seen.add(header.sequence) {
            Added::Ahead(_) => None,
            Added::Late => Some(Fault::Reordered),
            Added::Again => Some(Fault::Duplicated),
        };
        if fault != Some(Fault::Duplicated) {
            self.read += 1;
        }
        if let Some(fault) = fault {
            self.disordered(topic, partition, header, fault);
        }
        Seen {
            due_ns: (value.len() >= TIMED_BYTES).then_some(header.due_ns),
            fault,
        }
    }

    #[cold]
    fn disordered(&mut self, topic: usize, partition: usize, header: Header, fault: Fault) {
        let which = header.words(topic, partition);
        if fault == Fault::Duplicated {
            self.tally.duplicated += 1;
            self.tally.example(|| format!("{which} was read again"));
        } else {
            self.tally.reordered += 1;
            self.tally
                .example(|| format!("{which} was read after a later one"));
        }
    }

    #[cold]
    fn corrupted(
        &mut self,
        topic: usize,
        partition: usize,
        header: Header,
        placed: bool,
        len: usize,
    ) -> Seen {
        self.tally.corrupted += 1;
        let which = header.words(topic, partition);
        if placed {
            let place = &mut self.places[topic * self.partitions + partition];
            if let Some(Some(watched)) = place.get_mut(usize::from(header.producer))
                && watched.seen.add(header.sequence) != Added::Again
            {
                self.read += 1;
            }
            self.tally.example(|| {
                format!("{which} was read with other bytes than were sent ({len} bytes)")
            });
        } else {
            self.tally.unplaced += 1;
            self.read += 1;
            self.tally.example(|| {
                format!("what calls itself {which} was read with other bytes than were sent ({len} bytes)")
            });
        }
        Seen {
            due_ns: None,
            fault: Some(Fault::Corrupted),
        }
    }

    #[cold]
    fn foreign(&mut self, topic: usize, partition: usize, len: usize) -> Seen {
        self.tally.foreign += 1;
        self.tally.example(|| {
            format!("a record of {len} bytes in partition {partition} of topic {topic} is not of this run")
        });
        Seen {
            due_ns: None,
            fault: Some(Fault::Foreign),
        }
    }

    /// What was found, and which records were read.
    pub fn finish(self) -> (Tally, Vec<StreamSeen>) {
        let mut streams = Vec::new();
        for (place, producers) in self.places.into_iter().enumerate() {
            for (producer, watched) in producers.into_iter().enumerate() {
                if let Some(watched) = watched {
                    streams.push(StreamSeen {
                        producer: producer as u16,
                        topic: place / self.partitions,
                        partition: place % self.partitions,
                        seen: watched.seen,
                    });
                }
            }
        }
        (self.tally, streams)
    }
}

#[derive(Debug, Clone, Copy)]
struct Header {
    producer: u16,
    sequence: u32,
    due_ns: u64,
    len: usize,
}

impl Header {
    #[inline]
    fn read(value: &[u8], tag: u32) -> Option<Self> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(*value.get(at..)?.first_chunk()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(*value.get(at..)?.first_chunk()?));
        if value.len() < TIMED_BYTES {
            return (u16_at(0)? == tag as u16).then_some(Self {
                producer: u16_at(2)?,
                sequence: u32_at(4)?,
                due_ns: 0,
                len: LEAST_BYTES,
            });
        }
        if u32_at(0)? != tag {
            return None;
        }
        Some(Self {
            producer: u16_at(16)?,
            sequence: u32_at(4)?,
            due_ns: u64::from_le_bytes(*value.get(8..)?.first_chunk()?),
            len: TIMED_HEADER,
        })
    }

    fn words(self, topic: usize, partition: usize) -> String {
        format!(
            "record {} of producer {} to partition {partition} of topic {topic}",
            self.sequence, self.producer
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filler {
    Same,
    Partly,
    Different,
}

#[inline]
fn compare(bytes: &[u8], mut numbers: Numbers) -> Filler {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut wrong = 0;
    for word in words {
        wrong += usize::from(u64::from_le_bytes(*word) != numbers.draw());
    }
    let mut parts = words.len();
    if !rest.is_empty() {
        parts += 1;
        wrong += usize::from(*rest != numbers.draw().to_le_bytes()[..rest.len()]);
    }
    // A right remainder of a byte or two may be chance.
    if wrong == 0 {
        Filler::Same
    } else if wrong < parts && words.len() > 1 {
        Filler::Partly
    } else {
        Filler::Different
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::{Maker, Stream};
    use super::{Checker, Fault};

    const TAG: u32 = 0x1234_5678;

    fn value(producer: u16, sequence: u32, key: Option<u64>, len: usize) -> Vec<u8> {
        let mut maker = Maker::new(TAG, producer, len);
        let stream = Stream::new(7, producer, 0, 1);
        maker.make(&stream, sequence, 1_000 + u64::from(sequence), key, len);
        maker.value().to_vec()
    }

    fn checker(keys: u64) -> Checker {
        Checker::new(TAG, 7, keys, 3, 1, 2)
    }

    proptest! {
        /// Whatever order records come in, and however often: counted as a set and its greatest would.
        #[test]
        fn counts_as_a_plain_set_would(come in prop::collection::vec((0u16..3, 0u32..40), 0..200), len in 8usize..64) {
            let mut checker = checker(0);
            let mut seen = BTreeSet::new();
            let (mut again, mut late) = (0, 0);
            for (producer, sequence) in come {
                let later = (producer, sequence + 1)..(producer, u32::MAX);
                if seen.contains(&(producer, sequence)) {
                    again += 1;
                } else if seen.range(later).next().is_some() {
                    late += 1;
                }
                seen.insert((producer, sequence));
                checker.check(0, 1, None, &value(producer, sequence, None, len));
            }
            prop_assert_eq!(checker.distinct(), seen.len() as u64);
            let (tally, streams) = checker.finish();
            prop_assert_eq!((tally.duplicated, tally.reordered), (again, late));
            prop_assert_eq!((tally.corrupted, tally.foreign), (0, 0));
            let read: BTreeSet<(u16, u32)> = streams
                .iter()
                .flat_map(|stream| {
                    let ranges = stream.seen.iter().flat_map(|(from, to)| from..to);
                    ranges.map(|sequence| (stream.producer, sequence))
                })
                .collect();
            prop_assert_eq!(read, seen);
        }

        /// No bit can change, and no byte be lost, without being noticed.
        #[test]
        fn damage_is_noticed(len in 32usize..300, at in 0usize..300, bit in 0u8..8, cut in any::<bool>()) {
            let mut bytes = value(1, 5, Some(3), len);
            if cut {
                bytes.truncate(at % len);
            } else {
                bytes[at % len] ^= 1 << bit;
            }
            let seen = checker(10).check(0, 1, Some(&3u64.to_be_bytes()), &bytes);
            prop_assert!(matches!(seen.fault, Some(Fault::Corrupted | Fault::Foreign)), "{seen:?}");
        }
    }

    #[test]
    fn records_in_the_wrong_place_or_with_the_wrong_key_are_noticed() {
        let bytes = value(1, 5, Some(3), 100);
        let key = 3u64.to_be_bytes();
        let fault =
            |partition, key: Option<&[u8]>| checker(10).check(0, partition, key, &bytes).fault;
        assert_eq!(fault(1, Some(&key)), None);
        assert_eq!(fault(0, Some(&key)), Some(Fault::Corrupted));
        assert_eq!(fault(1, Some(&4u64.to_be_bytes())), Some(Fault::Corrupted));
        assert_eq!(fault(1, None), Some(Fault::Corrupted));
        assert_eq!(fault(7, Some(&key)), Some(Fault::Foreign));
    }

    /// A damaged record that still says which it is, is not lost as well.
    #[test]
    fn damage_in_the_filler_is_of_a_known_record() {
        let mut checker = checker(0);
        let mut bytes = value(1, 0, None, 100);
        bytes[60] ^= 1;
        checker.check(0, 1, None, &bytes);
        let (tally, streams) = checker.finish();
        assert_eq!((tally.corrupted, tally.unplaced), (1, 0));
        assert!(streams[0].seen.contains(0));
    }
}
