//! The coordinator's side: connections to workers, and the crew of a line that they are.

use std::collections::{BTreeSet, VecDeque};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::clock::Seen;
use super::wire::{
    ALIVE, FromWorker, GREETING, Greeting, Hello, Outgoing, PROGRAM, ToWorker, WireError, greeted,
    introduce, meet, receive, same_program, stranger,
};
use crate::driver::Target;
use crate::engine::stop::Wanted;
use crate::engine::{Begin, Crew, Phase, Share};
use crate::machine;
use crate::measure::plan::UNKNOWN;
use crate::measure::recorder::own_clock_ns;
use crate::measure::tick::{Role, Said};
use crate::results::Worker;
use crate::workload::Workload;

/// How long a worker may take to open a driver, after ending what it did before.
const OPEN: Duration = Duration::from_secs(20);
/// How long a worker may take to say what time it is.
const ANSWER: Duration = Duration::from_secs(5);
/// Exchanges to know a clock by; where the way is long, as many as fit into [`CLOCK`], and [`LEAST`] at least.
const EXCHANGES: usize = 32;
const LEAST: usize = 5;
const CLOCK: Duration = Duration::from_millis(500);
/// Between telling workers to begin and the first record, beside the way there.
const LEAD_NS: u64 = 100_000_000;

/// What came of a connection to a worker.
struct Heard {
    member: usize,
    connection: u64,
    at_ns: u64,
    what: Result<FromWorker, WireError>,
}

/// How far a worker is in the phase that runs.
#[derive(Debug, Clone, Copy, Default)]
struct Far {
    acked: u64,
    read: u64,
}

/// A worker.
struct Member {
    address: String,
    host: String,
    same_machine: bool,
    /// None while it is lost.
    out: Option<Arc<Outgoing>>,
    /// Which connection to it this is: what comes of earlier ones is of no interest.
    connection: u64,
    clock: Seen,
    share: Share,
    running: BTreeSet<(Role, usize)>,
    far: Far,
    cpu_seconds: f64,
    /// Why it was lost.
    lost: String,
}

/// The workers of a run.
pub struct Workers {
    members: Vec<Member>,
    heard: Receiver<Heard>,
    to: Sender<Heard>,
    lines: u64,
    phases: u64,
    questions: u64,
}

