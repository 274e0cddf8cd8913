//! What a shard does besides serving: retention, the expiry of producers, the checkpoint of high
//! watermarks, compaction.
//!
//! Runs in the background class, one partition after the other, so that it never holds up a request
//! for longer than one step.

use std::rc::Rc;
use std::time::Duration;

use net::frame::FrameMemory;
use rt::task::Class;

use super::Shard;

/// How often memory that is not used is looked for.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);

/// How often producers are looked through, at most.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);

impl Shard {
    /// Starts the background work; it ends with the shard.
    pub(super) fn start_background(self: &Rc<Self>) {
        self.start_compaction();
        let shard = Rc::clone(self);
        rt::task::spawn_in(
            Class::Background,
            async move { shard.retain_for_ever().await },
        )
        .detach();
        let shard = Rc::clone(self);
        rt::task::spawn_in(
            Class::Background,
            async move { shard.expire_for_ever().await },
        )
        .detach();
        let shard = Rc::clone(self);
        rt::task::spawn_in(Class::Background, async move {
            shard.checkpoint_for_ever().await;
        })
        .detach();
    }

    /// Starts to let go, now and then, of the memory that large requests left.
    pub(super) fn start_trimming(self: &Rc<Self>, memory: FrameMemory) {
        let shard = Rc::clone(self);
        let trim = async move {
            while !shard.is_stopping() {
                rt::time::sleep(TRIM_INTERVAL).await;
                memory.trim();
            }
        };
        rt::task::spawn_in(Class::Background, trim).detach();
    }

    async fn retain_for_ever(self: Rc<Self>) {
        while !self.is_stopping() {
            let interval = self.settings().retention_check_interval_ms;
            rt::time::sleep(Duration::from_millis(interval.max(1))).await;
            let now_ms = rt::time::wall_ms();
            for partition in self.partitions() {
                if self.is_stopping() {
                    return;
                }
                if let Err(error) = partition.retain(now_ms).await {
                    let index = partition.id().index;
                    tracing::warn!(topic = partition.topic(), partition = index, %error, "retention could not be applied");
                }
                rt::task::yield_if_needed().await;
            }
        }
    }

    /// Keeps the high watermarks on the drives.
    async fn checkpoint_for_ever(self: Rc<Self>) {
        while !self.is_stopping() {
            let interval = self.settings().watermark_checkpoint_interval_ms;
            rt::time::sleep(Duration::from_millis(interval)).await;
            if !self.is_stopping() {
                self.write_watermarks().await;
            }
        }
    }

    async fn expire_for_ever(self: Rc<Self>) {
        while !self.is_stopping() {
            let expiration_ms = self.settings().producer_id_expiration_ms;
            let after = Duration::from_millis(u64::try_from(expiration_ms).unwrap_or(0));
            rt::time::sleep(after.clamp(Duration::from_millis(100), EXPIRY_INTERVAL)).await;
            let now_ms = rt::time::wall_ms();
            for partition in self.partitions() {
                partition.expire_producers(now_ms, expiration_ms);
                rt::task::yield_if_needed().await;
            }
        }
    }
}
