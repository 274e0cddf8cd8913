//! A producer: records become messages as soon as they are due, and confirms are taken as soon as they come.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};

use super::super::rabbitmq::alarm::Alarm;
use super::super::rabbitmq::{self, DRAIN_WITHIN};
use super::super::{DriverError, ProducerJob};
use super::{Amqp, KEY, failed};
use crate::engine::stop::{Stop, Wanted};
use crate::measure::recorder::{Next, Outgoing, ProducerProbe, Ticket, now_ns};

/// Records sent before confirms are looked for again.
const BURST: usize = 64;
/// How long to wait at most before looking whether to end.
const LOOK_NS: u64 = 20_000_000;

type Answer = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>>>>;

/// A record on its way.
struct Sent {
    ticket: Ticket,
    answer: Answer,
}

/// A queue's records on their way, oldest first. RabbitMQ confirms a queue's records in their order.
struct Lane {
    topic: usize,
    partition: usize,
    channel: Rc<Channel>,
    queue: ShortString,
    sent: VecDeque<Sent>,
}

/// What to do after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// There is more to send.
    Again,
    /// Nothing can be done before this time, or before a confirm comes.
    Wait(u64),
    /// Everything was sent and answered.
    Finished,
}

struct Producer {
    lanes: Vec<Lane>,
    partitions: usize,
    window: usize,
    unconfirmed: usize,
    /// When it was first seen that there is nothing more to send.
    ending_since: Option<u64>,
    probe: ProducerProbe,
    stop: Stop,
    /// Tickets with the same fate, kept to use its memory again.
    tickets: Vec<Ticket>,
}

pub(super) async fn run(amqp: &Amqp, job: ProducerJob) -> Result<(), DriverError> {
    let workload = job.workload;
    let connection = amqp.connect(job.index).await?;
    let partitions = rabbitmq::partitions(&workload);
    let channels = super::channels(&connection, partitions.len()).await?;
    for channel in channels.iter().filter(|_| rabbitmq::confirms(&workload)) {
        let confirm = channel.confirm_select(ConfirmSelectOptions::default());
        confirm
            .await
            .map_err(failed("cannot have publisher confirms"))?;
    }
    let channels: Vec<_> = channels.into_iter().map(Rc::new).collect();
    let lane = |(number, (topic, partition)): (usize, (usize, usize))| Lane {
        topic,
        partition,
        channel: Rc::clone(&channels[number % channels.len()]),
        queue: rabbitmq::queue_name(&workload, topic, partition)
            .as_str()
            .into(),
        sent: VecDeque::new(),
    };
    let mut producer = Producer {
        lanes: partitions.into_iter().enumerate().map(lane).collect(),
        partitions: workload.partitions,
        window: amqp.window.unwrap_or_else(|| rabbitmq::window(&workload)),
        unconfirmed: 0,
        ending_since: None,
        probe: job.probe,
        stop: job.stop,
        tickets: Vec::new(),
    };
    let ended = producer.run(&connection).await;
    super::close(&connection).await;
    ended
}

impl Producer {
    async fn run(&mut self, connection: &Connection) -> Result<(), DriverError> {
        let mut alarm = Alarm::new()
            .map_err(|error| DriverError::Failed(format!("cannot have a timer: {error}")))?;
        loop {
            if self.stop.wanted() == Wanted::Abort {
                return Ok(());
            }
            let after = match poll_fn(|task| Poll::Ready(self.turn(task))).await {
                Ok(after) => after,
                Err(error) => return Err(self.give_up(&error)),
            };
            match after {
                After::Finished => return Ok(()),
                After::Again => tokio::task::yield_now().await,
                After::Wait(until) => self.wait(&mut alarm, until).await?,
            }
            if self.overdue() {
                return self.leave_unconfirmed(connection);
            }
        }
    }

    /// Takes the answers that are there, and sends what is due and fits.
    fn turn(&mut self, task: &mut Context<'_>) -> lapin::Result<After> {
        self.take_answers(task)?;
        let now = now_ns();
        for _ in 0..BURST {
            if self.ending_since.is_some() || self.stop.wanted() >= Wanted::End {
                self.ending_since.get_or_insert(now);
                return Ok(self.ending(now));
            }
            if self.unconfirmed >= self.window {
                return Ok(After::Wait(now + LOOK_NS));
            }
            match self.probe.next(now) {
                Next::Send(record) => {
                    let lane = record.topic * self.partitions + record.partition;
                    self.lanes[lane].send(&record)?;
                    self.unconfirmed += 1;
                }
                Next::Wait(until) => return Ok(After::Wait(until.min(now + LOOK_NS))),
                Next::Done => {
                    self.ending_since = Some(now);
                    return Ok(self.ending(now));
                }
            }
        }
        Ok(After::Again)
    }