fn dial(address: &str) -> Result<TcpStream, WireError> {
    let failed = |reason: String| WireError::Unreachable {
        address: address.to_owned(),
        reason,
    };
    let addresses = address.to_socket_addrs();
    let mut reason = "the name has no address".to_owned();
    for socket in addresses.map_err(|error| failed(error.to_string()))? {
        match TcpStream::connect_timeout(&socket, GREETING) {
            Ok(stream) => return Ok(stream),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(failed(reason))
}

/// Connects to a worker that will work for us.
fn connect(address: &str) -> Result<(TcpStream, Greeting), WireError> {
    let mut stream = dial(address)?;
    let hello = Hello {
        program: PROGRAM.to_owned(),
    };
    let named = |error: WireError| stranger(address, &error);
    introduce(&mut stream, &hello).map_err(named)?;
    meet(&mut stream, address)?;
    let (greeting, _) = receive::<Greeting>(&mut stream).map_err(named)?;
    same_program(&greeting.program, address)?;
    if let Some(with) = greeting.busy {
        return Err(WireError::Busy {
            address: address.to_owned(),
            with,
        });
    }
    greeted(&stream)?;
    Ok((stream, greeting))
}

/// Says now and then that the coordinator is there, as long as the connection is.
fn stay_alive(out: &Weak<Outgoing>) {
    loop {
        std::thread::sleep(ALIVE);
        let Some(out) = out.upgrade() else { return };
        if out.send(&ToWorker::Alive).is_err() {
            return;
        }
    }
}

impl Member {
    fn new(address: String) -> Self {
        Self {
            address,
            host: String::new(),
            same_machine: false,
            out: None,
            connection: 0,
            clock: Seen::default(),
            share: Share::default(),
            running: BTreeSet::new(),
            far: Far::default(),
            cpu_seconds: 0.0,
            lost: String::new(),
        }
    }

    fn connect(&mut self, number: usize, to: &Sender<Heard>) -> Result<(), WireError> {
        let (mut stream, greeting) = connect(&self.address)?;
        let out = Arc::new(Outgoing::new(stream.try_clone()?));
        let alive = Arc::downgrade(&out);
        self.connection += 1;
        let (connection, to) = (self.connection, to.clone());
        std::thread::Builder::new().spawn(move || stay_alive(&alive))?;
        std::thread::Builder::new().spawn(move || {
            loop {
                let (what, at_ns) = match receive::<FromWorker>(&mut stream) {
                    Ok((what, at_ns)) => (Ok(what), at_ns),
                    Err(error) => (Err(error), 0),
                };
                let ends = what.is_err();
                let heard = Heard {
                    member: number,
                    connection,
                    at_ns,
                    what,
                };
                if to.send(heard).is_err() || ends {
                    return;
                }
            }
        })?;
        self.same_machine = !greeting.boot.is_empty() && greeting.boot == machine::boot_id();
        self.host = greeting.host;
        self.out = Some(out);
        Ok(())
    }

    /// Tells it something; one that cannot be told is lost.
    fn tell(&mut self, what: &ToWorker) -> Result<(), String> {
        let Some(out) = &self.out else {
            return Err(self.lost.clone());
        };
        out.send(what).map_err(|error| self.lose(&error))
    }

    /// Gives it up; the first reason is the one that counts.
    fn lose(&mut self, why: &WireError) -> String {
        if self.out.is_none() {
            return self.lost.clone();
        }
        self.lost = format!("worker {} ({}) was lost: {why}", self.address, self.host);
        self.out = None;
        self.lost.clone()
    }

    /// What its threads say when it is lost.
    fn last_words(&mut self) -> Vec<Said> {
        let why = self.lost.clone();
        let running = std::mem::take(&mut self.running).into_iter();
        running
            .map(|(role, index)| Said::Ended(role, index, Some(why.clone())))
            .collect()
    }
}

impl Workers {
    /// Connects to the workers at these addresses, HOST:PORT.
    pub fn connect(addresses: &[String]) -> Result<Self, WireError> {
        let (to, heard) = channel();
        let members = addresses.iter().cloned().map(Member::new);
        let mut workers = Self {
            members: members.collect(),
            heard,
            to,
            lines: 0,
            phases: 0,
            questions: 0,
        };
        for (number, member) in workers.members.iter_mut().enumerate() {
            member.connect(number, &workers.to)?;
        }
        Ok(workers)
    }

    /// The crew of a line on this system. Workers that were lost are connected to again. The text says what
    /// is wrong, and which worker it is.
    pub fn line(&mut self, target: &Target, pin: bool) -> Result<Remote<'_>, String> {
        for (number, member) in self.members.iter_mut().enumerate() {
            if member.out.is_none() {
                let connected = member.connect(number, &self.to);
                connected.map_err(|error| error.to_string())?;
            }
        }
        self.lines += 1;
        let line = self.lines;
        for number in 0..self.members.len() {
            let clock = self.clock(number)?;
            let member = &mut self.members[number];
            member.clock = clock;
            member.share = Share::default();
            member.tell(&ToWorker::Line {
                line,
                target: target.clone(),
                pin,
                offset_ns: clock.offset_ns,
            })?;
            let why = self.wait_for(number, OPEN, |what, _| match what {
                FromWorker::Opened { line: opened, why } if *opened == line => Some(why.clone()),
                _ => None,
            })?;
            if let Some(why) = why {
                return Err(format!("worker {}: {why}", self.members[number].address));
            }
        }
        Ok(Remote {
            workers: self,
            workload: Arc::new(Workload::default()),
            phase: Phase::Live,
            zero_ns: UNKNOWN,
            said: VecDeque::new(),
        })
    }

    /// Measures a worker's clock.
    fn clock(&mut self, number: usize) -> Result<Seen, String> {
        let until = Instant::now() + CLOCK;
        let mut best: Option<Seen> = None;
        for exchange in 0..EXCHANGES {
            if exchange >= LEAST && Instant::now() > until {
                break;
            }
            self.questions += 1;
            let question = self.questions;
            let asked = own_clock_ns();
            self.members[number].tell(&ToWorker::Clock { number: question })?;
            let seen = self.wait_for(number, ANSWER, |what, heard| match what {
                FromWorker::Clock {
                    number,
                    received_ns,
                    answered_ns,
                } if *number == question => {
                    Some(Seen::of(asked, *received_ns, *answered_ns, heard))
                }
                _ => None,
            })?;
            if best.is_none_or(|best| seen.round_trip_ns < best.round_trip_ns) {
                best = Some(seen);
            }
        }
        let mut seen = best.unwrap_or_default();
        if seen.is_same_clock(self.members[number].same_machine) {
            seen.offset_ns = 0;
        }
        Ok(seen)
    }

    /// Waits for an answer of a worker, while no line runs: what threads of earlier lines say is dropped.
    fn wait_for<T>(
        &mut self,
        number: usize,
        patience: Duration,
        answer: impl Fn(&FromWorker, u64) -> Option<T>,
    ) -> Result<T, String> {
        let until = Instant::now() + patience;
        while self.members[number].out.is_some() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(heard) = self.heard.recv_timeout(left) else {
                return Err(self.members[number].lose(&WireError::Silent(patience)));
            };
            let member = &mut self.members[heard.member];
            if heard.connection != member.connection {
                continue;
            }
            match &heard.what {
                Err(why) => {
                    member.lose(why);
                }
                Ok(FromWorker::Leaving) => {
                    member.lose(&WireError::Left);
                }
                Ok(what) if heard.member == number => {
                    if let Some(answer) = answer(what, heard.at_ns) {
                        return Ok(answer);
                    }
                }
                Ok(_) => {}
            }
        }
        Err(self.members[number].lost.clone())
    }
}

