//! The notation the tables of settings are written in: one line for what is checked, one for what
//! it means.

/// One [`super::def::Def`]: `"name", Kind, default, Rule, Effect, "meaning"`, with `null` where
/// Kafka has no default.
macro_rules! def {
    ($name:literal, $kind:ident, $default:tt, $rule:expr, $effect:ident, $doc:literal) => {
        $crate::config::def::Def {
            name: $name,
            kind: $crate::config::def::Kind::$kind,
            default: $crate::config::table::default_of!($default),
            rule: $rule,
            effect: $crate::config::def::Effect::$effect,
            doc: $doc,
        }
    };
}

/// A default as the tables write it: a literal, or `null`.
macro_rules! default_of {
    (null) => {
        None
    };
    ($default:literal) => {
        Some($default)
    };
}

pub(crate) use def;
pub(crate) use default_of;
