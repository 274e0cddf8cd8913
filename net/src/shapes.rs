// Written by scripts/gen-shapes from Kafka's message definitions; don't edit.

//! The layout of every request that is decoded by generated code.

use crate::shape::Field;
use crate::shape::Kind::{self, *};
use crate::take::Width;

/// The layout of the request with this key.
pub(crate) fn of(key: i16) -> Option<&'static Kind> {
    let shape = match key {
        1 => &FETCH,
        2 => &LIST_OFFSETS,
        3 => &METADATA,
        8 => &OFFSET_COMMIT,
        9 => &OFFSET_FETCH,
        10 => &FIND_COORDINATOR,
        11 => &JOIN_GROUP,
        12 => &HEARTBEAT,
        13 => &LEAVE_GROUP,
        14 => &SYNC_GROUP,
        15 => &DESCRIBE_GROUPS,
        16 => &LIST_GROUPS,
        18 => &API_VERSIONS,
        19 => &CREATE_TOPICS,
        20 => &DELETE_TOPICS,
        21 => &DELETE_RECORDS,
        22 => &INIT_PRODUCER_ID,
        23 => &OFFSET_FOR_LEADER_EPOCH,
        24 => &ADD_PARTITIONS_TO_TXN,
        25 => &ADD_OFFSETS_TO_TXN,
        26 => &END_TXN,
        27 => &WRITE_TXN_MARKERS,
        28 => &TXN_OFFSET_COMMIT,
        32 => &DESCRIBE_CONFIGS,
        33 => &ALTER_CONFIGS,
        35 => &DESCRIBE_LOG_DIRS,
        37 => &CREATE_PARTITIONS,
        42 => &DELETE_GROUPS,
        43 => &ELECT_LEADERS,
        44 => &INCREMENTAL_ALTER_CONFIGS,
        45 => &ALTER_PARTITION_REASSIGNMENTS,
        46 => &LIST_PARTITION_REASSIGNMENTS,
        47 => &OFFSET_DELETE,
        55 => &DESCRIBE_QUORUM,
        60 => &DESCRIBE_CLUSTER,
        61 => &DESCRIBE_PRODUCERS,
        64 => &UNREGISTER_BROKER,
        65 => &DESCRIBE_TRANSACTIONS,
        66 => &LIST_TRANSACTIONS,
        68 => &CONSUMER_GROUP_HEARTBEAT,
        69 => &CONSUMER_GROUP_DESCRIBE,
        74 => &LIST_CONFIG_RESOURCES,
        75 => &DESCRIBE_TOPIC_PARTITIONS,
        76 => &SHARE_GROUP_HEARTBEAT,
        77 => &SHARE_GROUP_DESCRIBE,
        78 => &SHARE_FETCH,
        79 => &SHARE_ACKNOWLEDGE,
        80 => &ADD_RAFT_VOTER,
        81 => &REMOVE_RAFT_VOTER,
        83 => &INITIALIZE_SHARE_GROUP_STATE,
        84 => &READ_SHARE_GROUP_STATE,
        85 => &WRITE_SHARE_GROUP_STATE,
        86 => &DELETE_SHARE_GROUP_STATE,
        87 => &READ_SHARE_GROUP_STATE_SUMMARY,
        90 => &DESCRIBE_SHARE_GROUP_OFFSETS,
        91 => &ALTER_SHARE_GROUP_OFFSETS,
        92 => &DELETE_SHARE_GROUP_OFFSETS,
        _ => return None,
    };
    Some(shape)
}

static FETCH: Kind = Struct(&[
    // ReplicaId
    Field::new(Fixed(4)).until(14),
    // MaxWaitMs
    Field::new(Fixed(4)),
    // MinBytes
    Field::new(Fixed(4)),
    // MaxBytes
    Field::new(Fixed(4)).since(3),
    // IsolationLevel
    Field::new(Fixed(1)).since(4),
    // SessionId
    Field::new(Fixed(4)).since(7),
    // SessionEpoch
    Field::new(Fixed(4)).since(7),
    // Topics
    Field::new(List(&Struct(&[
        // Topic
        Field::new(Held(Width::Two)).until(12),
        // TopicId
        Field::new(Fixed(16)).since(13),
        // Partitions
        Field::new(List(&Struct(&[
            // Partition
            Field::new(Fixed(4)),
            // CurrentLeaderEpoch
            Field::new(Fixed(4)).since(9),
            // FetchOffset
            Field::new(Fixed(8)),
            // LastFetchedEpoch
            Field::new(Fixed(4)).since(12),
            // LogStartOffset
            Field::new(Fixed(8)).since(5),
            // PartitionMaxBytes
            Field::new(Fixed(4)),
        ]))),
    ]))),
    // ForgottenTopicsData
    Field::new(List(&Struct(&[
        // Topic
        Field::new(Held(Width::Two)).since(7).until(12),
        // TopicId
        Field::new(Fixed(16)).since(13),
        // Partitions
        Field::new(List(&Fixed(4))).since(7),
    ])))
    .since(7),
    // RackId
    Field::new(Held(Width::Two)).since(11),
]);

