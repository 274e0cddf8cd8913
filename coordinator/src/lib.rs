//! What coordinators have in common: each keeps its state as records in one partition of a compacted
//! internal topic, and this crate names what goes in and out of such a state machine.
//!
//! A [`Core`] is asked, and gives an [`Out`]: records to append to its partition, answers, and effects.
//! Its own state has what the records say by the time it returns. The shell around it appends the records
//! in order and holds the answers and effects of a step back until everything the partition's log
//! had at the end of that step is committed. If a record can't be appended or its leadership is lost,
//! the shell drops the core, and whoever waits is told so; the next one is made from the log.
//!
//! Nothing here may read a clock, draw a random number, or do any I/O.

mod placement;
mod record;
pub mod wire;
mod world;

pub use placement::{java_hash, partition_for};
pub use record::{Batch, Record, Replayed};
pub use world::{Now, Topic, Topics, World};

/// Who asked: the shell's number for an answer that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What came of one step of a core.
#[derive(Debug)]
pub struct Out<C: Core + ?Sized> {
    /// To be appended to the partition in this order, each as one record batch.
    pub batches: Vec<Batch>,
    /// Answers, once what is in the log by then is committed.
    pub replies: Vec<(Token, C::Reply)>,
    /// To be done, once what is in the log by then is committed.
    pub effects: Vec<C::Effect>,
}

impl<C: Core + ?Sized> Default for Out<C> {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            replies: Vec::new(),
            effects: Vec::new(),
        }
    }
}

impl<C: Core + ?Sized> Out<C> {
    /// Adds a record to the last batch that isn't of a transaction, or begins one.
    pub fn write(&mut self, record: Record) {
        match self.batches.last_mut() {
            Some(batch) if batch.producer.is_none() => batch.records.push(record),
            _ => self.batches.push(Batch {
                producer: None,
                records: vec![record],
            }),
        }
    }

    /// Answers somebody.
    pub fn reply(&mut self, to: Token, reply: C::Reply) {
        self.replies.push((to, reply));
    }
}

/// One coordinator's state: that of one partition of an internal topic.
///
/// Made empty, it is given all records of the partition's log ([`replay`](Self::replay),
/// [`transaction_ended`](Self::transaction_ended)), then [`loaded`](Self::loaded), and from then on is
/// asked.
pub trait Core: 'static {
    /// What it can be asked.
    type Ask;
    /// What it answers.
    type Reply;
    /// What it wants done elsewhere.
    type Effect;
    /// Its settings.
    type Settings;

    /// A coordinator that knows nothing.
    fn new(settings: Self::Settings) -> Self;

    /// Takes new settings.
    fn set_settings(&mut self, settings: Self::Settings);

    /// Takes a record of the partition's log. One that can't be read is passed over: it is told
    /// why, for the operator.
    ///
    /// # Errors
    /// What is wrong with the record.
    fn replay(&mut self, record: &Replayed<'_>) -> Result<(), String>;

    /// Takes the end of a producer's transaction in this partition: while replaying, and afterwards when
    /// its marker has been appended.
    fn transaction_ended(&mut self, producer_id: i64, producer_epoch: i16, committed: bool);

    /// All of the log has been replayed: the first timers begin.
    fn loaded(&mut self, world: &mut World<'_>, out: &mut Out<Self>);

    /// Answers a question, now or later.
    fn ask(&mut self, world: &mut World<'_>, from: Token, ask: Self::Ask, out: &mut Out<Self>);

    /// Does what is due by now. May be called at any time.
    fn tick(&mut self, world: &mut World<'_>, out: &mut Out<Self>);

    /// When the next [`tick`](Self::tick) is due, in milliseconds of [`Now::mono_ms`]; `None` if nothing
    /// is waited for.
    fn deadline(&self) -> Option<u64>;
}
