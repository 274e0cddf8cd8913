//! The table of APIs this broker has: what it tells clients, and what it serves.
//!
//! One row an API. The ranges are Kafka 4.1's and stay so: clients choose features by exact
//! versions, at the low end too.

/// Versions of one API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRange {
    /// The key.
    pub key: i16,
    /// Kafka's name for it.
    pub name: &'static str,
    /// Least version that clients are told.
    pub min: i16,
    /// Least version that is served. Above `min` for Produce only: Kafka 4 tells clients 0, because
    /// older librdkafka takes its absence for a broker that cannot compress (KAFKA-18659).
    pub served_min: i16,
    /// Greatest version, told and served.
    pub max: i16,
    /// First version with variable-length numbers and tagged fields.
    pub flexible_from: i16,
}

/// A version that no API has: of one without variable-length numbers.
const NEVER: i16 = i16::MAX;

/// Key of Produce.
pub const PRODUCE: i16 = 0;
/// Key of Fetch.
pub const FETCH: i16 = 1;
/// Key of ShareFetch.
pub const SHARE_FETCH: i16 = 78;
/// Key of ApiVersions.
pub const API_VERSIONS: i16 = 18;

impl ApiRange {
    const fn new(key: i16, name: &'static str, min: i16, max: i16, flexible_from: i16) -> Self {
        Self {
            key,
            name,
            min,
            served_min: min,
            max,
            flexible_from,
        }
    }

    const fn served_from(mut self, version: i16) -> Self {
        self.served_min = version;
        self
    }

    /// Whether requests of this version are answered.
    pub fn serves(&self, version: i16) -> bool {
        (self.served_min..=self.max).contains(&version)
    }

    /// Whether this version has variable-length numbers and tagged fields.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    /// Version of the header in front of a request.
    pub fn request_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the header in front of a response. That of ApiVersions has never tagged fields:
    /// its reader does not know yet whether the other side has them.
    pub fn response_header_version(&self, version: i16) -> i16 {
        i16::from(self.is_flexible(version) && self.key != API_VERSIONS)
    }
}

/// What clients are told, in the order of the keys.
pub static ADVERTISED: &[ApiRange] = &[
    ApiRange::new(PRODUCE, "Produce", 0, 13, 9).served_from(3),
    ApiRange::new(FETCH, "Fetch", 4, 18, 12),
    ApiRange::new(2, "ListOffsets", 1, 10, 6),
    ApiRange::new(3, "Metadata", 0, 13, 9),
    ApiRange::new(8, "OffsetCommit", 2, 9, 8),
    ApiRange::new(9, "OffsetFetch", 1, 9, 6),
    ApiRange::new(10, "FindCoordinator", 0, 6, 3),
    ApiRange::new(11, "JoinGroup", 0, 9, 6),
    ApiRange::new(12, "Heartbeat", 0, 4, 4),
    ApiRange::new(13, "LeaveGroup", 0, 5, 4),
    ApiRange::new(14, "SyncGroup", 0, 5, 4),
    ApiRange::new(15, "DescribeGroups", 0, 6, 5),
    ApiRange::new(16, "ListGroups", 0, 5, 3),
    ApiRange::new(API_VERSIONS, "ApiVersions", 0, 4, 3),
    ApiRange::new(19, "CreateTopics", 2, 7, 5),
    ApiRange::new(20, "DeleteTopics", 1, 6, 4),
    ApiRange::new(21, "DeleteRecords", 0, 2, 2),
    ApiRange::new(22, "InitProducerId", 0, 5, 2),
    ApiRange::new(23, "OffsetForLeaderEpoch", 2, 4, 4),
    ApiRange::new(24, "AddPartitionsToTxn", 0, 5, 3),
    ApiRange::new(25, "AddOffsetsToTxn", 0, 4, 3),
    ApiRange::new(26, "EndTxn", 0, 5, 3),
    ApiRange::new(27, "WriteTxnMarkers", 1, 1, 1),
    ApiRange::new(28, "TxnOffsetCommit", 0, 5, 3),
    ApiRange::new(32, "DescribeConfigs", 1, 4, 4),
    ApiRange::new(33, "AlterConfigs", 0, 2, 2),
    ApiRange::new(35, "DescribeLogDirs", 1, 4, 2),
    ApiRange::new(37, "CreatePartitions", 0, 3, 2),
    ApiRange::new(42, "DeleteGroups", 0, 2, 2),
    ApiRange::new(43, "ElectLeaders", 0, 2, 2),
    ApiRange::new(44, "IncrementalAlterConfigs", 0, 1, 1),
    ApiRange::new(45, "AlterPartitionReassignments", 0, 1, 0),
    ApiRange::new(46, "ListPartitionReassignments", 0, 0, 0),
    ApiRange::new(47, "OffsetDelete", 0, 0, NEVER),
    ApiRange::new(55, "DescribeQuorum", 0, 2, 0),
    ApiRange::new(60, "DescribeCluster", 0, 2, 0),
    ApiRange::new(61, "DescribeProducers", 0, 0, 0),
    ApiRange::new(64, "UnregisterBroker", 0, 0, 0),
    ApiRange::new(65, "DescribeTransactions", 0, 0, 0),
    ApiRange::new(66, "ListTransactions", 0, 2, 0),
    ApiRange::new(68, "ConsumerGroupHeartbeat", 0, 1, 0),
    ApiRange::new(69, "ConsumerGroupDescribe", 0, 1, 0),
    ApiRange::new(74, "ListConfigResources", 0, 1, 0),
    ApiRange::new(75, "DescribeTopicPartitions", 0, 0, 0),
    ApiRange::new(76, "ShareGroupHeartbeat", 1, 1, 0),
    ApiRange::new(77, "ShareGroupDescribe", 1, 1, 0),
    ApiRange::new(SHARE_FETCH, "ShareFetch", 1, 1, 0),
    ApiRange::new(79, "ShareAcknowledge", 1, 1, 0),
    ApiRange::new(80, "AddRaftVoter", 0, 0, 0),
    ApiRange::new(81, "RemoveRaftVoter", 0, 0, 0),
    ApiRange::new(83, "InitializeShareGroupState", 0, 0, 0),
    ApiRange::new(84, "ReadShareGroupState", 0, 0, 0),
    ApiRange::new(85, "WriteShareGroupState", 0, 0, 0),
    ApiRange::new(86, "DeleteShareGroupState", 0, 0, 0),
    ApiRange::new(87, "ReadShareGroupStateSummary", 0, 0, 0),
    ApiRange::new(90, "DescribeShareGroupOffsets", 0, 0, 0),
    ApiRange::new(91, "AlterShareGroupOffsets", 0, 0, 0),
    ApiRange::new(92, "DeleteShareGroupOffsets", 0, 0, 0),
];

