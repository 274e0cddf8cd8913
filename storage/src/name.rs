//! Names of folders and files on a drive. Pure.
//!
//! A log's folder is `<topic>-<partition>.<topic id>`; the id is Kafka's text form, 22 characters
//! of URL-safe base64, so its last dot cannot be one of the topic's. A topic too long for a file
//! name is cut and marked with `~`, which no topic may hold; its whole name is then in the file
//! [`TOPIC_NAME_FILE`]. Kafka's own folders are `<topic>-<partition>`.

use uuid::Uuid;

/// Longest name a Linux file system takes.
const NAME_MAX: usize = 255;
/// Marks a topic name that was cut to fit.
const CUT: char = '~';
/// Length of an id in text.
const ID_LEN: usize = 22;
/// Digits of an offset in a file name.
const OFFSET_DIGITS: usize = 20;
/// Start of the name of a folder that is being deleted.
const DELETED: &str = "~deleted.";

/// Holds the whole topic name where the folder's is cut.
pub(crate) const TOPIC_NAME_FILE: &str = "topic.name";
/// The log's recovery point.
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint";
/// Kafka's list of leader epochs.
pub(crate) const EPOCHS_FILE: &str = "leader-epoch-checkpoint";
/// The list of the index of transactions that were given up.
pub(crate) const ABORTED_FILE: &str = "aborted-transactions";
/// Kafka's record of the topic id.
pub(crate) const METADATA_FILE: &str = "partition.metadata";

/// Which log: topic, partition and the topic's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogName {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The topic's id: a topic made again under an old name is another topic.
    pub topic_id: Uuid,
}

impl LogName {
    /// The log's folder on its drive.
    pub fn folder(&self) -> String {
        let tail = format!("-{}.{}", self.partition, id_text(self.topic_id));
        if self.topic.len() + tail.len() <= NAME_MAX {
            return format!("{}{tail}", self.topic);
        }
        let mut room = NAME_MAX - tail.len() - CUT.len_utf8();
        while !self.topic.is_char_boundary(room) {
            room -= 1;
        }
        format!("{}{CUT}{tail}", &self.topic[..room])
    }

    /// Whether the folder's name holds only the start of the topic's.
    pub(crate) fn is_cut(&self) -> bool {
        self.folder().contains(CUT)
    }

    /// Where the folder goes while it is being deleted.
    pub(crate) fn deleted_folder(&self) -> String {
        format!("{DELETED}{}.{}", self.partition, id_text(self.topic_id))
    }
}

impl std::fmt::Display for LogName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What the name of a folder on a drive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// A log of ours; the topic's name may be cut.
    Ours { name: LogName, cut: bool },
    /// A partition as Kafka names it.
    Kafka { topic: String, partition: i32 },
    /// A log whose deletion a stop interrupted.
    Deleted,
    /// Something else, to be left alone.
    Foreign,
}

impl Folder {
    /// Reads a folder's name.
    pub(crate) fn parse(name: &str) -> Self {
        if name.starts_with(DELETED) {
            return Self::Deleted;
        }
        if let Some((front, id)) = name.rsplit_once('.')
            && let Some(topic_id) = parse_id(id)
            && let Some((topic, partition)) = topic_and_partition(front)
        {
            let (topic, cut) = match topic.strip_suffix(CUT) {
                Some(start) => (start, true),
                None => (topic, false),
            };
            if is_topic(topic) {
                let topic = topic.to_owned();
                let name = LogName {
                    topic,
                    partition,
                    topic_id,
                };
                return Self::Ours { name, cut };
            }
        }
        match topic_and_partition(name) {
            Some((topic, partition)) if is_topic(topic) => Self::Kafka {
                topic: topic.to_owned(),
                partition,
            },
            _ => Self::Foreign,
        }
    }
}

fn topic_and_partition(text: &str) -> Option<(&str, i32)> {
    let (topic, digits) = text.rsplit_once('-')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if topic.is_empty() || !plain {
        return None;
    }
    Some((topic, digits.parse().ok()?))
}

