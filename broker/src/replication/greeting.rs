//! The first words: who is who.

use std::time::Duration;

use replica::wire::Hello;
use rt::tcp::WriteHalf;

use super::Replication;
use super::error::ConnectionError;
use super::following::Target;
use super::inbox::Inbox;

/// How long the other side may take to say who it is.
pub(super) const HELLO_LIMIT: Duration = Duration::from_secs(5);

impl Replication {
    /// What this side says to `target`.
    pub(super) fn hello(&self, target: Target, connection: u32) -> Result<Hello, ConnectionError> {
        let broker_epoch = self.host.broker_epoch(self.node);
        let (Some(cluster_id), Some(broker_epoch)) = (self.host.cluster_id(), broker_epoch) else {
            return Err(ConnectionError::NotRegistered);
        };
        Ok(Hello {
            cluster_id,
            node: self.node,
            broker_epoch,
            shard: self.shard,
            to_node: target.node,
            to_shard: target.shard,
            connection,
        })
    }
}

/// Says `ours`.
pub(super) async fn say(half: &mut WriteHalf, ours: &Hello) -> Result<(), ConnectionError> {
    let mut bytes = Vec::new();
    ours.encode(&mut bytes)?;
    half.write_all(vec![bytes.into()]).await?;
    Ok(())
}

/// Hears what the other side says.
pub(super) async fn hear(inbox: &mut Inbox) -> Result<Hello, ConnectionError> {
    match rt::time::timeout(HELLO_LIMIT, inbox.hello()).await {
        Ok(heard) => heard,
        Err(_elapsed) => Err(ConnectionError::NoHello(HELLO_LIMIT)),
    }
}

/// Whether who dialled means this shard of this cluster: `ours` is what it is answered.
pub(super) fn check_caller(ours: &Hello, theirs: &Hello) -> Result<(), ConnectionError> {
    check_cluster(ours, theirs)?;
    let meant = (theirs.to_node, theirs.to_shard) == (ours.node, ours.shard);
    if !meant || theirs.node == ours.node {
        return Err(ConnectionError::NotMeant {
            node: theirs.node,
            shard: theirs.shard,
            to_node: theirs.to_node,
            to_shard: theirs.to_shard,
            me: ours.node,
            my_shard: ours.shard,
        });
    }
    Ok(())
}

/// Whether who answered is who was dialled with `ours`.
pub(super) fn check_answer(ours: &Hello, theirs: &Hello) -> Result<(), ConnectionError> {
    check_cluster(ours, theirs)?;
    if (theirs.node, theirs.shard) != (ours.to_node, ours.to_shard) {
        return Err(ConnectionError::WrongNode {
            wanted: ours.to_node,
            wanted_shard: ours.to_shard,
            found: theirs.node,
            found_shard: theirs.shard,
        });
    }
    Ok(())
}

fn check_cluster(ours: &Hello, theirs: &Hello) -> Result<(), ConnectionError> {
    if theirs.cluster_id == ours.cluster_id {
        return Ok(());
    }
    Err(ConnectionError::WrongCluster {
        node: theirs.node,
        theirs: theirs.cluster_id.clone(),
        ours: ours.cluster_id.clone(),
    })
}
