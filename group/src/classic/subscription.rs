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
    let mut ahead = fields;
    match ahead.i32()? {
        -1 => Ok(()),
        _ => fields.bytes().map(|_| ()),
    }
}
