//! A worker: waits for coordinators, and runs its share of their lines, one coordinator at a time.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::wire::{
    ALIVE, FromWorker, Greeting, Hello, Outgoing, PROGRAM, ToWorker, WireError, greeted, introduce,
    meet, parts, receive, same_program, stranger,
};
use crate::driver::{Driver, DriverError, Target};
use crate::engine::stop::Wanted;
use crate::engine::{Cores, Crew, Share, Threads};
use crate::machine;
use crate::measure::recorder::{own_clock_ns, set_clock_offset};
use crate::measure::tick::{Role, Said};

/// How often it is looked whether somebody connects, or the worker is to end.
const LOOK: Duration = Duration::from_millis(50);
/// How long the threads are listened to before it is looked at what the coordinator says.
const TURN: Duration = Duration::from_millis(5);
/// How often the coordinator is told how far the threads are.
const PROGRESS: Duration = Duration::from_millis(50);
/// How long threads may take to end that were told to at once.
const END: Duration = Duration::from_secs(5);
/// Most connections at a time; of these one is served, and the others are told that it is.
const VISITORS: usize = 16;

/// Opens the driver for a target.
pub type Open = dyn Fn(&Target) -> Result<Arc<dyn Driver>, DriverError> + Send + Sync;

/// A worker that listens.
pub struct Server {
    listener: TcpListener,
    house: Arc<House>,
}

/// What connections share.
struct House {
    open: Box<Open>,
    /// The coordinator that is served.
    seat: Mutex<Option<String>>,
    ending: Arc<AtomicBool>,
    visitors: AtomicUsize,
}

impl House {
    fn seat(&self) -> MutexGuard<'_, Option<String>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

impl Server {
    /// Listens at an address, HOST:PORT; port 0 is any that is free. `open` is where drivers come from;
    /// `ending` ends it.
    pub fn bind(
        address: &str,
        open: Box<Open>,
        ending: Arc<AtomicBool>,
    ) -> Result<Self, WireError> {
        let failed = |error: std::io::Error| WireError::Listen {
            address: address.to_owned(),
            reason: error.to_string(),
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            listener,
            house: Arc::new(House {
                open,
                seat: Mutex::new(None),
                ending,
                visitors: AtomicUsize::new(0),
            }),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, WireError> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves coordinators until it is to end; then the one that is served is told, and its threads end.
    pub fn run(&self) {
        while !self.house.ends() {
            match self.listener.accept() {
                Ok((stream, from)) => self.welcome(stream, from),
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::WouldBlock {
                        tracing::warn!("cannot accept a connection: {error}");
                    }
                    std::thread::sleep(LOOK);
                }
            }
        }
        let until = Instant::now() + 2 * END;
        while self.house.seat().is_some() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }

    fn welcome(&self, stream: TcpStream, from: SocketAddr) {
        let house = Arc::clone(&self.house);
        if house.visitors.fetch_add(1, Ordering::Relaxed) >= VISITORS {
            house.visitors.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!("{from} was sent away: {VISITORS} others are connected");
            return;
        }
        let visit = move || {
            let _leaves = Leaves(&house);
            match visit(&house, stream, &from.to_string()) {
                Ok(()) => {}
                Err(error) => tracing::warn!("{error}"),
            }
        };
        // Where no thread can be had, the connection closes, which says enough.
        if let Err(error) = std::thread::Builder::new().spawn(visit) {
            self.house.visitors.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!("{from} was sent away: {error}");
        }
    }
}

/// Counts a visitor out, whatever happened.
struct Leaves<'a>(&'a House);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.visitors.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Leaves the seat to the next, whatever happened.
struct Seat<'a>(&'a House);

