//! The brokers of a cluster as one client on one executor sees them: a link to each, made when it
//! is first needed, and who leads what.
//!
//! Connecting and asking go on in tasks of their own; what they find is looked at without waiting,
//! and the bell is rung when there is something new. It must never decide whether a request is sent
//! again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use rt::sync::Notify;
use rt::task::{Task, spawn};
use rt::time::now;

use crate::client::{Broker, Cluster, describe_cluster};
use crate::link::{Link, LinkConfig, LinkError};

/// The pause between two tries to connect, or to ask for leaders.
const PAUSE: Duration = Duration::from_millis(100);

enum Place {
    Connecting,
    Up(Rc<Link>),
    Down { since: Instant },
}

#[derive(Default)]
struct State {
    places: BTreeMap<String, Place>,
    cluster: Cluster,
    /// Counts the answers `cluster` was made of.
    learnt: u64,
    asking: bool,
    asked: Option<Instant>,
    trouble: Option<LinkError>,
    tasks: Vec<Task<()>>,
}

struct Inner {
    bootstrap: Vec<String>,
    config: LinkConfig,
    topics: Vec<String>,
    bell: Notify,
    state: RefCell<State>,
}

/// The brokers of a cluster. Clones are handles to the same.
#[derive(Clone)]
pub struct Brokers {
    inner: Rc<Inner>,
}

impl Brokers {
    /// Those that are found from `bootstrap` (HOST:PORT each); `topics` are whose leaders matter.
    pub fn new(bootstrap: Vec<String>, topics: Vec<String>, config: LinkConfig) -> Self {
        Self {
            inner: Rc::new(Inner {
                bootstrap,
                config,
                topics,
                bell: Notify::new(),
                state: RefCell::default(),
            }),
        }
    }

    /// Rung when an answer has come, a link is up or has ended, or leaders are known anew. For one
    /// task.
    pub fn bell(&self) -> &Notify {
        &self.inner.bell
    }

    /// Asks for the cluster, and waits for the answer.
    pub async fn learn(&self) -> Result<Cluster, LinkError> {
        let request = MetadataRequest::default()
            .with_topics(Some(
                self.inner
                    .topics
                    .iter()
                    .map(|topic| {
                        let name = TopicName(StrBytes::from_string(topic.clone()));
                        MetadataRequestTopic::default().with_name(Some(name))
                    })
                    .collect(),
            ))
            .with_allow_auto_topic_creation(false);
        let link = self.any().await?;
        let answer = link.call(&request, i16::MAX).await?;
        let cluster = describe_cluster(&answer);
        let mut state = self.inner.state.borrow_mut();
        state.cluster = cluster.clone();
        state.learnt += 1;
        Ok(cluster)
    }

