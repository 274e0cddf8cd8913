//! What a group is bound by where it fetches: its own settings over the broker's.

use metadata::ResourceType;
use share::partition::Settings;

use crate::config::Overrides;
use crate::shard::Shard;

/// Where a share-partition begins that nothing is stored of (`share.auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// At the log's start.
    Earliest,
    /// At its end.
    Latest,
    /// At the first record that isn't older than this, in milliseconds.
    ByDuration(i64),
}

/// Those of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    /// Those of its share-partitions.
    pub(super) partition: Settings,
    pub(super) reset: Reset,
    /// Whether only what counts is given out (`share.isolation.level`).
    pub(crate) committed: bool,
}

impl GroupSettings {
    /// How long a record is locked, in milliseconds.
    pub(crate) fn lock_ms(&self) -> i32 {
        i32::try_from(self.partition.lock_ms).unwrap_or(i32::MAX)
    }
}

impl Shard {
    /// The settings of a group in force.
    pub(crate) fn share_settings(&self, group: &str) -> GroupSettings {
        static NONE: Overrides = Overrides::new();
        let broker = &self.settings().share;
        self.with_image(|image| {
            let own = image.configs(ResourceType::Group, group).unwrap_or(&NONE);
            let get = |name: &str| own.get(name).map(|value| value.trim());
            let lock_ms = get("share.record.lock.duration.ms").and_then(|ms| ms.parse().ok());
            GroupSettings {
                partition: Settings {
                    max_in_flight: broker.max_in_flight,
                    max_deliveries: broker.max_deliveries,
                    lock_ms: lock_ms.unwrap_or(broker.lock_ms),
                },
                reset: get("share.auto.offset.reset").map_or(Reset::Latest, reset),
                committed: get("share.isolation.level") == Some("read_committed"),
            }
        })
    }
}

/// What a setting that was checked when it was made says.
fn reset(text: &str) -> Reset {
    match text.split_once(':') {
        Some((_, duration)) => {
            crate::config::duration_ms(duration).map_or(Reset::Latest, Reset::ByDuration)
        }
        None if text == "earliest" => Reset::Earliest,
        None => Reset::Latest,
    }
}