static LIST_OFFSETS: Kind = Struct(&[
    // ReplicaId
    Field::new(Fixed(4)),
    // IsolationLevel
    Field::new(Fixed(1)).since(2),
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // CurrentLeaderEpoch
            Field::new(Fixed(4)).since(4),
            // Timestamp
            Field::new(Fixed(8)),
        ]))),
    ]))),
    // TimeoutMs
    Field::new(Fixed(4)).since(10),
]);

static METADATA: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)).since(10),
        // Name
        Field::new(Held(Width::Two)),
    ]))),
    // AllowAutoTopicCreation
    Field::new(Fixed(1)).since(4),
    // IncludeClusterAuthorizedOperations
    Field::new(Fixed(1)).since(8).until(10),
    // IncludeTopicAuthorizedOperations
    Field::new(Fixed(1)).since(8),
]);

static OFFSET_COMMIT: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // GenerationIdOrMemberEpoch
    Field::new(Fixed(4)).since(1),
    // MemberId
    Field::new(Held(Width::Two)).since(1),
    // GroupInstanceId
    Field::new(Held(Width::Two)).since(7),
    // RetentionTimeMs
    Field::new(Fixed(8)).since(2).until(4),
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)).until(9),
        // TopicId
        Field::new(Fixed(16)).since(10),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // CommittedOffset
            Field::new(Fixed(8)),
            // CommittedLeaderEpoch
            Field::new(Fixed(4)).since(6),
            // CommittedMetadata
            Field::new(Held(Width::Two)),
        ]))),
    ]))),
]);

static OFFSET_FETCH: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)).until(7),
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)).until(7),
        // PartitionIndexes
        Field::new(List(&Fixed(4))).until(7),
    ])))
    .until(7),
    // Groups
    Field::new(List(&Struct(&[
        // GroupId
        Field::new(Held(Width::Two)).since(8),
        // MemberId
        Field::new(Held(Width::Two)).since(9),
        // MemberEpoch
        Field::new(Fixed(4)).since(9),
        // Topics
        Field::new(List(&Struct(&[
            // Name
            Field::new(Held(Width::Two)).since(8).until(9),
            // TopicId
            Field::new(Fixed(16)).since(10),
            // PartitionIndexes
            Field::new(List(&Fixed(4))).since(8),
        ])))
        .since(8),
    ])))
    .since(8),
    // RequireStable
    Field::new(Fixed(1)).since(7),
]);

static FIND_COORDINATOR: Kind = Struct(&[
    // Key
    Field::new(Held(Width::Two)).until(3),
    // KeyType
    Field::new(Fixed(1)).since(1),
    // CoordinatorKeys
    Field::new(List(&Held(Width::Two))).since(4),
]);

static JOIN_GROUP: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // SessionTimeoutMs
    Field::new(Fixed(4)),
    // RebalanceTimeoutMs
    Field::new(Fixed(4)).since(1),
    // MemberId
    Field::new(Held(Width::Two)),
    // GroupInstanceId
    Field::new(Held(Width::Two)).since(5),
    // ProtocolType
    Field::new(Held(Width::Two)),
    // Protocols
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Metadata
        Field::new(Held(Width::Four)),
    ]))),
    // Reason
    Field::new(Held(Width::Two)).since(8),
]);

static HEARTBEAT: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // GenerationId
    Field::new(Fixed(4)),
    // MemberId
    Field::new(Held(Width::Two)),
    // GroupInstanceId
    Field::new(Held(Width::Two)).since(3),
]);

static LEAVE_GROUP: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // MemberId
    Field::new(Held(Width::Two)).until(2),
    // Members
    Field::new(List(&Struct(&[
        // MemberId
        Field::new(Held(Width::Two)).since(3),
        // GroupInstanceId
        Field::new(Held(Width::Two)).since(3),
        // Reason
        Field::new(Held(Width::Two)).since(5),
    ])))
    .since(3),
]);