impl<'a> Seat<'a> {
    /// Takes it, or says who has it.
    fn take(house: &'a House, who: &str) -> Result<Self, String> {
        let mut seat = house.seat();
        match &*seat {
            Some(other) => Err(other.clone()),
            None => {
                *seat = Some(who.to_owned());
                Ok(Self(house))
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        *self.0.seat() = None;
    }
}

/// One connection from beginning to end.
fn visit(house: &House, mut stream: TcpStream, from: &str) -> Result<(), WireError> {
    stream.set_nonblocking(false)?;
    let met = meet(&mut stream, from);
    if let Err(WireError::Stranger { .. }) = met {
        return met;
    }
    let mut greeting = Greeting {
        program: PROGRAM.to_owned(),
        host: machine::host_name(),
        boot: machine::boot_id(),
        busy: None,
    };
    // A coordinator of another version is to know of which one this is.
    if met.is_err() {
        introduce(&mut stream, &greeting)?;
        return met;
    }
    let (hello, _) = receive::<Hello>(&mut stream).map_err(|error| stranger(from, &error))?;
    if let Err(error) = same_program(&hello.program, from) {
        introduce(&mut stream, &greeting)?;
        return Err(error);
    }
    let seat = Seat::take(house, from);
    greeting.busy = seat.as_ref().err().cloned();
    introduce(&mut stream, &greeting)?;
    let Ok(_seat) = seat else {
        tracing::info!("the coordinator at {from} was told that this worker is busy");
        return Ok(());
    };
    greeted(&stream)?;
    tracing::info!("works for the coordinator at {from}");
    let out = Arc::new(Outgoing::new(stream.try_clone()?));
    let (to, orders) = channel();
    let answers = Arc::clone(&out);
    let reader = std::thread::Builder::new().spawn(move || read(stream, &answers, &to))?;
    let over = Work::new(house, &out, orders).run();
    match &over {
        Over::Gone(why) => tracing::info!("the coordinator at {from} is gone: {why}"),
        Over::Ends => tracing::info!("ends, and told the coordinator at {from}"),
    }
    // The reader ends with the connection.
    out.end();
    let _ = reader.join();
    set_clock_offset(0);
    Ok(())
}

/// Takes what the coordinator says; what time it is, is answered at once.
fn read(mut stream: TcpStream, answers: &Outgoing, to: &Sender<Result<ToWorker, WireError>>) {
    loop {
        let order = match receive::<ToWorker>(&mut stream) {
            Ok((ToWorker::Alive, _)) => continue,
            Ok((ToWorker::Clock { number }, received_ns)) => {
                let answer = FromWorker::Clock {
                    number,
                    received_ns,
                    answered_ns: own_clock_ns(),
                };
                match answers.send(&answer) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                }
            }
            Ok((order, _)) => Ok(order),
            Err(error) => Err(error),
        };
        let ends = order.is_err();
        if to.send(order).is_err() || ends {
            return;
        }
    }
}

/// Why the work for a coordinator is over.
enum Over {
    Gone(WireError),
    Ends,
}

/// The line that runs.
struct Line {
    number: u64,
    phase: u64,
    threads: Threads,
    share: Share,
    running: usize,
}

impl Line {
    /// Ends all threads at once, and waits a little for that.
    fn end(mut self) {
        for role in [Role::Producer, Role::Consumer] {
            self.threads.stop(role, Wanted::Abort);
        }
        let until = Instant::now() + END;
        while self.running > 0 && Instant::now() < until {
            if let Some(Said::Ended(..)) = self.threads.hear(LOOK) {
                self.running -= 1;
            }
        }
        if self.running > 0 {
            tracing::warn!("{} threads did not end and were left", self.running);
        }
    }
}

/// The work for one coordinator.
struct Work<'a> {
    house: &'a House,
    out: &'a Outgoing,
    orders: Receiver<Result<ToWorker, WireError>>,
    line: Option<Line>,
    told: Instant,
}

impl<'a> Work<'a> {
    fn new(
        house: &'a House,
        out: &'a Outgoing,
        orders: Receiver<Result<ToWorker, WireError>>,
    ) -> Self {
        Self {
            house,
            out,
            orders,
            line: None,
            told: Instant::now(),
        }
    }

