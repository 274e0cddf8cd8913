//! What nodes say to each other on their control connections, and its form.
//!
//! Whoever dials says first who it is; the other side answers in kind, or why it won't talk. After
//! that both send packets as they like: a length, and the packet in postcard's encoding. The quorum's
//! messages have an encoding of their own, which is carried as it is. Data is never replicated over
//! these connections.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use metadata::{AlterPartition, Heartbeat, HeartbeatReply, RegisterBroker};
use rt::tcp::ReadHalf;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::{Answer, Command};
use super::steps::{Outcome, Step};

const MAGIC: [u8; 8] = *b"OTTLACTL";

/// The version of this protocol that the node speaks.
const VERSION: u16 = 1;

/// The longest first packet: who somebody is.
const HELLO_MAX: usize = 4096;

/// The longest packet: a snapshot of the metadata may have 1 GiB, and has a few words around it.
const PACKET_MAX: usize = (1 << 30) + 4096;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The cluster it belongs to, once it does.
    pub(super) cluster_id: Option<String>,
    /// Its node id.
    pub(super) node: i32,
    /// A fresh id of its start.
    pub(super) incarnation: Uuid,
    /// The node it means to speak to, -1 if it takes any.
    pub(super) to: i32,
}

/// One thing said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Packet {
    /// Who speaks; the first packet of each side.
    Hello(Hello),
    /// Instead of a hello: why there won't be one.
    Refused(String),
    /// A message between members of the quorum.
    Quorum(Vec<u8>),
    /// A request, with a number that the reply repeats.
    Call(u64, Call),
    /// Its reply.
    Reply(u64, Reply),
}

/// What a node asks of another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// What is known of the cluster; answered by every node.
    Inquire,
    /// To take the sender into the cluster.
    Register(RegisterBroker),
    /// The sender is alive.
    Heartbeat(Heartbeat),
    /// To change the metadata, or only to say whether that would be possible.
    Command {
        /// The change.
        command: Command,
        /// Whether nothing is to be changed.
        validate_only: bool,
    },
    /// To make several changes, each of which may be refused.
    Steps(Vec<Step>),
    /// To change sets of in-sync replicas.
    AlterIsr {
        /// Grows with each such call of the sender's process; one that was overtaken is ignored.
        sequence: u64,
        /// The changes.
        changes: Vec<AlterPartition>,
    },
    /// To end a leader epoch of the sender's.
    Resign {
        /// The sender and its broker epoch.
        broker: (i32, i64),
        /// The topic.
        topic_id: Uuid,
        /// The partition.
        index: i32,
        /// The epoch to be ended.
        leader_epoch: i32,
    },
    /// How the members of the quorum are doing.
    DescribeQuorum,
    /// To make a node a voter.
    AddVoter(i32),
    /// To make a voter none.
    RemoveVoter(i32),
}

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The node isn't the controller.
    NotController {
        /// Who is, as far as it knows.
        leader: Option<i32>,
    },
    /// Kafka's error, with a text.
    Refused {
        /// Kafka's number.
        code: i16,
        /// What happened, to what, what to do.
        message: String,
    },
    /// To an inquiry.
    Inquiry(Inquiry),
    /// The sender is taken in.
    Registered {
        /// Its epoch.
        epoch: i64,
        /// The metadata's offset from which on it is.
        offset: i64,
    },
    /// To a heartbeat.
    Heartbeat {
        /// Kafka's `IsCaughtUp`.
        caught_up: bool,
        /// Kafka's `IsFenced`.
        fenced: bool,
        /// Kafka's `ShouldShutDown`.
        may_stop: bool,
    },
    /// The change is made.
    Changed {
        /// What it gives.
        answer: Answer,
        /// The metadata's offset from which on it is in force.
        offset: i64,
    },
    /// To each of several changes, in order.
    Stepped {
        /// What came of each.
        outcomes: Vec<Outcome>,
        /// The metadata's offset from which on all are in force.
        offset: i64,
    },
    /// To each change of in-sync replicas, in order.
    Isr(Vec<IsrReply>),
    /// How the quorum is.
    Quorum(QuorumState),
    /// It is done.
    Done,
}

