//! What consumers of the classic protocol say that they are subscribed to: `ConsumerProtocolSubscription`,
//! of which version 0 is the beginning of every version.

use std::collections::BTreeSet;

use coordinator::wire::{Malformed, Reader};

use crate::step::Name;

/// The topics that any of these wants; `None` if one of them isn't understood.
pub(super) fn topics<'a>(subscriptions: impl Iterator<Item = &'a [u8]>) -> Option<BTreeSet<Name>> {
    let mut topics: BTreeSet<Name> = BTreeSet::new();
    for subscription in subscriptions {
        each_topic(subscription, |topic| {
            if !topics.contains(topic) {
                topics.insert(topic.into());
            }
        })
        .ok()?;
    }
    Some(topics)
}

fn each_topic(subscription: &[u8], mut each: impl FnMut(&str)) -> Result<(), Malformed> {
    let mut fields = Reader::new(subscription);
    let version = fields.i16()?;
    if version < 0 {
        return Err(Malformed::Length(i64::from(version)));
    }
    for _ in 0..fields.array()? {
        each(fields.string()?);
    }
    fields.nullable_bytes()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(subscriptions: &[&[u8]]) -> Option<Vec<String>> {
        let topics = topics(subscriptions.iter().copied())?;
        Some(topics.iter().map(|topic| topic.to_string()).collect())
    }

    #[test]
    fn any_version_is_read_as_far_as_it_is_needed() {
        let oldest = b"\0\0\0\0\0\x02\0\x01a\0\x01b\xff\xff\xff\xff";
        let newest = b"\0\x09\0\0\0\x01\0\x01c\0\0\0\x01xwhatever follows";
        let both = named(&[oldest, newest]);
        assert_eq!(both, Some(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(named(&[]), Some(Vec::new()));
    }

    #[test]
    fn one_that_is_not_understood_makes_all_unknown() {
        let good = b"\0\0\0\0\0\x01\0\x01a\xff\xff\xff\xff";
        let bad: [&[u8]; 5] = [
            b"",
            b"\xff\xff\0\0\0\0\xff\xff\xff\xff",
            b"\0\0\x7f\xff\xff\xff",
            b"\0\0\0\0\0\x01\0\x01a",
            b"\0\0\0\0\0\x01\0\x01a\0\0\0\x05xx",
        ];
        for bad in bad {
            assert_eq!(named(&[good, bad]), None, "{bad:?}");
        }
    }
}