fn is_topic(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(legal)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// An id as Kafka writes it: URL-safe base64 without padding.
pub fn id_text(id: Uuid) -> String {
    let value = id.as_u128();
    // 22 digits of 6 bits are 132 bits: the last digit holds 2 bits and 4 zeros.
    (0..ID_LEN)
        .map(|at| {
            let shift = 122 - 6 * at as i32;
            let bits = if shift >= 0 {
                value >> shift
            } else {
                value << -shift
            };
            char::from(ALPHABET[(bits & 63) as usize])
        })
        .collect()
}

/// Reads an id as Kafka writes it.
pub fn parse_id(text: &str) -> Option<Uuid> {
    if text.len() != ID_LEN {
        return None;
    }
    let mut value: u128 = 0;
    for (at, byte) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)? as u128;
        if at + 1 < ID_LEN {
            value = value << 6 | digit;
        } else if digit & 0xf != 0 {
            return None;
        } else {
            value = value << 2 | digit >> 4;
        }
    }
    Some(Uuid::from_u128(value))
}

/// What kind of file of a log a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Record batches.
    Log(i64),
    /// Offset index.
    Index(i64),
    /// Time index.
    TimeIndex(i64),
    /// Producer state as of an offset.
    Snapshot(i64),
    /// A segment that compaction made and that isn't in its place yet.
    Swap(i64),
    /// A segment that compaction was making.
    Cleaned,
    /// A chunk of the index of transactions that were given up, by its first marker.
    Aborted(i64),
    /// Kafka's index of those of a segment.
    KafkaAborted(i64),
    /// Another step of a compaction that Kafka did not finish.
    KafkaSwap,
    /// A leftover of an atomic write that did not finish.
    Temporary,
    /// Anything else.
    Other,
}

impl FileKind {
    /// Reads a file's name.
    pub(crate) fn parse(name: &str) -> Self {
        if name.ends_with(".tmp") {
            return Self::Temporary;
        }
        let Some((digits, kind)) = name.split_once('.') else {
            return Self::other(name);
        };
        let plain = digits.len() == OFFSET_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        let Some(offset) = digits.parse().ok().filter(|_| plain) else {
            return Self::other(name);
        };
        match kind {
            "log" => Self::Log(offset),
            "index" => Self::Index(offset),
            "timeindex" => Self::TimeIndex(offset),
            "snapshot" => Self::Snapshot(offset),
            "aborted" => Self::Aborted(offset),
            "txnindex" => Self::KafkaAborted(offset),
            "log.swap" => Self::Swap(offset),
            "log.cleaned" => Self::Cleaned,
            _ => Self::other(name),
        }
    }

    fn other(name: &str) -> Self {
        if name.ends_with(".swap") || name.ends_with(".cleaned") {
            Self::KafkaSwap
        } else {
            Self::Other
        }
    }

    /// The file's name; `None` for kinds that have no one name.
    pub(crate) fn name(self) -> Option<String> {
        let (offset, kind) = match self {
            Self::Log(offset) => (offset, "log"),
            Self::Index(offset) => (offset, "index"),
            Self::TimeIndex(offset) => (offset, "timeindex"),
            Self::Snapshot(offset) => (offset, "snapshot"),
            Self::Swap(offset) => (offset, "log.swap"),
            Self::Aborted(offset) => (offset, "aborted"),
            Self::KafkaAborted(offset) => (offset, "txnindex"),
            Self::Cleaned | Self::KafkaSwap | Self::Temporary | Self::Other => return None,
        };
        Some(file_name(offset, kind))
    }
}

