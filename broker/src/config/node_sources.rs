//! A node's settings as they are given, before they mean anything: collected from file,
//! environment and flags, each name known, each value with the place it comes from. What is given
//! later replaces what was given before.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::broker;
use super::def::nearest;
use super::node::{NodeError, OWN};

/// The place a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
    /// This flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value as it was given: a text, or a list of texts where the file or repeated flags have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    One(String),
    Many(Vec<String>),
}

impl Given {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Many(texts) => texts.join(","),
        }
    }

    pub(crate) fn list(&self) -> Vec<String> {
        match self {
            Self::One(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            Self::Many(texts) => texts.clone(),
        }
    }
}

/// Everything a node may be told, unread.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file and its text.
    pub file: Option<(PathBuf, String)>,
    /// The environment; variables that don't begin with `OTTLA_` are passed over.
    pub env: Vec<(String, String)>,
    /// Flags of our own settings: the setting's name and its values.
    pub flags: Vec<(&'static str, Vec<String>)>,
    /// `--set name=value`, split.
    pub sets: Vec<(String, String)>,
}

/// The values in force, by name: our own settings and Kafka's.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) values: BTreeMap<String, (Given, Origin)>,
}

impl Collected {
    pub(crate) fn from(sources: Sources) -> Result<Self, NodeError> {
        let mut collected = Self::default();
        if let Some((path, text)) = sources.file {
            collected.add(read_file(path, &text)?)?;
        }
        collected.add(read_env(sources.env)?)?;
        collected.add(read_flags(sources.flags, sources.sets)?)?;
        Ok(collected)
    }

    /// One layer over those before it; within a layer a setting is given once, by one of its names.
    fn add(&mut self, layer: Vec<(String, Given, Origin)>) -> Result<(), NodeError> {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for (name, given, origin) in layer {
            let (own, given) = own_name(&name, given, &origin)?;
            if let Some(before) = seen.insert(own.clone(), name.clone()) {
                return Err(NodeError::Twice {
                    first: before,
                    second: name,
                });
            }
            self.values.insert(own, (given, origin));
        }
        Ok(())
    }
}

/// Kafka's names for what are settings of our own give those; every other name stays.
fn own_name(name: &str, given: Given, origin: &Origin) -> Result<(String, Given), NodeError> {
    let own = match name {
        "node.id" | "broker.id" => "node_id",
        "log.dirs" | "log.dir" => "data_dirs",
        "listeners" | "advertised.listeners" => {
            let invalid = |why: &str| NodeError::Invalid {
                name: name.to_owned(),
                value: given.text(),
                origin: origin.to_string(),
                why: why.to_owned(),
            };
            let text = given.text();
            let address = text
                .trim()
                .strip_prefix("PLAINTEXT://")
                .filter(|rest| !rest.contains(','));
            let address =
                address.ok_or_else(|| invalid("there is one listener, PLAINTEXT://host:port"))?;
            let address = match address.strip_prefix(':') {
                Some(port) if name == "listeners" => format!("0.0.0.0:{port}"),
                _ => address.to_owned(),
            };
            let own = if name == "listeners" {
                "listen"
            } else {
                "advertise"
            };
            return Ok((own.to_owned(), Given::One(address)));
        }
        other => other,
    };
    Ok((own.to_owned(), given))
}

/// The full name of a known setting, ours or Kafka's.
fn known(name: &str, place: &str) -> Result<(), NodeError> {
    if OWN.iter().any(|own| own.name == name) || broker::lookup(name).is_some() {
        return Ok(());
    }
    let names = OWN
        .iter()
        .map(|own| own.name)
        .chain(broker::rows().map(|row| row.def.name));
    Err(NodeError::Unknown {
        place: place.to_owned(),
        name: name.to_owned(),
        nearest: nearest(name, names).map(str::to_owned),
    })
}