    fn run(mut self) -> Over {
        let over = loop {
            if self.house.ends() {
                let _ = self.out.send(&FromWorker::Leaving);
                break Over::Ends;
            }
            if let Err(error) = self.turn() {
                break Over::Gone(error);
            }
        };
        self.end_line();
        over
    }

    /// Does what it is told, and says what the threads say.
    fn turn(&mut self) -> Result<(), WireError> {
        while let Some(order) = self.order()? {
            self.obey(order)?;
        }
        let heard = self.line.as_mut().and_then(|line| line.threads.hear(TURN));
        if let Some(said) = heard {
            self.pass_on(said)?;
        }
        let every = if self.line.is_some() { PROGRESS } else { ALIVE };
        if self.told.elapsed() >= every {
            self.tell()?;
        }
        Ok(())
    }

    /// The next order, if there is one; without a line it is waited for.
    fn order(&mut self) -> Result<Option<ToWorker>, WireError> {
        let got = if self.line.is_some() {
            self.orders.try_recv()
        } else {
            self.orders.recv_timeout(LOOK).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            })
        };
        match got {
            Ok(order) => order.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(WireError::Closed),
        }
    }

    fn obey(&mut self, order: ToWorker) -> Result<(), WireError> {
        match order {
            ToWorker::Line {
                line,
                target,
                pin,
                offset_ns,
            } => {
                self.end_line();
                set_clock_offset(offset_ns);
                let why = self.open(line, &target, pin).err();
                let why = why.map(|error| error.to_string());
                return self.out.send(&FromWorker::Opened { line, why });
            }
            ToWorker::Over => self.end_line(),
            order => {
                if let Some(line) = &mut self.line {
                    line.obey(order);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, number: u64, target: &Target, pin: bool) -> Result<(), DriverError> {
        let driver = (self.house.open)(target)?;
        let cores = if pin { Cores::all() } else { Cores::free() };
        self.line = Some(Line {
            number,
            phase: 0,
            threads: Threads::new(driver, cores, Some(Share::default())),
            share: Share::default(),
            running: 0,
        });
        Ok(())
    }

    fn end_line(&mut self) {
        if let Some(line) = self.line.take() {
            line.end();
        }
    }

    fn pass_on(&mut self, said: Said) -> Result<(), WireError> {
        if matches!(said, Said::Ready(..) | Said::Ended(..)) {
            // Whoever hears that a thread is done is to know already what it had done.
            self.tell()?;
        }
        let Some(line) = &mut self.line else {
            return Ok(());
        };
        if let Said::Ended(..) = said {
            line.running = line.running.saturating_sub(1);
        }
        let line = line.number;
        for said in parts(said) {
            self.out.send(&FromWorker::Said { line, said })?;
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<(), WireError> {
        self.told = Instant::now();
        let Some(line) = &self.line else {
            return self.out.send(&FromWorker::Alive);
        };
        self.out.send(&FromWorker::Progress {
            phase: line.phase,
            acked: line.threads.acked(),
            read: line.threads.read(),
            zero_ns: line.threads.zero_ns(),
            cpu_seconds: line.threads.cpu_seconds(),
        })
    }
}

impl Line {
    fn obey(&mut self, order: ToWorker) {
        match order {
            ToWorker::Phase {
                number,
                workload,
                phase,
                share,
            } => {
                self.phase = number;
                self.threads.take_share(share.clone());
                self.share = share;
                self.threads.phase(&Arc::new(*workload), phase);
            }
            ToWorker::Start(role) => {
                self.running += match role {
                    Role::Producer => self.share.producers.len(),
                    Role::Consumer => self.share.consumers.len(),
                };
                self.threads.start(role);
            }
            ToWorker::Begin(begin) => self.threads.begin(begin),
            ToWorker::Zero(zero_ns) => self.threads.zero_no_later(zero_ns),
            ToWorker::Stop(role, wanted) => self.threads.stop(role, wanted),
            ToWorker::Alive | ToWorker::Clock { .. } | ToWorker::Line { .. } | ToWorker::Over => {}
        }
    }
}
