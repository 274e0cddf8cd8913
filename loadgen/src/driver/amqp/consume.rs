//! A consumer: messages are taken as they come and acknowledged in batches.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_lite::Stream;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

use super::super::rabbitmq;
use super::super::rabbitmq::alarm::Alarm;
use super::super::rabbitmq::runtime::within;
use super::super::{ConsumerJob, DriverError};
use super::{Amqp, KEY, Kind, failed};
use crate::engine::stop::{Stop, Wanted};
use crate::measure::recorder::{ConsumerProbe, now_ns};
use crate::workload::{ReadFrom, Workload};

/// Messages taken from a queue before the next has its turn.
const BURST: usize = 128;
/// How long a message that was read waits for others to be acknowledged with.
const ACK_WITHIN_NS: u64 = 5_000_000;

type Acking = Pin<Box<dyn Future<Output = lapin::Result<()>>>>;

/// A queue that is read, with a channel of its own: delivery tags count by channel.
struct Source {
    topic: usize,
    partition: usize,
    channel: Rc<Channel>,
    consumer: lapin::Consumer,
    /// Messages read and not acknowledged, and the last one's tag.
    unacked: usize,
    last: u64,
    /// Acknowledgements that are being written.
    acking: VecDeque<Acking>,
}

pub(super) async fn run(amqp: &Amqp, mut job: ConsumerJob) -> Result<(), DriverError> {
    let connection = amqp.connect(job.index).await?;
    let mut sources = Vec::new();
    for (topic, partition) in rabbitmq::share(&job.workload, job.index) {
        let source = subscribe(amqp, &connection, &job.workload, topic, partition);
        sources.push(source.await?);
    }
    job.probe.ready();
    let ack_at = (usize::from(amqp.prefetch) / 4).max(1);
    let ended = read(&mut sources, ack_at, &job.stop, &mut job.probe).await;
    if ended.is_ok() {
        for source in &sources {
            let tag = source.consumer.tag();
            let cancel = source
                .channel
                .basic_cancel(tag, BasicCancelOptions::default());
            let _ = tokio::time::timeout(rabbitmq::ANSWER_WITHIN, cancel).await;
        }
    }
    super::close(&connection).await;
    ended
}

async fn subscribe(
    amqp: &Amqp,
    connection: &Connection,
    workload: &Workload,
    topic: usize,
    partition: usize,
) -> Result<Source, DriverError> {
    let queue = rabbitmq::queue_name(workload, topic, partition);
    let channel = super::channel(connection).await?;
    let prefetch = channel.basic_qos(amqp.prefetch, BasicQosOptions::default());
    within("cannot set prefetch", prefetch).await?;
    let mut arguments = FieldTable::default();
    if amqp.kind == Kind::Stream {
        let from = match workload.read_from {
            ReadFrom::Live => "next",
            ReadFrom::Stored | ReadFrom::Backlog => "first",
        };
        arguments.insert("x-stream-offset".into(), super::text(from));
    }
    let options = BasicConsumeOptions::default();
    let consume = channel.basic_consume(queue.as_str().into(), "".into(), options, arguments);
    let consumer = within(format!("cannot read queue {queue}"), consume).await?;
    Ok(Source {
        topic,
        partition,
        channel: Rc::new(channel),
        consumer,
        unacked: 0,
        last: 0,
        acking: VecDeque::new(),
    })
}

async fn read(
    sources: &mut [Source],
    ack_at: usize,
    stop: &Stop,
    probe: &mut ConsumerProbe,
) -> Result<(), DriverError> {
    let mut alarm = Alarm::new()
        .map_err(|error| DriverError::Failed(format!("cannot have a timer: {error}")))?;
    loop {
        if stop.wanted() != Wanted::Run {
            for source in sources {
                source.ack()?;
            }
            return Ok(());
        }
        let until = now_ns() + ACK_WITHIN_NS;
        let taken = poll_fn(|task| {
            let mut taken = 0;
            for source in &mut *sources {
                match source.take(ack_at, probe, task) {
                    Ok(more) => taken += more,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            alarm.poll_at(until, now_ns(), task).map(|_| Ok(0))
        })
        .await?;
        if taken == 0 {
            for source in &mut *sources {
                source.ack()?;
            }
            probe.idle(now_ns());
        }
        tokio::task::yield_now().await;
    }
}

impl Source {
    /// Hands on what has come, and says how much that was.
    fn take(
        &mut self,
        ack_at: usize,
        probe: &mut ConsumerProbe,
        task: &mut Context<'_>,
    ) -> Result<usize, DriverError> {
        let mut taken = 0;
        while taken < BURST {
            match Pin::new(&mut self.consumer).poll_next(task) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(delivery))) => self.hand_on(&delivery, probe),
                Poll::Ready(Some(Err(error))) => {
                    return Err(failed("RabbitMQ ended the connection or channel")(error));
                }
                Poll::Ready(None) => {
                    return Err(DriverError::Failed(format!(
                        "RabbitMQ took queue {} from its consumer: was it deleted?",
                        self.consumer.queue()
                    )));
                }
            }
            taken += 1;
            if self.unacked >= ack_at {
                self.ack()?;
            }
        }
        Ok(taken)
    }

    fn hand_on(&mut self, delivery: &Delivery, probe: &mut ConsumerProbe) {
        let headers = delivery.properties.headers().as_ref();
        let key = headers.and_then(|headers| match headers.inner().get(KEY) {
            Some(AMQPValue::LongString(key)) => Some(key.as_bytes()),
            _ => None,
        });
        probe.received(self.topic, self.partition, key, &delivery.data, now_ns());
        if delivery.redelivered {
            probe.noted("RabbitMQ delivered a record again");
        }
        self.unacked += 1;
        self.last = delivery.delivery_tag;
    }

    /// Acknowledges all that was read.
    fn ack(&mut self) -> Result<(), DriverError> {
        let mut quiet = Context::from_waker(Waker::noop());
        while let Some(acking) = self.acking.front_mut() {
            match acking.as_mut().poll(&mut quiet) {
                Poll::Pending => break,
                Poll::Ready(written) => {
                    written.map_err(failed("cannot acknowledge"))?;
                    self.acking.pop_front();
                }
            }
        }
        if self.unacked == 0 {
            return Ok(());
        }
        let channel = Rc::clone(&self.channel);
        let last = self.last;
        let mut acking: Acking = Box::pin(async move {
            channel
                .basic_ack(last, BasicAckOptions { multiple: true })
                .await
        });
        match acking.as_mut().poll(&mut quiet) {
            Poll::Pending => self.acking.push_back(acking),
            Poll::Ready(written) => written.map_err(failed("cannot acknowledge"))?,
        }
        self.unacked = 0;
        Ok(())
    }
}
