//! A group's settings: the table and its checks. What they come to is read where it is in force: by the
//! coordinator of groups, and where share groups fetch.

use super::def::Rule::{Any, AtLeast, OneOf};
use super::def::{ConfigError, Def, Overrides, nearest};
use super::duration::duration_ms;
use super::layers::Layers;
use super::table::def;
use super::topic::{Synonym, TopicRow, Unit};

/// Which transactional records a share group is given.
const ISOLATION_LEVELS: &[&str] = &["read_committed", "read_uncommitted"];
/// The setting whose values no [`Rule`](super::def::Rule) has.
const RESET: &str = "share.auto.offset.reset";

const fn row(def: Def, synonyms: &'static [Synonym]) -> TopicRow {
    TopicRow { def, synonyms }
}

macro_rules! groups {
    ($([$($def:tt)*] from [$($synonym:literal),*];)*) => {
        &[$(row(
            def!($($def)*),
            &[$(Synonym { name: $synonym, unit: Unit::Same }),*],
        )),*]
    };
}

/// Every group setting.
pub(crate) static GROUP_ROWS: &[TopicRow] = groups! {
    ["consumer.heartbeat.interval.ms", Int, "5000", AtLeast(1), Honoured, "Heartbeat of a consumer group's member."]
        from ["group.consumer.heartbeat.interval.ms"];
    ["consumer.session.timeout.ms", Int, "45000", AtLeast(1), Honoured, "Session of a consumer group's member."]
        from ["group.consumer.session.timeout.ms"];
    ["share.auto.offset.reset", Text, "latest", Any, Honoured,
     "Where a share group begins in a partition: earliest, latest, or by_duration:PnDTnHnMn.nS ago."]
        from [];
    ["share.heartbeat.interval.ms", Int, "5000", AtLeast(1), Honoured, "Heartbeat of a share group's member."]
        from ["group.share.heartbeat.interval.ms"];
    ["share.isolation.level", Text, "read_uncommitted", OneOf(ISOLATION_LEVELS), Honoured,
     "Whether a share group is given records of transactions that are open or were aborted."]
        from [];
    ["share.record.lock.duration.ms", Int, "30000", AtLeast(1000), Honoured,
     "How long a record that was delivered to a share group is locked."]
        from ["group.share.record.lock.duration.ms"];
    ["share.session.timeout.ms", Int, "45000", AtLeast(1), Honoured, "Session of a share group's member."]
        from ["group.share.session.timeout.ms"];
    ["streams.heartbeat.interval.ms", Int, "5000", AtLeast(1), Stored, "Heartbeat of a streams group's member."]
        from [];
    ["streams.num.standby.replicas", Int, "0", AtLeast(0), Stored, "Standby replicas of a streams group's tasks."]
        from [];
    ["streams.session.timeout.ms", Int, "45000", AtLeast(1), Stored, "Session of a streams group's member."]
        from [];
};

/// Settings that the broker has bounds for: the setting, its least and its most.
const BOUNDS: &[[&str; 3]] = &[
    [
        "consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
    ],
    [
        "consumer.session.timeout.ms",
        "group.consumer.min.session.timeout.ms",
        "group.consumer.max.session.timeout.ms",
    ],
    [
        "share.heartbeat.interval.ms",
        "group.share.min.heartbeat.interval.ms",
        "group.share.max.heartbeat.interval.ms",
    ],
    [
        "share.session.timeout.ms",
        "group.share.min.session.timeout.ms",
        "group.share.max.session.timeout.ms",
    ],
    [
        "share.record.lock.duration.ms",
        "group.share.min.record.lock.duration.ms",
        "group.share.max.record.lock.duration.ms",
    ],
];

/// Sessions that have to be longer than a heartbeat interval.
const SESSIONS: &[[&str; 2]] = &[
    [
        "consumer.session.timeout.ms",
        "consumer.heartbeat.interval.ms",
    ],
    ["share.session.timeout.ms", "share.heartbeat.interval.ms"],
    [
        "streams.session.timeout.ms",
        "streams.heartbeat.interval.ms",
    ],
];

pub(crate) fn known(name: &str) -> Result<&'static TopicRow, ConfigError> {
    let row = GROUP_ROWS.iter().find(|row| row.def.name == name);
    row.ok_or_else(|| ConfigError::Unknown {
        scope: "group",
        name: name.to_owned(),
        nearest: nearest(name, GROUP_ROWS.iter().map(|row| row.def.name)),
    })
}

