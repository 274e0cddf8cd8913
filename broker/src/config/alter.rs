//! Changing a set of overrides: IncrementalAlterConfigs' four operations.

use super::def::{ConfigError, Def, Kind, Overrides, appended, subtracted};

/// What to do with a setting; the codes are IncrementalAlterConfigs'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Give it a value (0).
    Set,
    /// Take its override away (1).
    Delete,
    /// Add entries to a list (2).
    Append,
    /// Take entries out of a list (3).
    Subtract,
}

impl Op {
    /// The operation of a request's code.
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }
}

/// One change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The setting.
    pub name: String,
    /// What to do.
    pub op: Op,
    /// The value or the entries; unused by [`Op::Delete`].
    pub value: Option<String>,
}

impl Change {
    /// Gives `name` the value `value`.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: Op::Set,
            value: Some(value.into()),
        }
    }

    /// Takes the override of `name` away.
    pub fn delete(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: Op::Delete,
            value: None,
        }
    }
}

/// `current` after `changes`. `find` gives a setting's definition and what it is without an
/// override, or says why the setting may not be changed. Values are checked for type and range,
/// not against each other.
pub(super) fn apply(
    current: &Overrides,
    changes: &[Change],
    find: impl Fn(&str) -> Result<(&'static Def, String), ConfigError>,
) -> Result<Overrides, ConfigError> {
    let mut next = current.clone();
    for change in changes {
        if change.op == Op::Delete {
            // A stored name that is no longer known can still be taken away.
            if next.remove(&change.name).is_none() {
                find(&change.name)?;
            }
            continue;
        }
        let (def, inherited) = find(&change.name)?;
        let value = change.value.as_deref().ok_or_else(|| ConfigError::Null {
            scope: "altered",
            name: change.name.clone(),
        })?;
        let before = next.get(&change.name).unwrap_or(&inherited);
        let value = match change.op {
            Op::Append => list_op(def, &change.name, "APPEND", || appended(before, value))?,
            Op::Subtract => list_op(def, &change.name, "SUBTRACT", || subtracted(before, value))?,
            Op::Set | Op::Delete => value.to_owned(),
        };
        def.check(&value)?;
        next.insert(change.name.clone(), value);
    }
    Ok(next)
}

fn list_op(
    def: &Def,
    name: &str,
    op: &'static str,
    result: impl FnOnce() -> String,
) -> Result<String, ConfigError> {
    if def.kind == Kind::List {
        Ok(result())
    } else {
        Err(ConfigError::NotAList {
            op,
            name: name.to_owned(),
        })
    }
}
