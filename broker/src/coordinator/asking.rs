//! From a key to its coordinator's answer, on whatever shard of this node it runs.
//!
//! An answer may take minutes, so a question to another shard doesn't hold its lane: it is put in one
//! call, and the answer comes back in another.

use std::rc::Rc;

use coordinator::partition_for;
use group::Groups;
use kafka_protocol::ResponseError;
use rt::sync::oneshot;
use share::state::ShareStates;

use super::kind::Kind;
use super::running::Answer;
use super::table::Table;
use super::{CoordinatorError, Coordinators, Internal, table};
use crate::shard::{Shard, ShardId};

impl Shard {
    /// Asks the coordinator of a group, if that is on this node.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    pub(crate) async fn ask_group(
        self: &Rc<Self>,
        group_id: &str,
        ask: group::Ask,
    ) -> Result<group::Reply, CoordinatorError> {
        self.ask_coordinator::<Groups>(group_id, ask).await
    }

    /// Asks every coordinator of groups on this node.
    pub(crate) async fn all_groups(
        self: &Rc<Self>,
        make: impl Fn() -> group::Ask + Clone + Send + 'static,
    ) -> Vec<Result<group::Reply, CoordinatorError>> {
        self.ask_all::<Groups>(make).await
    }

    /// Asks the coordinator of a transactional id, if that is on this node.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    pub(crate) async fn ask_txn(
        self: &Rc<Self>,
        transactional_id: &str,
        ask: txn::Ask,
    ) -> Result<txn::Reply, CoordinatorError> {
        self.ask_coordinator::<txn::Transactions>(transactional_id, ask)
            .await
    }

    /// Asks every coordinator of transactions on this node.
    pub(crate) async fn all_txns(
        self: &Rc<Self>,
        make: impl Fn() -> txn::Ask + Clone + Send + 'static,
    ) -> Vec<Result<txn::Reply, CoordinatorError>> {
        self.ask_all::<txn::Transactions>(make).await
    }

    /// Asks the coordinator of a share-partition, if that is on this node.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    pub(crate) async fn ask_share_state(
        self: &Rc<Self>,
        key: &str,
        ask: share::state::Ask,
    ) -> Result<share::state::Reply, CoordinatorError> {
        self.ask_coordinator::<ShareStates>(key, ask).await
    }

    /// The node that coordinates `key`, if the metadata has one.
    pub(crate) fn coordinating_node(&self, topic: Internal, key: &str) -> Option<i32> {
        let route = self.routes().by_name(topic.name())?;
        let partitions = i32::try_from(route.partitions.len()).unwrap_or(i32::MAX);
        let leader = route.partition(partition_for(key, partitions))?.leader;
        (leader >= 0).then_some(leader)
    }

    /// The coordinators on this shard.
    pub fn coordinators(&self) -> &Coordinators {
        &self.coordinators
    }

    /// The partition that has `key`, and the shard that leads it here.
    pub(crate) fn coordinator_here(
        &self,
        topic: Internal,
        key: &str,
    ) -> Result<(ShardId, i32), CoordinatorError> {
        let route = self.routes().by_name(topic.name());
        let route = route.ok_or(CoordinatorError::NotCoordinator)?;
        let partitions = i32::try_from(route.partitions.len()).unwrap_or(i32::MAX);
        let index = partition_for(key, partitions);
        let target = route.partition(index);
        let owner = target
            .filter(|target| target.leader == self.node_id())
            .and_then(|target| target.owner);
        let owner = owner.ok_or(CoordinatorError::NotCoordinator)?;
        Ok((owner, index))
    }

    async fn ask_coordinator<K: Kind>(self: &Rc<Self>, key: &str, ask: K::Ask) -> Answer<K> {
        let (owner, index) = self.coordinator_here(K::TOPIC, key)?;
        self.ask_on(owner, move |all: &Table<K>| all.ask(index, ask))
            .await
    }

    /// Has the coordinators on a shard of this node be asked.
    async fn ask_on<K: Kind>(
        self: &Rc<Self>,
        owner: ShardId,
        ask: impl FnOnce(&Table<K>) -> oneshot::Receiver<Answer<K>> + Send + 'static,
    ) -> Answer<K> {
        let gone = |_| Err(CoordinatorError::NotCoordinator);
        if owner == self.id {
            let answer = ask(table::<K>(self));
            return answer.await.unwrap_or_else(gone);
        }
        let (number, answer) = table::<K>(self).expect();
        let from = self.id;
        self.run_on(owner, move |shard| {
            let there = ask(table::<K>(shard));
            let shard = Rc::clone(shard);
            rt::task::spawn(async move {
                let answer = there.await.unwrap_or_else(gone);
                let back = move |shard: &Rc<Self>| {
                    table::<K>(shard).answered(number, answer);
                    async {}
                };
                shard.run_on(from, back).await;
            })
            .detach();
            async {}
        })
        .await;
        answer.await.unwrap_or_else(gone)
    }

    /// Asks the coordinator of a group for what it is to write as part of a producer's transaction, once
    /// `verify` has found its partition, which it is given, to be in that.
    ///
    /// # Errors
    /// `verify`'s, or a [`CoordinatorError`]'s.
    pub(crate) async fn ask_group_in_transaction<F>(
        self: &Rc<Self>,
        group_id: &str,
        producer_id: i64,
        verify: impl FnOnce(i32) -> F,
        ask: group::Ask,
    ) -> Result<group::Reply, ResponseError>
    where
        F: Future<Output = Result<(), ResponseError>>,
    {
        let found = self.coordinator_here(Internal::ConsumerOffsets, group_id);
        let (owner, index) = found.map_err(CoordinatorError::error)?;
        let begun = self.run_on(owner, move |shard| {
            let running = table::<Groups>(shard).get(index);
            let number = running.map(|running| running.begin_joining(producer_id));
            async move { number }
        });
        let number = begun
            .await
            .ok_or(ResponseError::CoordinatorLoadInProgress)?;
        if let Err(error) = verify(index).await {
            self.run_on(owner, move |shard| {
                if let Some(running) = table::<Groups>(shard).get(index) {
                    running.give_up_joining(number);
                }
                async {}
            })
            .await;
            return Err(error);
        }
        let answer = self.ask_on(owner, move |all: &Table<Groups>| {
            all.ask_joined(index, number, ask)
        });
        answer.await.map_err(CoordinatorError::error)
    }

    async fn ask_all<K: Kind>(
        self: &Rc<Self>,
        make: impl Fn() -> K::Ask + Clone + Send + 'static,
    ) -> Vec<Answer<K>> {
        let answers = self.run_on_all(move |shard| {
            let all = table::<K>(shard).all();
            let asked: Vec<_> = all.iter().map(|running| running.ask(make())).collect();
            async move {
                let mut answers = Vec::with_capacity(asked.len());
                for answer in asked {
                    let gone = |_| Err(CoordinatorError::NotCoordinator);
                    answers.push(answer.await.unwrap_or_else(gone));
                }
                answers
            }
        });
        answers.await.into_iter().flatten().collect()
    }
}
