//! A consumer: chunks are handed on record by record, and each one read is a credit for another.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use rabbitmq_stream_protocol::commands::subscribe::OffsetSpecification;
use rabbitmq_stream_protocol::message::{Message, SimpleValue};
use rabbitmq_stream_protocol::{Response, ResponseKind};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::rabbitmq;
use super::super::rabbitmq::alarm::Alarm;
use super::super::rabbitmq::runtime::within;
use super::super::{ConsumerJob, DriverError};
use super::link::{Event, What};
use super::{KEY, Links, Streams, failed};
use crate::engine::stop::{Stop, Wanted};
use crate::measure::recorder::{ConsumerProbe, now_ns};
use crate::workload::ReadFrom;

/// How long to wait at most before looking whether to end.
const LOOK_NS: u64 = 10_000_000;

struct Consumer {
    links: Links,
    events: UnboundedReceiver<Event>,
    /// Topic and partition of a link and subscription.
    streams: BTreeMap<(usize, u8), (usize, usize)>,
    probe: ConsumerProbe,
    stop: Stop,
}

pub(super) async fn run(streams: &Streams, job: ConsumerJob) -> Result<(), DriverError> {
    let workload = &job.workload;
    let share = rabbitmq::share(workload, job.index);
    let name =
        |(topic, partition): &(usize, usize)| rabbitmq::queue_name(workload, *topic, *partition);
    let names: Vec<_> = share.iter().map(name).collect();
    let places = streams.leaders(&names).await?;
    let (to, events) = unbounded_channel();
    let links = Links::open(&streams.access, &places, &to).await?;
    let from = match workload.read_from {
        ReadFrom::Live => OffsetSpecification::Next,
        ReadFrom::Stored | ReadFrom::Backlog => OffsetSpecification::First,
    };
    let mut of = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        let (link, id) = links.of[number];
        let what = format!("cannot read stream {name}");
        // Known before the first chunk can come.
        of.insert((link, id), share[number]);
        let client = &links.clients[link];
        let asked = client.subscribe(id, name, from.clone(), streams.credit);
        within(&what, asked).await?;
    }
    let mut consumer = Consumer {
        links,
        events,
        streams: of,
        probe: job.probe,
        stop: job.stop,
    };
    consumer.probe.ready();
    let ended = consumer.run().await;
    consumer.links.close().await;
    ended
}

impl Consumer {
    async fn run(&mut self) -> Result<(), DriverError> {
        let mut alarm = Alarm::new()
            .map_err(|error| DriverError::Failed(format!("cannot have a timer: {error}")))?;
        while self.stop.wanted() == Wanted::Run {
            let until = now_ns() + LOOK_NS;
            let event = poll_fn(|task| match self.events.poll_recv(task) {
                Poll::Ready(event) => Poll::Ready(event),
                // A timer that fails wakes nobody: go on looking instead.
                Poll::Pending => alarm.poll_at(until, now_ns(), task).map(|_| None),
            });
            match event.await {
                None => self.probe.idle(now_ns()),
                Some(event) => self.take(event).await?,
            }
        }
        Ok(())
    }

    async fn take(&mut self, event: Event) -> Result<(), DriverError> {
        match event.what {
            What::Chunk(id, chunk) => {
                if let Some((topic, partition)) = self.streams.get(&(event.link, id)) {
                    hand_on(*topic, *partition, &chunk, &mut self.probe);
                }
                let credit = self.links.clients[event.link].credit(id);
                credit
                    .await
                    .map_err(failed("RabbitMQ ended the connection"))
            }
            What::Moved => Err(DriverError::Failed(
                "a stream moved to another node or was deleted".to_owned(),
            )),
            What::Broken(why) => Err(DriverError::Failed(format!(
                "RabbitMQ ended the connection: {why}"
            ))),
            What::Confirmed(..) | What::Refused(..) => Ok(()),
        }
    }
}

fn hand_on(topic: usize, partition: usize, chunk: &Response, probe: &mut ConsumerProbe) {
    let ResponseKind::Deliver(chunk) = chunk.kind_ref() else {
        return;
    };
    for message in &chunk.messages {
        match message.data() {
            Some(value) => probe.received(topic, partition, key(message), value, now_ns()),
            None => probe.noted("RabbitMQ delivered a message without data"),
        }
    }
}

fn key(message: &Message) -> Option<&[u8]> {
    // The library looks up by an owned name: an iteration over the one property costs less.
    let properties = message.application_properties()?;
    properties.iter().find_map(|(name, value)| match value {
        SimpleValue::Binary(key) if **name == *KEY => Some(key.as_slice()),
        _ => None,
    })
}