    fn ending(&self, now: u64) -> After {
        if self.unconfirmed == 0 {
            After::Finished
        } else {
            After::Wait(now + LOOK_NS)
        }
    }

    /// Returns when an answer is there, or it is time to look after something else.
    async fn wait(&mut self, alarm: &mut Alarm, until: u64) -> Result<(), DriverError> {
        let waited = poll_fn(|task| {
            let before = self.unconfirmed;
            if let Err(error) = self.take_answers(task) {
                return Poll::Ready(Err(error));
            }
            if self.unconfirmed < before {
                return Poll::Ready(Ok(()));
            }
            // A timer that fails wakes nobody: go on looking instead.
            alarm.poll_at(until, now_ns(), task).map(|_| Ok(()))
        });
        match waited.await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.give_up(&error)),
        }
    }

    /// Gives the probe what was answered. The oldest record of every lane is left waiting, and wakes the task.
    fn take_answers(&mut self, task: &mut Context<'_>) -> lapin::Result<()> {
        for lane in &mut self.lanes {
            self.tickets.clear();
            let mut broken = None;
            while let Some(sent) = lane.sent.front_mut() {
                let Poll::Ready(answer) = sent.answer.as_mut().poll(task) else {
                    break;
                };
                let ticket = sent.ticket;
                match answer {
                    Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => {
                        self.tickets.push(ticket);
                    }
                    Ok(Confirmation::Ack(Some(back)) | Confirmation::Nack(Some(back))) => {
                        let reason = format!("returned: {}", back.reply_text);
                        self.probe
                            .failed(lane.topic, lane.partition, &[ticket], &reason);
                    }
                    Ok(Confirmation::Nack(None)) => {
                        let reason = "RabbitMQ answered with a nack";
                        self.probe
                            .failed(lane.topic, lane.partition, &[ticket], reason);
                    }
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
                self.unconfirmed -= 1;
                lane.sent.pop_front();
            }
            if !self.tickets.is_empty() {
                self.probe
                    .acked(lane.topic, lane.partition, &self.tickets, now_ns());
            }
            if let Some(error) = broken {
                return Err(error);
            }
        }
        Ok(())
    }

    fn overdue(&self) -> bool {
        let limit = u64::try_from(DRAIN_WITHIN.as_nanos()).unwrap_or(u64::MAX);
        self.ending_since
            .is_some_and(|since| now_ns() > since.saturating_add(limit))
    }

    fn leave_unconfirmed(&mut self, connection: &Connection) -> Result<(), DriverError> {
        let why = if connection.status().blocked() {
            "RabbitMQ blocks publishers (its memory or disk alarm)"
        } else {
            "no confirm came"
        };
        let reason = format!("{why} within {} s of the end", DRAIN_WITHIN.as_secs());
        self.fail_all(&reason);
        Err(DriverError::Failed(reason))
    }

    fn give_up(&mut self, error: &lapin::Error) -> DriverError {
        let reason = format!("RabbitMQ ended the connection or channel: {error}");
        self.fail_all(&reason);
        DriverError::Failed(reason)
    }

    fn fail_all(&mut self, reason: &str) {
        for lane in &mut self.lanes {
            let tickets: Vec<_> = lane.sent.drain(..).map(|sent| sent.ticket).collect();
            if !tickets.is_empty() {
                self.probe
                    .failed(lane.topic, lane.partition, &tickets, reason);
            }
        }
        self.unconfirmed = 0;
    }
}

impl Lane {
    /// Hands a record to the library, which begins to write at once, on a thread of its own.
    fn send(&mut self, record: &Outgoing<'_>) -> lapin::Result<()> {
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if let Some(key) = record.key {
            let mut headers = FieldTable::default();
            headers.insert(KEY.into(), AMQPValue::LongString(key.to_vec().into()));
            properties = properties.with_headers(headers);
        }
        let channel = Rc::clone(&self.channel);
        let queue = self.queue.clone();
        let value = record.value.to_vec();
        // Mandatory: without it a message to a queue that is gone would be confirmed.
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let mut answer: Answer = Box::pin(async move {
            let publish = channel.basic_publish("".into(), queue, options, &value, properties);
            publish.await?.await
        });
        // The first poll hands the frames over; the lane's turn comes when it is the oldest.
        match answer
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Ready(Ok(found)) => answer = Box::pin(std::future::ready(Ok(found))),
            Poll::Pending => {}
        }
        self.sent.push_back(Sent {
            ticket: record.ticket,
            answer,
        });
        Ok(())
    }
}