static SYNC_GROUP: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // GenerationId
    Field::new(Fixed(4)),
    // MemberId
    Field::new(Held(Width::Two)),
    // GroupInstanceId
    Field::new(Held(Width::Two)).since(3),
    // ProtocolType
    Field::new(Held(Width::Two)).since(5),
    // ProtocolName
    Field::new(Held(Width::Two)).since(5),
    // Assignments
    Field::new(List(&Struct(&[
        // MemberId
        Field::new(Held(Width::Two)),
        // Assignment
        Field::new(Held(Width::Four)),
    ]))),
]);

static DESCRIBE_GROUPS: Kind = Struct(&[
    // Groups
    Field::new(List(&Held(Width::Two))),
    // IncludeAuthorizedOperations
    Field::new(Fixed(1)).since(3),
]);

static LIST_GROUPS: Kind = Struct(&[
    // StatesFilter
    Field::new(List(&Held(Width::Two))).since(4),
    // TypesFilter
    Field::new(List(&Held(Width::Two))).since(5),
]);

static API_VERSIONS: Kind = Struct(&[
    // ClientSoftwareName
    Field::new(Held(Width::Two)).since(3),
    // ClientSoftwareVersion
    Field::new(Held(Width::Two)).since(3),
]);

static CREATE_TOPICS: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // NumPartitions
        Field::new(Fixed(4)),
        // ReplicationFactor
        Field::new(Fixed(2)),
        // Assignments
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // BrokerIds
            Field::new(List(&Fixed(4))),
        ]))),
        // Configs
        Field::new(List(&Struct(&[
            // Name
            Field::new(Held(Width::Two)),
            // Value
            Field::new(Held(Width::Two)),
        ]))),
    ]))),
    // timeoutMs
    Field::new(Fixed(4)),
    // validateOnly
    Field::new(Fixed(1)).since(1),
]);

static DELETE_TOPICS: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)).since(6),
        // TopicId
        Field::new(Fixed(16)).since(6),
    ])))
    .since(6),
    // TopicNames
    Field::new(List(&Held(Width::Two))).until(5),
    // TimeoutMs
    Field::new(Fixed(4)),
]);

static DELETE_RECORDS: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // Offset
            Field::new(Fixed(8)),
        ]))),
    ]))),
    // TimeoutMs
    Field::new(Fixed(4)),
]);

static INIT_PRODUCER_ID: Kind = Struct(&[
    // TransactionalId
    Field::new(Held(Width::Two)),
    // TransactionTimeoutMs
    Field::new(Fixed(4)),
    // ProducerId
    Field::new(Fixed(8)).since(3),
    // ProducerEpoch
    Field::new(Fixed(2)).since(3),
    // Enable2Pc
    Field::new(Fixed(1)).since(6),
    // KeepPreparedTxn
    Field::new(Fixed(1)).since(6),
]);

static OFFSET_FOR_LEADER_EPOCH: Kind = Struct(&[
    // ReplicaId
    Field::new(Fixed(4)).since(3),
    // Topics
    Field::new(List(&Struct(&[
        // Topic
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Struct(&[
            // Partition
            Field::new(Fixed(4)),
            // CurrentLeaderEpoch
            Field::new(Fixed(4)).since(2),
            // LeaderEpoch
            Field::new(Fixed(4)),
        ]))),
    ]))),
]);

static ADD_PARTITIONS_TO_TXN: Kind = Struct(&[
    // Transactions
    Field::new(List(&Struct(&[
        // TransactionalId
        Field::new(Held(Width::Two)).since(4),
        // ProducerId
        Field::new(Fixed(8)).since(4),
        // ProducerEpoch
        Field::new(Fixed(2)).since(4),
        // VerifyOnly
        Field::new(Fixed(1)).since(4),
        // Topics
        Field::new(List(&Struct(&[
            // Name
            Field::new(Held(Width::Two)),
            // Partitions
            Field::new(List(&Fixed(4))),
        ])))
        .since(4),
    ])))
    .since(4),
    // V3AndBelowTransactionalId
    Field::new(Held(Width::Two)).until(3),
    // V3AndBelowProducerId
    Field::new(Fixed(8)).until(3),
    // V3AndBelowProducerEpoch
    Field::new(Fixed(2)).until(3),
    // V3AndBelowTopics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Fixed(4))),
    ])))
    .until(3),
]);

