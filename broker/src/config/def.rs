//! What every setting has in common: a type, a default, a range, a text. Parsing and checking one
//! value, with the messages Kafka's own `ConfigDef` gives, because tools and tests match on them.
//!
//! Pure: no files, no environment. The tables themselves are in [`super::topic`] and
//! [`super::broker`].

use std::collections::BTreeMap;
use std::fmt;

/// Settings by name, as they are stored and sent: text.
pub type Overrides = BTreeMap<String, String>;

/// The type of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// Free text.
    Text,
    /// 32-bit integer.
    Int,
    /// 16-bit integer.
    Short,
    /// 64-bit integer.
    Long,
    /// 64-bit floating point.
    Double,
    /// Comma-separated texts.
    List,
    /// A Java class name; kept for the tools that read it.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// The code DescribeConfigs v3 and later sends.
    pub const fn code(self) -> i8 {
        match self {
            Self::Bool => 1,
            Self::Text => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// The name Kafka's documentation uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Text => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
    }
}

/// What a value must satisfy beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Nothing more.
    Any,
    /// A number not below this.
    AtLeast(i64),
    /// A number within these bounds, both included.
    Within(i64, i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list whose every entry is one of these texts.
    EachOf(&'static [&'static str]),
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
}

/// Whether a setting changes what the broker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes behaviour.
    Honoured,
    /// It is checked, stored and shown, and changes nothing.
    Stored,
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Def {
    /// Kafka's name for it.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The default; none where Kafka has null.
    pub default: Option<&'static str>,
    /// The range.
    pub rule: Rule,
    /// Whether it does anything here.
    pub effect: Effect,
    /// What it means, in a sentence.
    pub doc: &'static str,
}

/// Why a setting was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No setting has this name.
    #[error("Unknown {scope} config name: {name}{}", did_you_mean(*.nearest))]
    Unknown {
        /// "topic", "group" or "broker".
        scope: &'static str,
        /// The name that was given.
        name: String,
        /// The known name closest to it.
        nearest: Option<&'static str>,
    },
    /// The value is of the wrong type or out of range.
    #[error("Invalid value {value} for configuration {name}: {why}")]
    Invalid {
        /// The setting.
        name: String,
        /// The value that was given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value is needed.
    #[error("Null value not supported for {scope} configs: {name}")]
    Null {
        /// "topic" or "broker".
        scope: &'static str,
        /// The setting.
        name: String,
    },
    /// A broker setting that only a restart changes.
    #[error(
        "Cannot update these configs dynamically: Set({name}); set it in the configuration file and restart"
    )]
    ReadOnly {
        /// The setting.
        name: String,
    },
    /// A setting of one broker, given for the whole cluster.
    #[error(
        "Cannot update these configs at default cluster level, broker id must be specified: Set({name})"
    )]
    PerBroker {
        /// The setting.
        name: String,
    },
    /// Two settings that exclude each other.
    #[error("{0}")]
    Conflict(String),
}

pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

impl Def {
    /// Checks type and range of `value`.
    pub fn check(&self, value: &str) -> Result<(), ConfigError> {
        let refuse = |why: String| {
            let value = if self.kind == Kind::Password {
                "[hidden]"
            } else {
                value
            };
            Err(ConfigError::Invalid {
                name: self.name.to_owned(),
                value: value.to_owned(),
                why,
            })
        };
        match self.problem(value.trim()) {
            Some(why) => refuse(why),
            None => Ok(()),
        }
    }

    fn problem(&self, value: &str) -> Option<String> {
        match self.kind {
            Kind::Bool => parse_bool(value)
                .is_none()
                .then(|| "Expected value to be either true or false".to_owned()),
            Kind::Int => self.number(value, "INT", i64::from(i32::MIN), i64::from(i32::MAX)),
            Kind::Short => self.number(value, "SHORT", i64::from(i16::MIN), i64::from(i16::MAX)),
            Kind::Long => self.number(value, "LONG", i64::MIN, i64::MAX),
            Kind::Double => self.double(value),
            Kind::List => self.list(value),
            Kind::Text | Kind::Class | Kind::Password => self.text(value),
        }
    }

