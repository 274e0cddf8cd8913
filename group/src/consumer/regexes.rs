//! Subscriptions by regular expression, in the syntax of RE2, matched against whole names of topics.

use std::collections::BTreeSet;

use coordinator::World;
use kafka_protocol::ResponseError;
use regex::{Regex, RegexBuilder};

use super::record::Resolved;
use super::{Change, ConsumerGroup, Refusal, Step};

/// The most memory that an expression may need once compiled, in bytes.
const COMPILED_MAX: usize = 1 << 20;
/// How many names may be matched for each millisecond to the next time.
const MATCHED_PER_MS: u64 = 50;

/// RE2 has quoting, `\Q…\E`, which the crate doesn't: the characters are escaped one by one.
fn unquote(regex: &str) -> String {
    let mut plain = String::with_capacity(regex.len());
    let mut rest = regex;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(quoted) = after.strip_prefix('Q') {
            let (text, behind) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            plain.push_str(&regex::escape(text));
            rest = behind;
        } else {
            let length = after.chars().next().map_or(0, char::len_utf8);
            plain.push_str(&rest[at..=at + length]);
            rest = &after[length..];
        }
    }
    plain.push_str(rest);
    plain
}

fn build(regex: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(regex)
        .size_limit(COMPILED_MAX)
        .dfa_size_limit(COMPILED_MAX)
        .build()
}

/// The expression for whole names.
fn compile(regex: &str) -> Result<Regex, regex::Error> {
    let plain = unquote(regex);
    // By itself first: `a)|(?:b` is one only between the parentheses.
    build(&plain)?;
    build(&format!("\\A(?:{plain})\\z"))
}

/// What an expression means now.
fn resolve(world: &World<'_>, regex: &str) -> (Resolved, u64) {
    let mut topics = BTreeSet::new();
    let mut seen = 0;
    // What is written in the log compiled once. If it doesn't here, it matches nothing.
    if let Ok(regex) = compile(regex) {
        world.topics.each(&mut |topic| {
            seen += 1;
            if regex.is_match(topic) {
                topics.insert(topic.to_owned());
            }
        });
    }
    let resolved = Resolved {
        topics,
        version: world.topics.version(),
        timestamp_ms: world.now.wall_ms,
    };
    (resolved, seen)
}

/// Refuses what is no expression.
pub(super) fn check(regex: &str) -> Result<(), Refusal> {
    compile(regex).map(drop).map_err(|error| {
        let message =
            format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {error}.");
        Refusal::new(ResponseError::InvalidRegularExpression, message)
    })
}

impl ConsumerGroup {
    /// Refuses an expression that nobody has yet if it isn't one.
    pub(super) fn check_regex(&self, regex: &str) -> Result<(), Refusal> {
        if regex.is_empty() || self.counts.regexes.contains_key(regex) {
            return Ok(());
        }
        check(regex)
    }

    /// Forgets what an expression means if nobody has it any more.
    pub(super) fn drop_regex_if_unused(&mut self, step: &mut Step<'_, '_>, regex: &str) {
        if self.regexes.contains_key(regex) && !self.counts.regexes.contains_key(regex) {
            self.change(step, Change::Regex(regex.to_owned(), None));
        }
    }

    /// Finds out what the members' expressions mean: new ones at once, the others when there are other
    /// topics, though not too often. `true`: one means something else now.
    pub(super) fn resolve_regexes(&mut self, step: &mut Step<'_, '_>) -> bool {
        if self.counts.regexes.is_empty() {
            return false;
        }
        let version = step.world.topics.version();
        let now = step.world.now.mono_ms;
        let all = self.regexes_version != Some(version) && now >= self.regexes_after_ms;
        if !all && self.regexes.len() == self.counts.regexes.len() {
            return false;
        }
        let mut changed = false;
        let mut seen = 0;
        let regexes: Vec<String> = self.counts.regexes.keys().cloned().collect();
        for regex in regexes {
            let old = self.regexes.get(&regex);
            if old.is_some() && !all {
                continue;
            }
            let (resolved, names) = resolve(step.world, &regex);
            seen += names;
            if old.is_none_or(|old| old.topics != resolved.topics) {
                changed = true;
                self.change(step, Change::Regex(regex, Some(resolved)));
            }
        }
        if all {
            self.regexes_version = Some(version);
        }
        self.regexes_after_ms = now + seen / MATCHED_PER_MS;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_whole_names() {
        let matches = |regex: &str, name: &str| compile(regex).is_ok_and(|it| it.is_match(name));
        assert!(matches("foo.*", "foobar"));
        assert!(matches("a|bc", "bc"));
        assert!(!matches("a|bc", "abc"));
        assert!(!matches("oo", "foo"));
        assert!(matches(r"\Qa.b\E.", "a.bc"));
        assert!(!matches(r"\Qa.b\E.", "axbc"));
        assert!(matches(r"\d+\.\w", "12.x"));
        assert!(!matches("a\n", "a"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for hostile in [
            "(",
            "a)|(?:b",
            "[",
            "*",
            "(a{1000}){1000}",
            r"a\",
            r"(?<=a)b",
            r"(a)\1",
        ] {
            assert!(compile(hostile).is_err(), "{hostile}");
        }
        assert!(compile(&"(".repeat(100_000)).is_err());
    }
}
