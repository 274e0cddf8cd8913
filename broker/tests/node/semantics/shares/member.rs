//! A member of a share group that says every request itself.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::share_acknowledge_request as acknowledge;
use kafka_protocol::messages::share_fetch_request as fetch;
use kafka_protocol::messages::share_fetch_response::PartitionData;
use kafka_protocol::messages::*;
use uuid::Uuid;

use super::super::node::unique;
use super::super::records::{PLENTY, Topic, spans};
use super::super::share_state::{find_request, initialize_request, share_key};
use super::super::wire::{Connection, text};

/// Nothing is there.
pub const GAP: i8 = 0;
/// It is done.
pub const ACCEPT: i8 = 1;
/// Somebody else may have it.
pub const RELEASE: i8 = 2;
/// Nobody is to have it.
pub const REJECT: i8 = 3;

/// First and last offset, and one type for all or for each.
pub type Said<'a> = (i64, i64, &'a [i8]);
/// What was acquired: first and last offset, and how often it was delivered.
pub type Range = (i64, i64, i16);

/// LOAD_IN_PROGRESS, NOT_AVAILABLE, NOT_COORDINATOR: ask again.
fn is_passing(error: i16) -> bool {
    (14..=16).contains(&error)
}

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A group that nobody has, which shares these partitions of a topic from their start.
pub fn group_of(connection: &mut Connection, topic: &Topic, partitions: i32) -> String {
    let group = unique("shares");
    for index in 0..partitions {
        let key = share_key(&group, topic.id, index);
        let find = find_request(&key.to_string());
        loop {
            let found = connection.call(6, &find).coordinators.remove(0);
            if found.error_code == 0 {
                break;
            }
            assert!(is_passing(found.error_code), "{found:?}");
            pause();
        }
        let request = initialize_request(&key, 1, 0);
        loop {
            let mut answer = connection.call(0, &request);
            let row = answer.results.remove(0).partitions.remove(0);
            if row.error_code == 0 {
                break;
            }
            assert!(is_passing(row.error_code), "{row:?}");
            pause();
        }
    }
    group
}

/// A ShareFetch request for these partitions of a topic.
pub fn fetch_request(
    (group, member): (&str, &str),
    epoch: i32,
    topic: &Topic,
    partitions: Vec<fetch::FetchPartition>,
) -> ShareFetchRequest {
    let topic = fetch::FetchTopic::default()
        .with_topic_id(topic.id)
        .with_partitions(partitions);
    ShareFetchRequest::default()
        .with_group_id(Some(GroupId(text(group))))
        .with_member_id(Some(text(member)))
        .with_share_session_epoch(epoch)
        .with_max_bytes(PLENTY)
        .with_max_records(500)
        .with_batch_size(500)
        .with_topics(vec![topic])
}

/// What a ShareFetch request says of a partition where there is nothing to acknowledge.
pub fn fetch_partition(index: i32) -> fetch::FetchPartition {
    fetch::FetchPartition::default().with_partition_index(index)
}

/// A ShareAcknowledge request for one partition.
pub fn acknowledge_request(
    (group, member): (&str, &str),
    epoch: i32,
    (topic, index): (&Topic, i32),
    said: &[Said<'_>],
) -> ShareAcknowledgeRequest {
    let batch = |&(first, last, types): &Said<'_>| {
        acknowledge::AcknowledgementBatch::default()
            .with_first_offset(first)
            .with_last_offset(last)
            .with_acknowledge_types(types.to_vec())
    };
    let partition = acknowledge::AcknowledgePartition::default()
        .with_partition_index(index)
        .with_acknowledgement_batches(said.iter().map(batch).collect());
    let topic = acknowledge::AcknowledgeTopic::default()
        .with_topic_id(topic.id)
        .with_partitions(vec![partition]);
    ShareAcknowledgeRequest::default()
        .with_group_id(Some(GroupId(text(group))))
        .with_member_id(Some(text(member)))
        .with_share_session_epoch(epoch)
        .with_topics(vec![topic])
}

/// A member with its connection and its session.
pub struct Member {
    connection: Connection,
    pub group: String,
    id: String,
    pub topic: Topic,
    /// The partition that it is about.
    pub index: i32,
    /// The epoch of the next request.
    pub epoch: i32,
    pub min_bytes: i32,
    pub max_records: i32,
    pub batch_size: i32,
    /// What goes with the next fetch.
    said: Vec<(i64, i64, Vec<i8>)>,
    /// What the last fetch said of acknowledgements.
    pub acknowledged: Option<i16>,
    /// The batches that the last fetch brought.
    pub sent: Vec<(i64, i64)>,
    pub lock_timeout_ms: i32,
}

impl Member {
    /// One without a session.
    pub fn new(connection: Connection, group: &str, topic: &Topic) -> Self {
        // As Kafka's consumers make theirs: 16 bytes in base64.
        let id = share_key("", Uuid::new_v4(), 0).to_string();
        Self {
            connection,
            group: group.to_owned(),
            id: id.split(':').nth(1).expect("an id").to_owned(),
            topic: topic.clone(),
            index: 0,
            epoch: 0,
            min_bytes: 1,
            max_records: 500,
            batch_size: 500,
            said: Vec::new(),
            acknowledged: None,
            sent: Vec::new(),
            lock_timeout_ms: 0,
        }
    }