    fn number(&self, value: &str, kind: &str, min: i64, max: i64) -> Option<String> {
        match value.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => match self.rule {
                Rule::AtLeast(low) | Rule::Within(low, _) if number < low => {
                    Some(format!("Value must be at least {low}"))
                }
                Rule::Within(_, high) if number > high => {
                    Some(format!("Value must be no more than {high}"))
                }
                _ => None,
            },
            _ => Some(format!("Not a number of type {kind}")),
        }
    }

    fn double(&self, value: &str) -> Option<String> {
        match value.parse::<f64>() {
            Ok(number) if number.is_finite() => match self.rule {
                Rule::AtLeast(low) | Rule::Within(low, _) if number < low as f64 => {
                    Some(format!("Value must be at least {low}"))
                }
                Rule::Within(_, high) if number > high as f64 => {
                    Some(format!("Value must be no more than {high}"))
                }
                _ => None,
            },
            _ => Some("Not a number of type DOUBLE".to_owned()),
        }
    }

    fn list(&self, value: &str) -> Option<String> {
        let mut entries = split_list(value);
        match self.rule {
            Rule::EachOf(allowed) => {
                let bad = entries.find(|entry| !allowed.contains(entry));
                bad.map(|_| format!("String must be one of: {}", allowed.join(", ")))
            }
            Rule::ThrottledReplicas => {
                let fits = value == "*" || entries.all(is_partition_and_broker);
                (!fits).then(|| {
                    "must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                        .to_owned()
                })
            }
            _ => None,
        }
    }

    fn text(&self, value: &str) -> Option<String> {
        match self.rule {
            Rule::OneOf(allowed) if !allowed.contains(&value) => {
                Some(format!("String must be one of: {}", allowed.join(", ")))
            }
            _ => None,
        }
    }

    /// The valid values in words; empty where every value of the type is valid.
    pub fn range(&self) -> String {
        match self.rule {
            Rule::Any => String::new(),
            Rule::AtLeast(low) => format!("{low} or more"),
            Rule::Within(low, high) => format!("{low} to {high}"),
            Rule::OneOf(allowed) => allowed.join(", "),
            Rule::EachOf(allowed) => format!("any of {}", allowed.join(", ")),
            Rule::ThrottledReplicas => "`*` or partition:broker,…".to_owned(),
        }
    }

    /// Whether its value is never shown.
    pub fn sensitive(&self) -> bool {
        self.kind == Kind::Password
    }
}

impl fmt::Display for Def {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn is_partition_and_broker(entry: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    entry
        .split_once(':')
        .is_some_and(|(partition, broker)| digits(partition) && digits(broker))
}

/// Reads a boolean as Kafka does: either word in any case.
pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The entries of a list value, without the blanks around them.
pub(crate) fn split_list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// The known name that is closest to `name`, if one is close enough to be what was meant.
pub fn nearest(name: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let scored = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let best = scored.fold(None, |best: Option<(f64, &'static str)>, next| match best {
        Some(best) if best.0 >= next.0 => Some(best),
        _ => Some(next),
    });
    best.filter(|(score, _)| *score >= 0.75)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def(kind: Kind, rule: Rule) -> Def {
        Def {
            name: "a.setting",
            kind,
            default: None,
            rule,
            effect: Effect::Stored,
            doc: "",
        }
    }

    fn why(def: &Def, value: &str) -> String {
        def.check(value).unwrap_err().to_string()
    }

    #[test]
    fn values_of_the_wrong_type_get_kafkas_words() {
        let int = def(Kind::Int, Rule::AtLeast(1));
        assert_eq!(
            why(&int, "x"),
            "Invalid value x for configuration a.setting: Not a number of type INT"
        );
        assert!(why(&int, "2147483648").ends_with("Not a number of type INT"));
        assert!(why(&int, "0").ends_with("Value must be at least 1"));
        assert_eq!(int.check(" 7 "), Ok(()));
        assert!(why(&def(Kind::Short, Rule::Any), "32768").ends_with("SHORT"));
        assert!(why(&def(Kind::Bool, Rule::Any), "yes").ends_with("either true or false"));
        assert_eq!(def(Kind::Bool, Rule::Any).check("TRUE"), Ok(()));
        assert!(why(&def(Kind::Double, Rule::Within(0, 1)), "1.5").ends_with("no more than 1"));
        assert!(why(&def(Kind::Double, Rule::Within(0, 1)), "NaN").ends_with("DOUBLE"));
        assert!(why(&def(Kind::Int, Rule::Within(1, 9)), "10").ends_with("no more than 9"));
        assert!(
            why(&def(Kind::Text, Rule::OneOf(&["a", "b"])), "c")
                .ends_with("String must be one of: a, b")
        );
    }

    #[test]
    fn lists_are_checked_entry_by_entry() {
        let policy = def(Kind::List, Rule::EachOf(&["compact", "delete"]));
        assert_eq!(policy.check("delete, compact"), Ok(()));
        assert!(why(&policy, "delete,keep").ends_with("String must be one of: compact, delete"));
        let throttled = def(Kind::List, Rule::ThrottledReplicas);
        assert_eq!(throttled.check("*"), Ok(()));
        assert_eq!(throttled.check("0:1,1:2"), Ok(()));
        assert_eq!(throttled.check(""), Ok(()));
        assert!(throttled.check("0:1,x").is_err());
    }

    #[test]
    fn a_password_is_not_repeated_in_an_error() {
        let secret = def(Kind::Password, Rule::OneOf(&["x"]));
        assert!(!why(&secret, "hunter2").contains("hunter2"));
    }

    #[test]
    fn the_nearest_name_is_close_or_absent() {
        let known = ["retention.ms", "retention.bytes", "segment.ms"];
        assert_eq!(nearest("retension.ms", known), Some("retention.ms"));
        assert_eq!(nearest("zzz", known), None);
    }
}
