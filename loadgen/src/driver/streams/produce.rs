//! A producer: what is due goes out in one frame a stream, and confirms are taken as soon as they come.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use rabbitmq_stream_protocol::message::{Message, SimpleValue};
use rabbitmq_stream_protocol::types::PublishedMessage;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::rabbitmq::alarm::Alarm;
use super::super::rabbitmq::outflow::{After, Outflow, Step};
use super::super::rabbitmq::runtime::within;
use super::super::rabbitmq::{self, DRAIN_WITHIN};
use super::super::{DriverError, ProducerJob};
use super::flight::Flight;
use super::link::{Event, What};
use super::{KEY, Links, MOST_BATCH, Streams};
use crate::engine::stop::Stop;
use crate::measure::recorder::{Outgoing, ProducerProbe, Ticket, now_ns};
use crate::workload::Workload;

/// Records taken before confirms are looked for again.
const BURST: usize = 256;
/// More than a frame needs for a record besides its key and value.
const FRAMING: usize = 64;

/// A stream, what waits to be sent to it, and what is on its way.
struct Lane {
    topic: usize,
    partition: usize,
    link: usize,
    publisher: u8,
    open: Vec<PublishedMessage>,
    open_bytes: usize,
    open_since: u64,
    flight: Flight,
}

struct Producer {
    links: Links,
    events: UnboundedReceiver<Event>,
    lanes: Vec<Lane>,
    /// The lane of a link and publisher.
    lane_of: BTreeMap<(usize, u8), usize>,
    partitions: usize,
    outflow: Outflow,
    batch_bytes: usize,
    /// What a frame may have while another record still fits.
    frame_bytes: usize,
    linger_ns: u64,
    confirms: bool,
    tickets: Vec<Ticket>,
}

pub(super) async fn run(streams: &Streams, job: ProducerJob) -> Result<(), DriverError> {
    let mut producer = open(streams, &job.workload, job.probe, job.stop).await?;
    let ended = producer.run().await;
    producer.links.close().await;
    ended
}

async fn open(
    streams: &Streams,
    workload: &Workload,
    probe: ProducerProbe,
    stop: Stop,
) -> Result<Producer, DriverError> {
    let names = super::names(workload);
    let places = streams.leaders(&names).await?;
    let (to, events) = unbounded_channel();
    let links = Links::open(&streams.access, &places, &to).await?;
    let mut lanes = Vec::new();
    let mut lane_of = BTreeMap::new();
    for (number, (topic, partition)) in rabbitmq::partitions(workload).into_iter().enumerate() {
        let (link, publisher) = links.of[number];
        let name = &names[number];
        let what = format!("cannot publish to stream {name}");
        let declared = links.clients[link].declare_publisher(publisher, name);
        within(&what, declared).await?;
        lane_of.insert((link, publisher), number);
        lanes.push(Lane {
            topic,
            partition,
            link,
            publisher,
            open: Vec::new(),
            open_bytes: 0,
            open_since: 0,
            flight: Flight::default(),
        });
    }
    let window = streams.window.unwrap_or_else(|| rabbitmq::window(workload));
    Ok(Producer {
        links,
        events,
        lanes,
        lane_of,
        partitions: workload.partitions,
        outflow: Outflow::new(probe, stop, window),
        batch_bytes: workload.batch_bytes,
        frame_bytes: MOST_BATCH
            - workload
                .record_bytes
                .max(workload.record_bytes_max)
                .min(MOST_BATCH),
        linger_ns: u64::try_from(workload.linger.as_nanos()).unwrap_or(u64::MAX),
        confirms: rabbitmq::confirms(workload),
        tickets: Vec::new(),
    })
}