static ADD_OFFSETS_TO_TXN: Kind = Struct(&[
    // TransactionalId
    Field::new(Held(Width::Two)),
    // ProducerId
    Field::new(Fixed(8)),
    // ProducerEpoch
    Field::new(Fixed(2)),
    // GroupId
    Field::new(Held(Width::Two)),
]);

static END_TXN: Kind = Struct(&[
    // TransactionalId
    Field::new(Held(Width::Two)),
    // ProducerId
    Field::new(Fixed(8)),
    // ProducerEpoch
    Field::new(Fixed(2)),
    // Committed
    Field::new(Fixed(1)),
]);

static WRITE_TXN_MARKERS: Kind = Struct(&[
    // Markers
    Field::new(List(&Struct(&[
        // ProducerId
        Field::new(Fixed(8)),
        // ProducerEpoch
        Field::new(Fixed(2)),
        // TransactionResult
        Field::new(Fixed(1)),
        // Topics
        Field::new(List(&Struct(&[
            // Name
            Field::new(Held(Width::Two)),
            // PartitionIndexes
            Field::new(List(&Fixed(4))),
        ]))),
        // CoordinatorEpoch
        Field::new(Fixed(4)),
    ]))),
]);

static TXN_OFFSET_COMMIT: Kind = Struct(&[
    // TransactionalId
    Field::new(Held(Width::Two)),
    // GroupId
    Field::new(Held(Width::Two)),
    // ProducerId
    Field::new(Fixed(8)),
    // ProducerEpoch
    Field::new(Fixed(2)),
    // GenerationId
    Field::new(Fixed(4)).since(3),
    // MemberId
    Field::new(Held(Width::Two)).since(3),
    // GroupInstanceId
    Field::new(Held(Width::Two)).since(3),
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // CommittedOffset
            Field::new(Fixed(8)),
            // CommittedLeaderEpoch
            Field::new(Fixed(4)).since(2),
            // CommittedMetadata
            Field::new(Held(Width::Two)),
        ]))),
    ]))),
]);

static DESCRIBE_CONFIGS: Kind = Struct(&[
    // Resources
    Field::new(List(&Struct(&[
        // ResourceType
        Field::new(Fixed(1)),
        // ResourceName
        Field::new(Held(Width::Two)),
        // ConfigurationKeys
        Field::new(List(&Held(Width::Two))),
    ]))),
    // IncludeSynonyms
    Field::new(Fixed(1)).since(1),
    // IncludeDocumentation
    Field::new(Fixed(1)).since(3),
]);

static ALTER_CONFIGS: Kind = Struct(&[
    // Resources
    Field::new(List(&Struct(&[
        // ResourceType
        Field::new(Fixed(1)),
        // ResourceName
        Field::new(Held(Width::Two)),
        // Configs
        Field::new(List(&Struct(&[
            // Name
            Field::new(Held(Width::Two)),
            // Value
            Field::new(Held(Width::Two)),
        ]))),
    ]))),
    // ValidateOnly
    Field::new(Fixed(1)),
]);

static DESCRIBE_LOG_DIRS: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // Topic
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Fixed(4))),
    ]))),
]);

static CREATE_PARTITIONS: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Count
        Field::new(Fixed(4)),
        // Assignments
        Field::new(List(&Struct(&[
            // BrokerIds
            Field::new(List(&Fixed(4))),
        ]))),
    ]))),
    // TimeoutMs
    Field::new(Fixed(4)),
    // ValidateOnly
    Field::new(Fixed(1)),
]);

static DELETE_GROUPS: Kind = Struct(&[
    // GroupsNames
    Field::new(List(&Held(Width::Two))),
]);

static ELECT_LEADERS: Kind = Struct(&[
    // ElectionType
    Field::new(Fixed(1)).since(1),
    // TopicPartitions
    Field::new(List(&Struct(&[
        // Topic
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Fixed(4))),
    ]))),
    // TimeoutMs
    Field::new(Fixed(4)),
]);

static INCREMENTAL_ALTER_CONFIGS: Kind = Struct(&[
    // Resources
    Field::new(List(&Struct(&[
        // ResourceType
        Field::new(Fixed(1)),
        // ResourceName
        Field::new(Held(Width::Two)),
        // Configs
        Field::new(List(&Struct(&[
            // Name
            Field::new(Held(Width::Two)),
            // ConfigOperation
            Field::new(Fixed(1)),
            // Value
            Field::new(Held(Width::Two)),
        ]))),
    ]))),
    // ValidateOnly
    Field::new(Fixed(1)),
]);