    /// One with a session that has the partition, and no records.
    pub fn begin(connection: Connection, group: &str, topic: &Topic) -> Self {
        let mut member = Self::new(connection, group, topic);
        member.max_records = 0;
        assert_eq!(member.fetch(0), []);
        member.max_records = 500;
        member
    }

    /// Says this with the next fetch.
    pub fn say(&mut self, said: &[Said<'_>]) {
        let own = |&(first, last, types): &Said<'_>| (first, last, types.to_vec());
        self.said = said.iter().map(own).collect();
    }

    /// Sends a fetch of the partition.
    pub fn send_fetch(&mut self, max_wait_ms: i32) -> i32 {
        let batches = std::mem::take(&mut self.said).into_iter();
        let batches = batches.map(|(first, last, types)| {
            fetch::AcknowledgementBatch::default()
                .with_first_offset(first)
                .with_last_offset(last)
                .with_acknowledge_types(types)
        });
        let partition = fetch::FetchPartition::default()
            .with_partition_index(self.index)
            .with_acknowledgement_batches(batches.collect());
        self.send_for(max_wait_ms, vec![partition])
    }

    fn send_for(&mut self, max_wait_ms: i32, partitions: Vec<fetch::FetchPartition>) -> i32 {
        let who = (self.group.as_str(), self.id.as_str());
        let request = fetch_request(who, self.epoch, &self.topic, partitions)
            .with_max_wait_ms(max_wait_ms)
            .with_min_bytes(self.min_bytes)
            .with_max_records(self.max_records)
            .with_batch_size(self.batch_size);
        self.connection.send(1, &request)
    }

    fn receive(&mut self, id: i32) -> Result<Vec<PartitionData>, i16> {
        let mut answer = self.connection.receive::<ShareFetchRequest>(1, id);
        if answer.error_code != 0 {
            return Err(answer.error_code);
        }
        self.next_epoch();
        self.lock_timeout_ms = answer.acquisition_lock_timeout_ms;
        let rows = match answer.responses.pop() {
            Some(topic) => topic.partitions,
            None => Vec::new(),
        };
        assert!(answer.responses.is_empty());
        Ok(rows)
    }

    fn next_epoch(&mut self) {
        self.epoch = if self.epoch < 0 { 0 } else { self.epoch + 1 };
    }

    /// What an earlier fetch acquired.
    pub fn receive_fetch(&mut self, id: i32) -> Vec<Range> {
        let mut rows = self.receive(id).expect("no error");
        assert!(rows.len() <= 1);
        self.acknowledged = None;
        self.sent.clear();
        let Some(row) = rows.pop() else {
            return Vec::new();
        };
        assert_eq!(row.error_code, 0);
        self.acknowledged = Some(row.acknowledge_error_code);
        self.sent = spans(&row.records.clone().unwrap_or_default());
        ranges(&row)
    }

    /// Fetches the partition; what was acquired.
    pub fn fetch(&mut self, max_wait_ms: i32) -> Vec<Range> {
        let said = !self.said.is_empty();
        let id = self.send_fetch(max_wait_ms);
        let given = self.receive_fetch(id);
        if !said {
            assert!(self.acknowledged.is_none_or(|code| code == 0));
            self.acknowledged = None;
        }
        given
    }

    /// Fetches so many partitions from the first; what was acquired of each.
    pub fn fetch_all(&mut self, partitions: i32) -> BTreeMap<i32, Vec<Range>> {
        let id = self.send_for(0, (0..partitions).map(fetch_partition).collect());
        let rows = self.receive(id).expect("no error");
        let given = rows.iter().map(|row| {
            assert_eq!(row.error_code, 0);
            (row.partition_index, ranges(row))
        });
        given.filter(|(_, ranges)| !ranges.is_empty()).collect()
    }

    /// Fetches the partition; the error of the whole answer.
    pub fn try_fetch(&mut self, max_wait_ms: i32) -> i16 {
        let id = self.send_fetch(max_wait_ms);
        self.receive(id).err().unwrap_or(0)
    }

    /// Fetches the partition; its error, or that of the whole answer.
    pub fn try_rows(&mut self, max_wait_ms: i32) -> Result<i16, i16> {
        let id = self.send_fetch(max_wait_ms);
        let rows = self.receive(id)?;
        Ok(rows.first().map_or(0, |row| row.error_code))
    }

    /// Acknowledges; the error of the whole answer.
    pub fn try_acknowledge(&mut self, said: &[Said<'_>]) -> i16 {
        let answer = self.send_acknowledge(said);
        answer.error_code
    }

    /// Acknowledges; the error for the partition.
    pub fn acknowledge(&mut self, said: &[Said<'_>]) -> i16 {
        let mut answer = self.send_acknowledge(said);
        assert_eq!(answer.error_code, 0);
        let row = answer.responses.remove(0).partitions.remove(0);
        assert_eq!(row.partition_index, self.index);
        row.error_code
    }

    fn send_acknowledge(&mut self, said: &[Said<'_>]) -> ShareAcknowledgeResponse {
        let who = (self.group.as_str(), self.id.as_str());
        let request = acknowledge_request(who, self.epoch, (&self.topic, self.index), said);
        let answer = self.connection.call(1, &request);
        if answer.error_code == 0 {
            self.next_epoch();
        }
        answer
    }
}

fn ranges(row: &PartitionData) -> Vec<Range> {
    let one = |range: &share_fetch_response::AcquiredRecords| {
        (range.first_offset, range.last_offset, range.delivery_count)
    };
    row.acquired_records.iter().map(one).collect()
}
