//! A network that loses, repeats, delays and reorders.

use crate::tests::log::Record;
use crate::{Answer, Follow, Moved, Progress, Records, Sender};

/// What a packet carries.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Follow(Follow),
    Progress(Progress),
    Answer(Answer),
    Records(Records, Vec<Record>),
    Moved(Moved),
    Alive,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) from: Sender,
    pub(super) to: i32,
    pub(super) body: Body,
}
