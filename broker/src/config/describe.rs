//! The rows DescribeConfigs answers with (v1 to v4): every setting with its value, where it comes
//! from, and all the values that lie under it.

use super::broker::{self, BrokerRow, Update};
use super::def::{Kind, Overrides};
use super::group::GROUP_ROWS;
use super::layers::{Found, Layers, Source};
use super::topic::{TOPIC_ROWS, TopicRow};

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want<'a> {
    /// Only these settings; an empty list is all of them, as none is.
    pub names: Option<&'a [&'a str]>,
    /// With the synonyms.
    pub synonyms: bool,
    /// With what each setting means.
    pub documentation: bool,
}

impl Want<'_> {
    fn has(&self, name: &str) -> bool {
        self.names
            .is_none_or(|names| names.is_empty() || names.contains(&name))
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRow {
    /// Its name.
    pub name: String,
    /// Its value; none where it is null or may not be shown.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// Its type.
    pub kind: Kind,
    /// Whether only a restart changes it.
    pub read_only: bool,
    /// Whether its value is kept back.
    pub sensitive: bool,
    /// The value and all that lie under it, if asked for.
    pub synonyms: Vec<SynonymRow>,
    /// What it means, if asked for.
    pub documentation: Option<&'static str>,
}

/// One of the values a setting could have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynonymRow {
    /// The name it is set under.
    pub name: String,
    /// The value.
    pub value: Option<String>,
    /// Where it is set.
    pub source: Source,
}

impl SynonymRow {
    fn of(found: &Found<'_>, sensitive: bool) -> Self {
        Self {
            name: found.name.to_owned(),
            value: (!sensitive).then(|| found.value.to_owned()),
            source: found.source,
        }
    }
}

/// The settings of a topic.
pub fn topic(overrides: &Overrides, layers: &Layers<'_>, want: Want<'_>) -> Vec<ConfigRow> {
    let wanted = TOPIC_ROWS.iter().filter(|row| want.has(row.def.name));
    let one = |row| overriding_row(row, (overrides, Source::Topic), layers, want);
    wanted.map(one).collect()
}

/// The settings of a group.
pub fn group(overrides: &Overrides, layers: &Layers<'_>, want: Want<'_>) -> Vec<ConfigRow> {
    let wanted = GROUP_ROWS.iter().filter(|row| want.has(row.def.name));
    let one = |row| overriding_row(row, (overrides, Source::Group), layers, want);
    wanted.map(one).collect()
}

/// A setting that a topic or a group may have for itself.
fn overriding_row(
    row: &TopicRow,
    (overrides, source): (&Overrides, Source),
    layers: &Layers<'_>,
    want: Want<'_>,
) -> ConfigRow {
    let name = row.def.name;
    let (inherited, below) = row.inherited(layers);
    let own = overrides.get(name);
    let mut synonyms: Vec<SynonymRow> = below
        .iter()
        .map(|found| SynonymRow::of(found, false))
        .collect();
    if let Some(value) = own {
        let top = SynonymRow {
            name: name.to_owned(),
            value: Some(value.clone()),
            source,
        };
        synonyms.insert(0, top);
    }
    ConfigRow {
        name: name.to_owned(),
        value: Some(own.cloned().unwrap_or(inherited)),
        source: synonyms
            .first()
            .map_or(Source::Default, |first| first.source),
        kind: row.def.kind,
        read_only: false,
        sensitive: false,
        synonyms: if want.synonyms { synonyms } else { Vec::new() },
        documentation: want.documentation.then_some(row.def.doc),
    }
}

/// The settings of a broker.
pub fn broker(layers: &Layers<'_>, want: Want<'_>) -> Vec<ConfigRow> {
    let wanted = broker::rows().filter(|row| want.has(row.def.name));
    let mut rows: Vec<ConfigRow> = wanted.map(|row| broker_row(row, layers, want)).collect();
    rows.extend(listener_rows(layers, want));
    rows
}

fn broker_row(row: &BrokerRow, layers: &Layers<'_>, want: Want<'_>) -> ConfigRow {
    let name = row.def.name;
    let sensitive = row.def.sensitive();
    let every = layers.every(&broker::family(name));
    // A value under a stronger name doesn't count for this one.
    let from = every
        .iter()
        .position(|found| found.name == name)
        .unwrap_or(every.len());
    let synonyms: Vec<SynonymRow> = every[from..]
        .iter()
        .map(|f| SynonymRow::of(f, sensitive))
        .collect();
    ConfigRow {
        name: name.to_owned(),
        value: layers.get(name).filter(|_| !sensitive).map(str::to_owned),
        source: synonyms
            .first()
            .map_or(Source::Default, |first| first.source),
        kind: row.def.kind,
        read_only: row.update == Update::Fixed,
        sensitive,
        synonyms: if want.synonyms { synonyms } else { Vec::new() },
        documentation: want.documentation.then_some(row.def.doc),
    }
}

/// The dynamic settings of the whole cluster: only those that are set, as Kafka answers for the
/// broker named "".
pub fn cluster(settings: &Overrides, want: Want<'_>) -> Vec<ConfigRow> {
    set_rows(settings, Source::DynamicCluster, want, |_| true)
}

/// Settings of single listeners are in no table; they are shown where they are set.
fn listener_rows(layers: &Layers<'_>, want: Want<'_>) -> Vec<ConfigRow> {
    let of_listener = |name: &str| name.starts_with("listener.name.");
    let mut rows = set_rows(layers.node, Source::DynamicNode, want, of_listener);
    for (settings, source) in [
        (layers.cluster, Source::DynamicCluster),
        (layers.fixed, Source::Static),
    ] {
        for row in set_rows(settings, source, want, of_listener) {
            if rows.iter().all(|above| above.name != row.name) {
                rows.push(row);
            }
        }
    }
    rows
}

fn set_rows(
    settings: &Overrides,
    source: Source,
    want: Want<'_>,
    matching: impl Fn(&str) -> bool,
) -> Vec<ConfigRow> {
    let wanted = settings
        .iter()
        .filter(|(name, _)| want.has(name) && matching(name));
    let known = wanted.filter_map(|(name, value)| Some((name, value, broker::lookup(name)?)));
    let row = |(name, value, row): (&String, &String, &'static BrokerRow)| {
        let shown = (!row.def.sensitive()).then(|| value.clone());
        let synonym = SynonymRow {
            name: name.clone(),
            value: shown.clone(),
            source,
        };
        ConfigRow {
            name: name.clone(),
            value: shown,
            source,
            kind: row.def.kind,
            read_only: row.update == Update::Fixed,
            sensitive: row.def.sensitive(),
            synonyms: if want.synonyms {
                vec![synonym]
            } else {
                Vec::new()
            },
            documentation: want.documentation.then_some(row.def.doc),
        }
    };
    known.map(row).collect()
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