/// The crew of a line, in other processes.
pub struct Remote<'a> {
    workers: &'a mut Workers,
    workload: Arc<Workload>,
    phase: Phase,
    zero_ns: u64,
    said: VecDeque<Said>,
}

/// How many of `records` fall to a process with `own` of `all` producers, of which `before` are those of
/// processes counted before: over all processes they make exactly `records`.
fn quota(records: u64, before: usize, own: usize, all: usize) -> u64 {
    let until = |producers: usize| {
        let part = u128::from(records) * producers as u128 / all.max(1) as u128;
        u64::try_from(part).unwrap_or(records)
    };
    until(before + own) - until(before)
}

impl Remote<'_> {
    /// Tells every worker that is there.
    fn tell_all(&mut self, what: &ToWorker) {
        for member in &mut self.workers.members {
            // One that cannot be told says so by its threads' last words.
            let _ = member.tell(what);
            if member.out.is_none() {
                self.said.extend(member.last_words());
            }
        }
    }

    /// What a thread says, if that is what was heard.
    fn take(&mut self, heard: Heard) -> Option<Said> {
        let member = &mut self.workers.members[heard.member];
        if heard.connection != member.connection {
            return None;
        }
        match heard.what {
            Err(why) => {
                member.lose(&why);
                self.said.extend(member.last_words());
            }
            Ok(FromWorker::Leaving) => {
                member.lose(&WireError::Left);
                self.said.extend(member.last_words());
            }
            Ok(FromWorker::Said { line, said }) if line == self.workers.lines => {
                if let Said::Ended(role, index, _) = &said {
                    member.running.remove(&(*role, *index));
                }
                return Some(said);
            }
            Ok(FromWorker::Progress {
                phase,
                acked,
                read,
                zero_ns,
                cpu_seconds,
            }) if phase == self.workers.phases => {
                member.far = Far { acked, read };
                member.cpu_seconds = cpu_seconds;
                self.zero_at(zero_ns);
            }
            Ok(_) => {}
        }
        None
    }

    /// In a worker second zero began then. Where the first consumer decides, all are told of the earliest.
    fn zero_at(&mut self, zero_ns: u64) {
        if self.phase == Phase::Stored && zero_ns < self.zero_ns {
            self.zero_ns = zero_ns;
            self.tell_all(&ToWorker::Zero(zero_ns));
        }
    }

    /// Ends the line, and says who did what, with which clock.
    pub fn end(self) -> Vec<Worker> {
        let count = self.workers.members.len();
        let after: Vec<Option<Seen>> = (0..count)
            .map(|number| self.workers.clock(number).ok())
            .collect();
        let members = self.workers.members.iter().zip(after);
        members
            .map(|(member, after)| {
                let clock = member.clock;
                let same_clock = clock.offset_ns == 0 && clock.is_same_clock(member.same_machine);
                Worker {
                    address: member.address.clone(),
                    host: member.host.clone(),
                    producers: member.share.producers.clone(),
                    consumers: member.share.consumers.clone(),
                    same_clock,
                    offset_ns: clock.offset_ns,
                    error_ns: if same_clock { 0 } else { clock.error_ns() },
                    round_trip_ns: clock.round_trip_ns,
                    offset_after_ns: after.map(|after| after.offset_ns),
                    round_trip_after_ns: after.map(|after| after.round_trip_ns),
                }
            })
            .collect()
    }
}