static ALTER_PARTITION_REASSIGNMENTS: Kind = Struct(&[
    // TimeoutMs
    Field::new(Fixed(4)),
    // AllowReplicationFactorChange
    Field::new(Fixed(1)).since(1),
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // Replicas
            Field::new(List(&Fixed(4))),
        ]))),
    ]))),
]);

static LIST_PARTITION_REASSIGNMENTS: Kind = Struct(&[
    // TimeoutMs
    Field::new(Fixed(4)),
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // PartitionIndexes
        Field::new(List(&Fixed(4))),
    ]))),
]);

static OFFSET_DELETE: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
        ]))),
    ]))),
]);

static DESCRIBE_QUORUM: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // TopicName
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
        ]))),
    ]))),
]);

static DESCRIBE_CLUSTER: Kind = Struct(&[
    // IncludeClusterAuthorizedOperations
    Field::new(Fixed(1)),
    // EndpointType
    Field::new(Fixed(1)).since(1),
    // IncludeFencedBrokers
    Field::new(Fixed(1)).since(2),
]);

static DESCRIBE_PRODUCERS: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // PartitionIndexes
        Field::new(List(&Fixed(4))),
    ]))),
]);

static UNREGISTER_BROKER: Kind = Struct(&[
    // BrokerId
    Field::new(Fixed(4)),
]);

static DESCRIBE_TRANSACTIONS: Kind = Struct(&[
    // TransactionalIds
    Field::new(List(&Held(Width::Two))),
]);

static LIST_TRANSACTIONS: Kind = Struct(&[
    // StateFilters
    Field::new(List(&Held(Width::Two))),
    // ProducerIdFilters
    Field::new(List(&Fixed(8))),
    // DurationFilter
    Field::new(Fixed(8)).since(1),
    // TransactionalIdPattern
    Field::new(Held(Width::Two)).since(2),
]);

static CONSUMER_GROUP_HEARTBEAT: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // MemberId
    Field::new(Held(Width::Two)),
    // MemberEpoch
    Field::new(Fixed(4)),
    // InstanceId
    Field::new(Held(Width::Two)),
    // RackId
    Field::new(Held(Width::Two)),
    // RebalanceTimeoutMs
    Field::new(Fixed(4)),
    // SubscribedTopicNames
    Field::new(List(&Held(Width::Two))),
    // SubscribedTopicRegex
    Field::new(Held(Width::Two)).since(1),
    // ServerAssignor
    Field::new(Held(Width::Two)),
    // TopicPartitions
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Fixed(4))),
    ]))),
]);

static CONSUMER_GROUP_DESCRIBE: Kind = Struct(&[
    // GroupIds
    Field::new(List(&Held(Width::Two))),
    // IncludeAuthorizedOperations
    Field::new(Fixed(1)),
]);

static LIST_CONFIG_RESOURCES: Kind = Struct(&[
    // ResourceTypes
    Field::new(List(&Fixed(1))).since(1),
]);

static DESCRIBE_TOPIC_PARTITIONS: Kind = Struct(&[
    // Topics
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
    ]))),
    // ResponsePartitionLimit
    Field::new(Fixed(4)),
    // Cursor
    Field::new(NullableStruct(&[
        // TopicName
        Field::new(Held(Width::Two)),
        // PartitionIndex
        Field::new(Fixed(4)),
    ])),
]);

static SHARE_GROUP_HEARTBEAT: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // MemberId
    Field::new(Held(Width::Two)),
    // MemberEpoch
    Field::new(Fixed(4)),
    // RackId
    Field::new(Held(Width::Two)),
    // SubscribedTopicNames
    Field::new(List(&Held(Width::Two))),
]);

static SHARE_GROUP_DESCRIBE: Kind = Struct(&[
    // GroupIds
    Field::new(List(&Held(Width::Two))),
    // IncludeAuthorizedOperations
    Field::new(Fixed(1)),
]);

static SHARE_FETCH: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // MemberId
    Field::new(Held(Width::Two)),
    // ShareSessionEpoch
    Field::new(Fixed(4)),
    // MaxWaitMs
    Field::new(Fixed(4)),
    // MinBytes
    Field::new(Fixed(4)),
    // MaxBytes
    Field::new(Fixed(4)),
    // MaxRecords
    Field::new(Fixed(4)).since(1),
    // BatchSize
    Field::new(Fixed(4)).since(1),
    // Topics
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // PartitionMaxBytes
            Field::new(Fixed(4)).until(0),
            // AcknowledgementBatches
            Field::new(List(&Struct(&[
                // FirstOffset
                Field::new(Fixed(8)),
                // LastOffset
                Field::new(Fixed(8)),
                // AcknowledgeTypes
                Field::new(List(&Fixed(1))),
            ]))),
        ]))),
    ]))),
    // ForgottenTopicsData
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Fixed(4))),
    ]))),
]);

