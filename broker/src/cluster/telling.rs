//! Telling the shards who decides: what clients are told on any of them must not cost a call.

use std::rc::Rc;

use quorum::Quorum;

use crate::shard::Shard;
use crate::shard::control::Control;

impl Control {
    /// Tells every shard who leads the quorum, each time that this is another one, until the metadata is
    /// closed.
    pub(crate) async fn tell_for_ever(self: Rc<Self>, shard: Rc<Shard>) {
        let mut told = None;
        while self.meta.closed().is_none() {
            let turned = self.meta.turned();
            let leader = self.meta.with_quorum(Quorum::leader);
            if leader == told {
                turned.await;
                continue;
            }
            told = leader;
            shard
                .run_on_all(move |shard| {
                    shard.controller.set(leader);
                    async {}
                })
                .await;
        }
    }
}