impl Crew for Remote<'_> {
    fn phase(&mut self, workload: &Arc<Workload>, phase: Phase) {
        self.workload = Arc::clone(workload);
        self.phase = phase;
        self.zero_ns = UNKNOWN;
        self.workers.phases += 1;
        let number = self.workers.phases;
        let count = self.workers.members.len();
        for (place, member) in self.workers.members.iter_mut().enumerate() {
            member.share = Share::of(workload, place, count);
            member.far = Far::default();
            // One that cannot be told is heard of when its threads are to start.
            let _ = member.tell(&ToWorker::Phase {
                number,
                workload: Box::new(Workload::clone(workload)),
                phase,
                share: member.share.clone(),
            });
        }
    }

    fn start(&mut self, role: Role) {
        for member in &mut self.workers.members {
            let numbers = match role {
                Role::Producer => &member.share.producers,
                Role::Consumer => &member.share.consumers,
            };
            member
                .running
                .extend(numbers.iter().map(|index| (role, *index)));
        }
        self.tell_all(&ToWorker::Start(role));
    }

    fn lead_ns(&self) -> u64 {
        let members = self.workers.members.iter();
        let trips = members.map(|member| member.clock.round_trip_ns);
        LEAD_NS + trips.max().unwrap_or(0)
    }

    fn begin(&mut self, begin: Begin) {
        self.zero_ns = begin.zero_ns;
        let all = self.workload.producers;
        let mut before = 0;
        for member in &mut self.workers.members {
            let own = member.share.producers.len();
            let records = begin
                .records
                .map(|all_of_them| quota(all_of_them, before, own, all));
            before += own;
            // One that cannot be told says so by its threads' last words, with the next that is heard.
            let _ = member.tell(&ToWorker::Begin(Begin { records, ..begin }));
            if member.out.is_none() {
                self.said.extend(member.last_words());
            }
        }
    }

    fn stop(&mut self, role: Role, wanted: Wanted) {
        self.tell_all(&ToWorker::Stop(role, wanted));
    }

    fn zero_ns(&self) -> u64 {
        self.zero_ns
    }

    fn acked(&self) -> u64 {
        let members = self.workers.members.iter();
        members.map(|member| member.far.acked).sum()
    }

    fn read(&self) -> u64 {
        let members = self.workers.members.iter();
        members.map(|member| member.far.read).sum()
    }

    fn hear(&mut self, within: Duration) -> Option<Said> {
        let until = Instant::now() + within;
        loop {
            if let Some(said) = self.said.pop_front() {
                return Some(said);
            }
            let left = until.saturating_duration_since(Instant::now());
            let heard = self.workers.heard.recv_timeout(left).ok()?;
            if let Some(said) = self.take(heard) {
                return Some(said);
            }
        }
    }

    fn cpu_seconds(&self) -> f64 {
        let members = self.workers.members.iter();
        let theirs: f64 = members.map(|member| member.cpu_seconds).sum();
        machine::own_cpu_seconds() + theirs
    }
}

impl Drop for Remote<'_> {
    fn drop(&mut self) {
        self.tell_all(&ToWorker::Over);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::quota;
    use crate::engine::Share;
    use crate::workload::Workload;

    proptest! {
        #[test]
        fn workers_together_have_all_and_nothing_twice(
            producers in 1usize..60,
            consumers in 0usize..60,
            processes in 1usize..12,
            records in prop_oneof![0u64..1000, any::<u64>()],
        ) {
            let workload = Workload { producers, consumers, ..Workload::default() };
            let shares: Vec<Share> = (0..processes)
                .map(|process| Share::of(&workload, process, processes))
                .collect();
            let (mut sum, mut before) = (0u128, 0);
            for share in &shares {
                let own = share.producers.len();
                let part = quota(records, before, own, producers);
                prop_assert!(own > 0 || part == 0);
                sum += u128::from(part);
                before += own;
            }
            prop_assert_eq!(sum, u128::from(records));
            let mut all: Vec<usize> = shares.iter().flat_map(|share| share.producers.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..producers).collect::<Vec<_>>());
            let mut all: Vec<usize> = shares.iter().flat_map(|share| share.consumers.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..consumers).collect::<Vec<_>>());
        }
    }
}