/// `<offset, 20 digits>.<kind>`.
pub(crate) fn file_name(offset: i64, kind: &str) -> String {
    format!("{offset:0width$}.{kind}", width = OFFSET_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ours(topic: &str, partition: i32, id: u128) -> LogName {
        LogName {
            topic: topic.to_owned(),
            partition,
            topic_id: Uuid::from_u128(id),
        }
    }

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        // Kafka's Uuid.ZERO_UUID, ONE_UUID and METADATA_TOPIC_ID.
        assert_eq!(id_text(Uuid::from_u128(0)), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(id_text(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(parse_id("AAAAAAAAAAAAAAAAAAAAAQ"), Some(Uuid::from_u128(1)));
        assert_eq!(parse_id("AAAAAAAAAAAAAAAAAAAAAB"), None);
        assert_eq!(parse_id("short"), None);
    }

    #[test]
    fn folders_of_each_kind_are_told_apart() {
        let name = ours("a.b-c_d", 7, 99);
        let folder = Folder::parse(&name.folder());
        assert_eq!(folder, Folder::Ours { name, cut: false });
        assert_eq!(
            Folder::parse("a.b-7"),
            Folder::Kafka {
                topic: "a.b".into(),
                partition: 7
            }
        );
        assert_eq!(Folder::parse("lost+found"), Folder::Foreign);
        assert_eq!(Folder::parse("t-0.abc-delete"), Folder::Foreign);
        assert_eq!(Folder::parse("t-x"), Folder::Foreign);
        assert_eq!(Folder::parse("-0"), Folder::Foreign);
        assert_eq!(
            Folder::parse(&ours("t", 0, 5).deleted_folder()),
            Folder::Deleted
        );
    }

    #[test]
    fn the_longest_topic_fits_a_file_name() {
        let name = ours(&"x".repeat(249), i32::MAX, u128::MAX);
        let folder = name.folder();
        assert_eq!(folder.len(), 255);
        assert!(name.is_cut());
        match Folder::parse(&folder) {
            Folder::Ours { name: read, cut } => {
                assert!(cut);
                assert!(name.topic.starts_with(&read.topic));
                assert_eq!(
                    (read.partition, read.topic_id),
                    (name.partition, name.topic_id)
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_of_each_kind_are_told_apart() {
        assert_eq!(
            FileKind::parse("00000000000000000042.log"),
            FileKind::Log(42)
        );
        assert_eq!(
            FileKind::parse("00000000000000000042.log.deleted"),
            FileKind::Other
        );
        assert_eq!(
            FileKind::parse("00000000000000000042.log.swap"),
            FileKind::Swap(42)
        );
        assert_eq!(
            FileKind::parse("00000000000000000042.log.cleaned"),
            FileKind::Cleaned
        );
        assert_eq!(
            FileKind::parse("00000000000000000042.index.swap"),
            FileKind::KafkaSwap
        );
        assert_eq!(FileKind::parse("42.log.swap"), FileKind::KafkaSwap);
        assert_eq!(FileKind::parse("42.log"), FileKind::Other);
        assert_eq!(FileKind::parse("99999999999999999999.log"), FileKind::Other);
        assert_eq!(FileKind::parse(CHECKPOINT_FILE), FileKind::Other);
        assert_eq!(FileKind::parse("checkpoint.tmp"), FileKind::Temporary);
    }

    proptest! {
        #[test]
        fn an_id_survives_its_text(id: u128) {
            let id = Uuid::from_u128(id);
            prop_assert_eq!(parse_id(&id_text(id)), Some(id));
        }

        #[test]
        fn a_log_survives_its_folder(topic in "[a-zA-Z0-9._-]{1,200}", partition in 0..i32::MAX, id: u128) {
            prop_assume!(topic != "." && topic != "..");
            let name = ours(&topic, partition, id);
            prop_assert_eq!(Folder::parse(&name.folder()), Folder::Ours { name, cut: false });
        }

        #[test]
        fn a_file_survives_its_name(offset in 0..i64::MAX) {
            for kind in [FileKind::Log(offset), FileKind::Index(offset), FileKind::TimeIndex(offset), FileKind::Snapshot(offset), FileKind::Swap(offset)] {
                prop_assert_eq!(FileKind::parse(&kind.name().unwrap()), kind);
            }
        }
    }
}