fn read_file(path: PathBuf, text: &str) -> Result<Vec<(String, Given, Origin)>, NodeError> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| NodeError::Toml {
            path: path.clone(),
            why: error.to_string().trim_end().to_owned(),
        })?;
    let mut flat = Vec::new();
    flatten("", table, &mut flat);
    let place = path.display().to_string();
    let origin = Origin::File(path);
    let mut layer = Vec::new();
    for (name, value) in flat {
        let name = name.strip_prefix("kafka.").unwrap_or(&name).to_owned();
        known(&name, &place)?;
        let given = scalar_or_list(value).ok_or_else(|| NodeError::Invalid {
            name: name.clone(),
            value: "a table or a date".to_owned(),
            origin: place.clone(),
            why: "expected a text, a number, true or false, or a list of those".to_owned(),
        })?;
        layer.push((name, given, origin.clone()));
    }
    Ok(layer)
}

/// `log.retention.ms = 1` without quotes is three tables to TOML and one name to us.
fn flatten(prefix: &str, table: toml::Table, into: &mut Vec<(String, toml::Value)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => flatten(&name, inner, into),
            toml::Value::Table(_) => {}
            other => into.push((name, other)),
        }
    }
}

fn scalar_or_list(value: toml::Value) -> Option<Given> {
    match value {
        toml::Value::Array(values) => {
            let texts: Option<Vec<String>> = values.into_iter().map(scalar).collect();
            texts.map(Given::Many)
        }
        other => scalar(other).map(Given::One),
    }
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// What `ottla`'s other commands read, and what Kubernetes sets for a service that is called
/// `ottla`.
fn not_a_setting(name: &str) -> bool {
    name == "CONFIG"
        || name == "BROKERS"
        || name == "PORT"
        || name.starts_with("PORT_")
        || name.starts_with("SERVICE_")
}

/// The environment variable of a setting.
pub fn env_name(name: &str) -> String {
    let kafka = if OWN.iter().any(|own| own.name == name) {
        ""
    } else {
        "KAFKA_"
    };
    format!(
        "OTTLA_{kafka}{}",
        name.replace('.', "_").to_ascii_uppercase()
    )
}

fn read_env(env: Vec<(String, String)>) -> Result<Vec<(String, Given, Origin)>, NodeError> {
    let mut layer = Vec::new();
    for (variable, value) in env {
        let Some(rest) = variable.strip_prefix("OTTLA_") else {
            continue;
        };
        if not_a_setting(rest) {
            continue;
        }
        let name = env_setting(&variable, rest)?;
        layer.push((name.to_owned(), Given::One(value), Origin::Env(variable)));
    }
    // The order of an environment means nothing; errors should not depend on it.
    layer.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(layer)
}

fn env_setting(variable: &str, rest: &str) -> Result<&'static str, NodeError> {
    let wanted = rest.strip_prefix("KAFKA_");
    let kafka = broker::rows().map(|row| row.def.name);
    let own = OWN.iter().map(|own| own.name);
    let matches = |name: &&str| env_name(name) == variable;
    let found = match wanted {
        Some(_) => kafka.clone().find(matches),
        None => own.clone().find(matches),
    };
    found.ok_or_else(|| {
        let lower = wanted.unwrap_or(rest).to_ascii_lowercase();
        let near = match wanted {
            Some(_) => nearest(&lower.replace('_', "."), kafka),
            None => nearest(&lower, own).or_else(|| nearest(&lower.replace('_', "."), kafka)),
        };
        NodeError::Unknown {
            place: "the environment".to_owned(),
            name: variable.to_owned(),
            nearest: near.map(env_name),
        }
    })
}

fn read_flags(
    flags: Vec<(&'static str, Vec<String>)>,
    sets: Vec<(String, String)>,
) -> Result<Vec<(String, Given, Origin)>, NodeError> {
    let mut layer = Vec::new();
    for (name, values) in flags {
        let flag = OWN
            .iter()
            .find(|own| own.name == name)
            .map_or(name, |own| own.flag);
        layer.push((
            name.to_owned(),
            Given::Many(values),
            Origin::Flag(flag.to_owned()),
        ));
    }
    for (name, value) in sets {
        known(&name, "--set")?;
        if let Some(own) = OWN.iter().find(|own| own.name == name) {
            return Err(NodeError::OwnFlag {
                name,
                flag: own.flag,
            });
        }
        layer.push((name, Given::One(value), Origin::Flag("--set".to_owned())));
    }
    Ok(layer)
}