/// What came of a change of in-sync replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IsrReply {
    /// It is made; the partition's new epoch.
    Accepted(i32),
    /// It isn't; Kafka's error.
    Refused(i16),
}

/// What a node knows of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inquiry {
    /// The cluster's id, if there is one yet.
    pub(crate) cluster_id: Option<String>,
    /// The voters of its quorum.
    pub(crate) voters: Vec<i32>,
    /// Whether the node that asks was part of the cluster before.
    pub(crate) registered: bool,
}

/// How the quorum is, as its leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumState {
    /// The leader.
    pub leader: i32,
    /// The term, Kafka's leader epoch.
    pub term: u64,
    /// The offset after the last committed record.
    pub high_watermark: i64,
    /// Who votes.
    pub voters: Vec<MemberState>,
    /// Who follows without a vote.
    pub observers: Vec<MemberState>,
}

/// How a member of the quorum is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberState {
    /// Its node.
    pub node: i32,
    /// The offset up to which it has the log, -1 if that isn't known.
    pub log_end: i64,
    /// Whether it was heard from lately.
    pub active: bool,
    /// When it was last heard from, in milliseconds since 1970; -1 if that isn't known.
    pub heard_ms: i64,
    /// When it last had all that was committed, likewise.
    pub caught_up_ms: i64,
}

impl From<HeartbeatReply> for Reply {
    fn from(reply: HeartbeatReply) -> Self {
        Self::Heartbeat {
            caught_up: reply.caught_up,
            fenced: reply.fenced,
            may_stop: reply.may_stop,
        }
    }
}

/// What each side sends before anything else.
pub(super) fn preamble() -> Bytes {
    let mut bytes = BytesMut::from(&MAGIC[..]);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.freeze()
}

/// A packet's bytes.
pub(super) fn encode(packet: &Packet) -> io::Result<Bytes> {
    // The length is put in front when it is known.
    let framed = postcard::to_extend(packet, vec![0; 4]).map_err(io::Error::other)?;
    let mut framed = framed;
    let length = u32::try_from(framed.len() - 4).map_err(io::Error::other)?;
    framed[..4].copy_from_slice(&length.to_le_bytes());
    Ok(framed.into())
}

/// Reads what the other side sends.
pub(super) struct PacketReader {
    half: ReadHalf,
    bytes: BytesMut,
}

impl PacketReader {
    pub(super) fn new(half: ReadHalf) -> Self {
        Self {
            half,
            bytes: BytesMut::new(),
        }
    }

    /// Reads the other side's first bytes.
    pub(super) async fn preamble(&mut self) -> io::Result<()> {
        self.fill(MAGIC.len() + 2).await?;
        let known = self.bytes[..MAGIC.len()] == MAGIC;
        self.bytes.advance(MAGIC.len());
        let version = self.bytes.get_u16_le();
        if !known {
            return Err(io::Error::other(
                "it doesn't speak the protocol between nodes; is its address the internal one of a node?",
            ));
        }
        if version != VERSION {
            return Err(io::Error::other(format!(
                "it speaks version {version} of the protocol between nodes, this node version {VERSION}; run the same release on both"
            )));
        }
        Ok(())
    }

    /// The other side's hello.
    pub(super) async fn hello(&mut self) -> io::Result<Hello> {
        match self.packet(HELLO_MAX).await? {
            Packet::Hello(hello) => Ok(hello),
            Packet::Refused(why) => Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
            _ => Err(io::Error::other("it doesn't say who it is")),
        }
    }

    /// The next packet.
    pub(super) async fn next(&mut self) -> io::Result<Packet> {
        self.packet(PACKET_MAX).await
    }

    async fn packet(&mut self, max: usize) -> io::Result<Packet> {
        self.fill(4).await?;
        let length = self.bytes.get_u32_le() as usize;
        if length > max {
            return Err(io::Error::other(format!(
                "it sent a packet of {length} bytes, longer than any"
            )));
        }
        self.fill(length).await?;
        let packet = self.bytes.split_to(length);
        postcard::from_bytes(&packet).map_err(io::Error::other)
    }

    async fn fill(&mut self, bytes: usize) -> io::Result<()> {
        while self.bytes.len() < bytes {
            if self.half.read(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}