impl Producer {
    async fn run(&mut self) -> Result<(), DriverError> {
        let mut alarm = Alarm::new()
            .map_err(|error| DriverError::Failed(format!("cannot have a timer: {error}")))?;
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.take(event)?;
            }
            let after = self.turn().await?;
            match after {
                After::Finished => return Ok(()),
                After::Again => tokio::task::yield_now().await,
                After::Wait(until) => self.wait(&mut alarm, until).await?,
            }
            if self.outflow.is_overdue() {
                let reason = format!(
                    "no confirm came within {} s of the end",
                    DRAIN_WITHIN.as_secs()
                );
                self.fail_all(&reason);
                return Err(DriverError::Failed(reason));
            }
        }
    }

    /// Takes what is due and fits, and sends what is full or has lingered.
    async fn turn(&mut self) -> Result<After, DriverError> {
        let now = now_ns();
        let after = self.fill(now).await?;
        let mut next_flush = u64::MAX;
        for lane in 0..self.lanes.len() {
            let Lane {
                open, open_since, ..
            } = &self.lanes[lane];
            if open.is_empty() {
                continue;
            }
            let lingers_until = open_since.saturating_add(self.linger_ns);
            if self.linger_ns == 0 || lingers_until <= now || self.outflow.is_ending() {
                self.flush(lane).await?;
            } else {
                next_flush = next_flush.min(lingers_until);
            }
        }
        Ok(match after {
            // Without confirms the last flush answered everything.
            After::Wait(_) if self.outflow.is_ending() && self.outflow.unconfirmed() == 0 => {
                After::Finished
            }
            After::Wait(until) => After::Wait(until.min(next_flush)),
            other => other,
        })
    }

    async fn fill(&mut self, now: u64) -> Result<After, DriverError> {
        for _ in 0..BURST {
            let lane = match self.outflow.step(now) {
                Step::Send(record) => {
                    let lane = record.topic * self.partitions + record.partition;
                    self.lanes[lane].add(&record, now);
                    lane
                }
                Step::Rest(after) => return Ok(after),
            };
            let open = &self.lanes[lane];
            let framed = open.open_bytes + open.open.len() * FRAMING;
            if open.open_bytes >= self.batch_bytes || framed >= self.frame_bytes {
                self.flush(lane).await?;
            }
        }
        Ok(After::Again)
    }

    /// Sends what a lane has gathered.
    async fn flush(&mut self, lane: usize) -> Result<(), DriverError> {
        let Lane {
            open,
            open_bytes,
            link,
            publisher,
            ..
        } = &mut self.lanes[lane];
        let messages = std::mem::take(open);
        *open_bytes = 0;
        let publish = self.links.clients[*link].publish(*publisher, messages);
        if let Err(error) = publish.await {
            return Err(self.give_up(&error.to_string()));
        }
        if !self.confirms {
            let lane = &mut self.lanes[lane];
            let tickets = lane.flight.take_all();
            self.outflow
                .acked(lane.topic, lane.partition, &tickets, now_ns());
        }
        Ok(())
    }

    /// Returns when something came, or it is time to look after something else.
    async fn wait(&mut self, alarm: &mut Alarm, until: u64) -> Result<(), DriverError> {
        let event = poll_fn(|task| match self.events.poll_recv(task) {
            Poll::Ready(event) => Poll::Ready(event),
            // A timer that fails wakes nobody: go on looking instead.
            Poll::Pending => alarm.poll_at(until, now_ns(), task).map(|_| None),
        })
        .await;
        event.map_or(Ok(()), |event| self.take(event))
    }

    fn take(&mut self, event: Event) -> Result<(), DriverError> {
        match event.what {
            What::Confirmed(publisher, ids) => {
                let Some(number) = self.lane_of.get(&(event.link, publisher)) else {
                    return Ok(());
                };
                let lane = &mut self.lanes[*number];
                self.tickets.clear();
                self.tickets
                    .extend(ids.into_iter().filter_map(|id| lane.flight.take(id)));
                self.outflow
                    .acked(lane.topic, lane.partition, &self.tickets, event.at_ns);
                Ok(())
            }
            What::Refused(publisher, each) => {
                let Some(number) = self.lane_of.get(&(event.link, publisher)) else {
                    return Ok(());
                };
                let lane = &mut self.lanes[*number];
                for (id, code) in each {
                    if let Some(ticket) = lane.flight.take(id) {
                        let reason = format!("RabbitMQ answered {code:?}");
                        self.outflow
                            .failed(lane.topic, lane.partition, &[ticket], &reason);
                    }
                }
                Ok(())
            }
            What::Moved => Err(self.give_up("a stream moved to another node or was deleted")),
            What::Broken(why) => Err(self.give_up(&why)),
            What::Chunk(..) => Ok(()),
        }
    }

    fn give_up(&mut self, why: &str) -> DriverError {
        let reason = format!("RabbitMQ ended the connection: {why}");
        self.fail_all(&reason);
        DriverError::Failed(reason)
    }

    fn fail_all(&mut self, reason: &str) {
        for lane in &mut self.lanes {
            lane.open.clear();
            let tickets = lane.flight.take_all();
            self.outflow
                .failed(lane.topic, lane.partition, &tickets, reason);
        }
    }
}

impl Lane {
    fn add(&mut self, record: &Outgoing<'_>, now: u64) {
        let id = self.flight.add(record.ticket);
        let message = Message::builder().body(record.value);
        let message = match record.key {
            None => message,
            Some(key) => message
                .application_properties()
                .insert(KEY, SimpleValue::Binary(key.to_vec()))
                .message_builder(),
        };
        if self.open.is_empty() {
            self.open_since = now;
        }
        self.open_bytes += record.value.len() + record.key.map_or(0, <[u8]>::len);
        self.open
            .push(PublishedMessage::new(id, message.build(), None));
    }
}