    /// A link to any broker; tries all that are known.
    pub async fn any(&self) -> Result<Rc<Link>, LinkError> {
        let mut addresses = BTreeSet::new();
        {
            let state = self.inner.state.borrow();
            for place in state.places.values() {
                if let Place::Up(link) = place
                    && link.ended().is_none()
                {
                    return Ok(Rc::clone(link));
                }
            }
            addresses.extend(state.cluster.brokers.iter().map(Broker::address));
        }
        for first in &self.inner.bootstrap {
            addresses.remove(first);
        }
        let mut last = None;
        for address in self.inner.bootstrap.iter().chain(&addresses) {
            match self.open(address).await {
                Ok(link) => return Ok(link),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(LinkError::Unreachable {
            broker: "any broker".to_owned(),
            reason: "no address is known".to_owned(),
        }))
    }

    /// The link to `node`, if it is up. Otherwise one is being made; the bell rings when it is.
    pub fn link(&self, node: i32) -> Option<Rc<Link>> {
        let mut state = self.inner.state.borrow_mut();
        let Some(broker) = state.cluster.broker(node) else {
            drop(state);
            self.ask();
            return None;
        };
        let address = broker.address();
        match state.places.get(&address) {
            Some(Place::Up(link)) => match link.ended() {
                None => return Some(Rc::clone(link)),
                Some(error) => state.trouble = Some(error),
            },
            Some(Place::Connecting) => return None,
            Some(Place::Down { since }) if now() < *since + PAUSE => return None,
            _ => {}
        }
        state.places.insert(address.clone(), Place::Connecting);
        let this = self.clone();
        Self::keep(
            &mut state,
            spawn(async move {
                let opened = this.open(&address).await;
                if let Err(error) = opened {
                    this.inner.state.borrow_mut().trouble = Some(error);
                }
                this.inner.bell.notify_one();
            }),
        );
        None
    }

    /// The link to `node`, made now if there is none.
    pub async fn link_when_up(&self, node: i32) -> Result<Rc<Link>, LinkError> {
        let address = {
            let state = self.inner.state.borrow();
            let broker = state.cluster.broker(node);
            let address = broker.map(Broker::address);
            if let Some(Place::Up(link)) = address.as_ref().and_then(|at| state.places.get(at))
                && link.ended().is_none()
            {
                return Ok(Rc::clone(link));
            }
            address
        };
        match address {
            Some(address) => self.open(&address).await,
            None => Err(LinkError::Unreachable {
                broker: format!("node {node}"),
                reason: "the cluster names no address for it".to_owned(),
            }),
        }
    }

    /// The addresses that were given.
    pub(crate) fn names(&self) -> String {
        self.inner.bootstrap.join(",")
    }

    /// Asks for the cluster in the background, not too often; the bell rings when it is known.
    pub fn ask(&self) {
        let mut state = self.inner.state.borrow_mut();
        let soon = state.asked.is_some_and(|asked| now() < asked + PAUSE);
        if state.asking || soon {
            return;
        }
        state.asking = true;
        let this = self.clone();
        Self::keep(
            &mut state,
            spawn(async move {
                let learnt = this.learn().await;
                {
                    let mut state = this.inner.state.borrow_mut();
                    state.asking = false;
                    state.asked = Some(now());
                    if let Err(error) = learnt {
                        state.trouble = Some(error);
                    }
                }
                this.inner.bell.notify_one();
            }),
        );
    }

    /// The cluster as last learnt, if that is newer than `seen`; and the number to ask with next.
    pub fn newer(&self, seen: u64) -> Option<(u64, Cluster)> {
        let state = self.inner.state.borrow();
        (state.learnt > seen).then(|| (state.learnt, state.cluster.clone()))
    }

    /// Keeps what went wrong, to be told.
    pub(crate) fn note(&self, error: LinkError) {
        self.inner.state.borrow_mut().trouble = Some(error);
    }

    /// What went wrong last with a connection; told once.
    pub fn take_trouble(&self) -> Option<LinkError> {
        self.inner.state.borrow_mut().trouble.take()
    }

    /// Ends all links, and whatever goes on in the background.
    pub async fn close(&self) {
        let tasks = std::mem::take(&mut self.inner.state.borrow_mut().tasks);
        for task in tasks {
            task.cancel().await;
        }
        self.abandon();
        // The links' tasks end when they run next.
        rt::task::yield_now().await;
    }

    /// The same without waiting for it: for whoever is dropped and not closed. What goes on in the background holds
    /// these brokers, which nobody would take apart otherwise.
    pub(crate) fn abandon(&self) {
        let (tasks, places) = {
            let mut state = self.inner.state.borrow_mut();
            (
                std::mem::take(&mut state.tasks),
                std::mem::take(&mut state.places),
            )
        };
        drop(tasks);
        drop(places);
    }

    async fn open(&self, address: &str) -> Result<Rc<Link>, LinkError> {
        let config = self.inner.config.clone();
        let opened = Link::open(address, config, self.inner.bell.clone()).await;
        let link = opened.map(Rc::new);
        let mut state = self.inner.state.borrow_mut();
        let place = match &link {
            Ok(link) => Place::Up(Rc::clone(link)),
            Err(_) => Place::Down { since: now() },
        };
        // Whoever holds the link that was here before goes on with it.
        let before = state.places.insert(address.to_owned(), place);
        drop(state);
        drop(before);
        link
    }

    fn keep(state: &mut State, task: Task<()>) {
        // Those that are done hold nothing; a handful at most goes on at a time.
        if state.tasks.len() >= 64 {
            for old in state.tasks.drain(..32) {
                old.detach();
            }
        }
        state.tasks.push(task);
    }
}

impl fmt::Debug for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brokers")
            .field("bootstrap", &self.inner.bootstrap)
            .finish_non_exhaustive()
    }
}