static SHARE_ACKNOWLEDGE: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // MemberId
    Field::new(Held(Width::Two)),
    // ShareSessionEpoch
    Field::new(Fixed(4)),
    // Topics
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // AcknowledgementBatches
            Field::new(List(&Struct(&[
                // FirstOffset
                Field::new(Fixed(8)),
                // LastOffset
                Field::new(Fixed(8)),
                // AcknowledgeTypes
                Field::new(List(&Fixed(1))),
            ]))),
        ]))),
    ]))),
]);

static ADD_RAFT_VOTER: Kind = Struct(&[
    // ClusterId
    Field::new(Held(Width::Two)),
    // TimeoutMs
    Field::new(Fixed(4)),
    // VoterId
    Field::new(Fixed(4)),
    // VoterDirectoryId
    Field::new(Fixed(16)),
    // Listeners
    Field::new(List(&Struct(&[
        // Name
        Field::new(Held(Width::Two)),
        // Host
        Field::new(Held(Width::Two)),
        // Port
        Field::new(Fixed(2)),
    ]))),
]);

static REMOVE_RAFT_VOTER: Kind = Struct(&[
    // ClusterId
    Field::new(Held(Width::Two)),
    // VoterId
    Field::new(Fixed(4)),
    // VoterDirectoryId
    Field::new(Fixed(16)),
]);

static INITIALIZE_SHARE_GROUP_STATE: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // Topics
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Struct(&[
            // Partition
            Field::new(Fixed(4)),
            // StateEpoch
            Field::new(Fixed(4)),
            // StartOffset
            Field::new(Fixed(8)),
        ]))),
    ]))),
]);

static READ_SHARE_GROUP_STATE: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // Topics
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Struct(&[
            // Partition
            Field::new(Fixed(4)),
            // LeaderEpoch
            Field::new(Fixed(4)),
        ]))),
    ]))),
]);

static WRITE_SHARE_GROUP_STATE: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // Topics
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Struct(&[
            // Partition
            Field::new(Fixed(4)),
            // StateEpoch
            Field::new(Fixed(4)),
            // LeaderEpoch
            Field::new(Fixed(4)),
            // StartOffset
            Field::new(Fixed(8)),
            // StateBatches
            Field::new(List(&Struct(&[
                // FirstOffset
                Field::new(Fixed(8)),
                // LastOffset
                Field::new(Fixed(8)),
                // DeliveryState
                Field::new(Fixed(1)),
                // DeliveryCount
                Field::new(Fixed(2)),
            ]))),
        ]))),
    ]))),
]);

static DELETE_SHARE_GROUP_STATE: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // Topics
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Struct(&[
            // Partition
            Field::new(Fixed(4)),
        ]))),
    ]))),
]);

static READ_SHARE_GROUP_STATE_SUMMARY: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // Topics
    Field::new(List(&Struct(&[
        // TopicId
        Field::new(Fixed(16)),
        // Partitions
        Field::new(List(&Struct(&[
            // Partition
            Field::new(Fixed(4)),
            // LeaderEpoch
            Field::new(Fixed(4)),
        ]))),
    ]))),
]);

static DESCRIBE_SHARE_GROUP_OFFSETS: Kind = Struct(&[
    // Groups
    Field::new(List(&Struct(&[
        // GroupId
        Field::new(Held(Width::Two)),
        // Topics
        Field::new(List(&Struct(&[
            // TopicName
            Field::new(Held(Width::Two)),
            // Partitions
            Field::new(List(&Fixed(4))),
        ]))),
    ]))),
]);

static ALTER_SHARE_GROUP_OFFSETS: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // Topics
    Field::new(List(&Struct(&[
        // TopicName
        Field::new(Held(Width::Two)),
        // Partitions
        Field::new(List(&Struct(&[
            // PartitionIndex
            Field::new(Fixed(4)),
            // StartOffset
            Field::new(Fixed(8)),
        ]))),
    ]))),
]);

static DELETE_SHARE_GROUP_OFFSETS: Kind = Struct(&[
    // GroupId
    Field::new(Held(Width::Two)),
    // Topics
    Field::new(List(&Struct(&[
        // TopicName
        Field::new(Held(Width::Two)),
    ]))),
]);
