//! Gathers records into one batch a partition and sends the batches together. Memory is bounded
//! by the size of a batch times the partitions that have one, and all are sent when
//! [`REQUEST_BYTES`] have gathered.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use batch::{Builder, Compression, NewRecord};
use net::client::{
    Acks, Client, PartitionBatch, ProduceOptions, Produced, ProducerIdentity, TopicPartition,
};

use super::failure::Failure;
use super::key_hash;

/// The most bytes that gather before a request is sent.
const REQUEST_BYTES: usize = 1 << 20;

/// Where and how records are sent.
pub(crate) struct SendOptions {
    pub(crate) topic: String,
    /// The one partition everything goes to, where there is one.
    pub(crate) partition: Option<i32>,
    pub(crate) partitions: i32,
    pub(crate) acks: Acks,
    pub(crate) compression: Compression,
    /// The size, uncompressed, at which a batch is full.
    pub(crate) batch_bytes: usize,
    pub(crate) idempotent: bool,
}

/// One partition's batch in the making.
struct Gathering {
    builder: Builder,
    lines: RangeInclusive<u64>,
}

/// Sends records to a topic.
pub(crate) struct Sender {
    client: Client,
    options: SendOptions,
    identity: Option<ProducerIdentity>,
    sequences: BTreeMap<i32, i32>,
    gathering: BTreeMap<i32, Gathering>,
    bytes: usize,
    /// The partition that records without a key go to for now.
    sticky: i32,
}

impl Sender {
    /// Begins with nothing gathered; asks for a producer's identity where records are to be
    /// stored once.
    pub(crate) fn new(mut client: Client, options: SendOptions) -> Result<Self, Failure> {
        let identity = if options.idempotent {
            Some(client.init_producer()?)
        } else {
            None
        };
        Ok(Self {
            client,
            options,
            identity,
            sequences: BTreeMap::new(),
            gathering: BTreeMap::new(),
            bytes: 0,
            sticky: 0,
        })
    }

    /// Whether anything waits to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathering.is_empty()
    }

    /// Adds the record of line `line`, sending what has gathered when there is enough of it.
    pub(crate) fn add(&mut self, record: NewRecord<'_>, line: u64) -> Result<(), Failure> {
        let partition = self.partition_of(record.key);
        let size = estimate(&record);
        let full = |gathering: &Gathering| {
            gathering.builder.uncompressed_size() + size > self.options.batch_bytes
        };
        if self.bytes + size > REQUEST_BYTES || self.gathering.get(&partition).is_some_and(full) {
            self.flush()?;
        }
        if !self.gathering.contains_key(&partition) {
            let gathering = Gathering {
                builder: self.begin(partition),
                lines: line..=line,
            };
            self.gathering.insert(partition, gathering);
        }
        if let Some(gathering) = self.gathering.get_mut(&partition) {
            gathering.builder.push(record);
            gathering.lines = *gathering.lines.start()..=line;
            if record.key.is_none()
                && gathering.builder.uncompressed_size() + size > self.options.batch_bytes
            {
                // The next ones go elsewhere, so that one request fills every partition's batch.
                self.sticky = (self.sticky + 1) % self.options.partitions.max(1);
            }
        }
        self.bytes += size;
        Ok(())
    }

    fn partition_of(&self, key: Option<&[u8]>) -> i32 {
        match (self.options.partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => key_hash::partition(key, self.options.partitions),
            (None, None) => self.sticky,
        }
    }

    fn begin(&self, partition: i32) -> Builder {
        let builder = Builder::new(self.options.compression);
        match self.identity {
            None => builder,
            Some(ProducerIdentity { id, epoch }) => {
                let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
                builder.producer(id, epoch, sequence)
            }
        }
    }

    /// Sends what has gathered and waits for the answer.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.gathering.is_empty() {
            return Ok(());
        }
        let mut lines = BTreeMap::new();
        let mut batches = Vec::with_capacity(self.gathering.len());
        for (partition, gathering) in std::mem::take(&mut self.gathering) {
            let count = gathering.builder.count();
            let batch = gathering.builder.build().map_err(Failure::failed)?;
            let sequence = self.sequences.entry(partition).or_insert(0);
            *sequence = next_sequence(*sequence, count);
            lines.insert(partition, gathering.lines);
            batches.push(PartitionBatch {
                at: TopicPartition::new(&self.options.topic, partition),
                batch,
            });
        }
        self.bytes = 0;
        let options = ProduceOptions {
            acks: self.options.acks,
            timeout: self.client.config().request_timeout,
            idempotent: self.identity.is_some(),
        };
        let produced = self.client.produce(&options, batches)?;
        let refused: Vec<String> = produced
            .iter()
            .filter_map(|one| refusal(one, &lines))
            .collect();
        if refused.is_empty() {
            Ok(())
        } else {
            Err(Failure::failed(refused.join("; ")))
        }
    }
}

fn refusal(produced: &Produced, lines: &BTreeMap<i32, RangeInclusive<u64>>) -> Option<String> {
    let refused = produced.result.as_ref().err()?;
    let lines = lines.get(&produced.at.partition)?;
    // Lines of other partitions may lie between the two.
    let (first, last, at) = (lines.start(), lines.end(), &produced.at);
    let why = &refused.refusal;
    let culprit = match refused.records.as_slice() {
        [] => String::new(),
        [(place, _)] => format!("; record {place} of the batch"),
        [(place, _), rest @ ..] => format!("; record {place} of the batch and {} more", rest.len()),
    };
    Some(format!("lines {first} to {last} for {at}: {why}{culprit}"))
}

/// Bytes a record may take, with the largest its lengths and deltas can be.
fn estimate(record: &NewRecord<'_>) -> usize {
    const LENGTHS: usize = 5;
    const FIXED: usize = 30;
    let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers = record
        .headers
        .iter()
        .map(|header| header.key.len() + bytes(header.value) + 2 * LENGTHS);
    bytes(record.key) + bytes(record.value) + FIXED + headers.sum::<usize>()
}

/// Sequences are 31 bits wide and begin again at 0.
fn next_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_round() {
        assert_eq!(next_sequence(0, 5), 5);
        assert_eq!(next_sequence(i32::MAX, 1), 0);
        assert_eq!(next_sequence(i32::MAX - 1, 5), 3);
    }

    #[test]
    fn the_estimate_is_never_below_the_size() {
        let headers = [batch::Header {
            key: "k",
            value: Some(&[7; 300]),
        }];
        for (key, value) in [
            (None, Some(&[1_u8; 0][..])),
            (Some(&[1_u8; 70][..]), Some(&[2_u8; 20_000][..])),
        ] {
            let record = NewRecord {
                timestamp: 1_700_000_000_000,
                key,
                value,
                headers: &headers,
            };
            let mut builder = Builder::new(Compression::None);
            let before = builder.uncompressed_size();
            builder.push(record);
            assert!(builder.uncompressed_size() - before <= estimate(&record));
        }
    }
}