/// The row of an API, if this broker has it.
pub fn lookup(key: i16) -> Option<&'static ApiRange> {
    let at = ADVERTISED.binary_search_by_key(&key, |api| api.key).ok()?;
    ADVERTISED.get(at)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn the_table_is_that_of_kafka() {
        assert!(ADVERTISED.is_sorted_by_key(|api| api.key));
        for api in ADVERTISED {
            let theirs = ApiKey::try_from(api.key).unwrap();
            assert_eq!(format!("{theirs:?}"), api.name);
            let range = theirs.valid_versions();
            let max = match api.name {
                // Version 6 belongs to two-phase commit, which Kafka 4.1 keeps back.
                "InitProducerId" => 5,
                // Version 10 has topics by their ids, which Kafka 4.1 keeps back, too.
                "OffsetCommit" | "OffsetFetch" => 9,
                _ => range.max,
            };
            assert_eq!((api.served_min, api.max), (range.min, max), "{}", api.name);
            assert!(api.min <= api.served_min);
            for version in api.min..=api.max {
                let header = theirs.request_header_version(version);
                assert_eq!(
                    api.request_header_version(version),
                    header,
                    "{} {version}",
                    api.name
                );
                let header = theirs.response_header_version(version);
                assert_eq!(
                    api.response_header_version(version),
                    header,
                    "{} {version}",
                    api.name
                );
            }
        }
    }

    #[test]
    fn produce_is_told_from_zero_and_served_from_three() {
        let produce = lookup(PRODUCE).unwrap();
        assert_eq!((produce.min, produce.served_min), (0, 3));
        assert!(
            !produce.serves(2) && produce.serves(3) && produce.serves(13) && !produce.serves(14)
        );
        let raised: Vec<_> = ADVERTISED
            .iter()
            .filter(|api| api.min != api.served_min)
            .collect();
        assert_eq!(raised, [produce]);
    }

    #[test]
    fn unknown_keys_have_no_row() {
        for key in [-1, 4, 7, 17, 82, i16::MAX] {
            assert_eq!(lookup(key), None);
        }
        assert!(ADVERTISED.iter().all(|api| lookup(api.key) == Some(api)));
    }
}