/// Checks one setting by itself.
pub(crate) fn validate(name: &str, value: &str) -> Result<(), ConfigError> {
    known(name)?.def.check(value)?;
    let fits = match value.trim().split_once(':') {
        Some((how, duration)) => how == "by_duration" && duration_ms(duration).is_some(),
        None => matches!(value.trim(), "earliest" | "latest"),
    };
    match name == RESET && !fits {
        false => Ok(()),
        true => Err(ConfigError::Invalid {
            name: name.to_owned(),
            value: value.to_owned(),
            why: "The value must be either 'earliest', 'latest' or of the format \
                  'by_duration:<PnDTnHnMn.nS.>'."
                .to_owned(),
        }),
    }
}

/// Checks a group's whole set of overrides, and that they go together with what the broker allows.
pub(crate) fn validate_all(overrides: &Overrides, layers: &Layers<'_>) -> Result<(), ConfigError> {
    for (name, value) in overrides {
        validate(name, value)?;
    }
    let number = |text: &str| text.trim().parse::<i64>().unwrap_or_default();
    let own = |name: &str| overrides.get(name).map(|value| number(value));
    let conflict = |name: &str, how: &str, than: &str| {
        Err(ConfigError::Conflict(format!(
            "{name} must be {how} {than}"
        )))
    };
    for [name, least, most] in BOUNDS {
        let bound = |name: &'static str| layers.get(name).map_or(0, number);
        match own(name) {
            Some(value) if value < bound(least) => {
                return conflict(name, "greater than or equal to", least);
            }
            Some(value) if value > bound(most) => {
                return conflict(name, "less than or equal to", most);
            }
            _ => {}
        }
    }
    for [session, heartbeat] in SESSIONS {
        let in_force = |name: &str| {
            let inherited = || Some(number(&known(name).ok()?.inherited(layers).0));
            own(name).or_else(inherited).unwrap_or_default()
        };
        let is_set = own(session).is_some() || own(heartbeat).is_some();
        if is_set && in_force(session) <= in_force(heartbeat) {
            return conflict(session, "greater than", heartbeat);
        }
    }
    Ok(())
}

/// What a group has set of what its coordinator needs.
pub(crate) fn own_settings(overrides: &Overrides) -> group::OwnSettings {
    let own = |name: &str| overrides.get(name)?.trim().parse().ok();
    group::OwnSettings {
        consumer_session_timeout_ms: own("consumer.session.timeout.ms"),
        consumer_heartbeat_interval_ms: own("consumer.heartbeat.interval.ms"),
        share_session_timeout_ms: own("share.session.timeout.ms"),
        share_heartbeat_interval_ms: own("share.heartbeat.interval.ms"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Overrides {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn why(overrides: &Overrides, fixed: &Overrides) -> String {
        let result = validate_all(overrides, &Layers::of(fixed));
        result.unwrap_err().to_string()
    }

    #[test]
    fn values_are_checked_alone_and_together() {
        for value in ["earliest", "latest", "by_duration:PT1H"] {
            assert_eq!(validate(RESET, value), Ok(()));
        }
        for value in ["none", "", "by_duration:1h", "by_duration:PT-1S", "x:PT1H"] {
            assert!(validate(RESET, value).is_err(), "{value}");
        }
        assert!(validate("share.isolation.level", "none").is_err());
        assert!(validate("share.retries", "1").is_err());
        let defaults = Overrides::new();
        let short = set(&[("share.record.lock.duration.ms", "2000")]);
        assert_eq!(
            why(&short, &defaults),
            "share.record.lock.duration.ms must be greater than or equal to \
             group.share.min.record.lock.duration.ms"
        );
        let lower = set(&[("group.share.min.record.lock.duration.ms", "1000")]);
        assert_eq!(validate_all(&short, &Layers::of(&lower)), Ok(()));
        let long = set(&[("share.session.timeout.ms", "60001")]);
        assert!(why(&long, &defaults).ends_with("group.share.max.session.timeout.ms"));
        let allowed = set(&[("group.consumer.max.heartbeat.interval.ms", "50000")]);
        let over = set(&[("consumer.heartbeat.interval.ms", "45000")]);
        assert_eq!(
            why(&over, &allowed),
            "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"
        );
    }
}
