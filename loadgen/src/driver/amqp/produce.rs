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
use super::super::rabbitmq::outflow::{After, Outflow, Step};
use super::super::rabbitmq::runtime::within;
use super::super::rabbitmq::{self, DRAIN_WITHIN};
use super::super::{DriverError, ProducerJob};
use super::{Amqp, KEY};
use crate::measure::recorder::{Outgoing, Ticket, now_ns};

/// Records sent before confirms are looked for again.
const BURST: usize = 64;

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

struct Producer {
    lanes: Vec<Lane>,
    partitions: usize,
    outflow: Outflow,
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
        within("cannot have publisher confirms", confirm).await?;
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
    let window = amqp.window.unwrap_or_else(|| rabbitmq::window(&workload));
    let mut producer = Producer {
        lanes: partitions.into_iter().enumerate().map(lane).collect(),
        partitions: workload.partitions,
        outflow: Outflow::new(job.probe, job.stop, window),
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
            let after = match poll_fn(|task| Poll::Ready(self.turn(task))).await {
                Ok(after) => after,
                Err(error) => return Err(self.give_up(&error)),
            };
            match after {
                After::Finished => return Ok(()),
                After::Again => tokio::task::yield_now().await,
                After::Wait(until) => self.wait(&mut alarm, until).await?,
            }
            if self.outflow.is_overdue() {
                return self.leave_unconfirmed(connection);
            }
        }
    }

    /// Takes the answers that are there, and sends what is due and fits.
    fn turn(&mut self, task: &mut Context<'_>) -> lapin::Result<After> {
        self.take_answers(task)?;
        let now = now_ns();
        for _ in 0..BURST {
            match self.outflow.step(now) {
                Step::Send(record) => {
                    let lane = record.topic * self.partitions + record.partition;
                    self.lanes[lane].send(&record)?;
                }
                Step::Rest(after) => return Ok(after),
            }
        }
        Ok(After::Again)
    }

    /// Returns when an answer is there, or it is time to look after something else.
    async fn wait(&mut self, alarm: &mut Alarm, until: u64) -> Result<(), DriverError> {
        let waited = poll_fn(|task| {
            let before = self.outflow.unconfirmed();
            if let Err(error) = self.take_answers(task) {
                return Poll::Ready(Err(error));
            }
            if self.outflow.unconfirmed() < before {
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
                        self.outflow
                            .failed(lane.topic, lane.partition, &[ticket], &reason);
                    }
                    Ok(Confirmation::Nack(None)) => {
                        let reason = "RabbitMQ answered with a nack";
                        self.outflow
                            .failed(lane.topic, lane.partition, &[ticket], reason);
                    }
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
                lane.sent.pop_front();
            }
            self.outflow
                .acked(lane.topic, lane.partition, &self.tickets, now_ns());
            if let Some(error) = broken {
                return Err(error);
            }
        }
        Ok(())
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
            self.outflow
                .failed(lane.topic, lane.partition, &tickets, reason);
        }
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
