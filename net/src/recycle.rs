//! The memory of large frames, used again.
//!
//! Memory that the process has not touched yet is the dearest part of taking a frame in: the system
//! clears it page by page. So every buffer handed out leaves a handle here, and is handed out again
//! when that handle is the last one. Buffers come in sizes a quarter apart, oldest first: what the
//! tail of a log lets go of comes back in the order it went out.
//!
//! It must never hold more than was in use at one time: each buffer that is made new lets one go
//! that nobody uses.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

/// Smaller buffers are left to the allocator.
const LEAST_SHIFT: u32 = 14;

/// Larger ones too: they are few, and would be kept for the next that is as large.
const MOST_SHIFT: u32 = 22;

/// Sizes from one power of two to the next.
const STEPS: usize = 4;

const CLASSES: usize = (MOST_SHIFT - LEAST_SHIFT) as usize * STEPS + 1;

/// How many of the oldest buffers of a size are looked at.
const LOOKED_AT: usize = 4;

/// Buffers of one size.
#[derive(Debug)]
struct Class {
    /// How large they are.
    size: usize,
    /// A handle for each, of what nobody asked for, oldest first.
    handles: VecDeque<BytesMut>,
    /// Whether any was asked for since the last look.
    asked: bool,
}

impl Class {
    fn new(index: usize) -> Self {
        Self {
            size: class_size(index),
            handles: VecDeque::new(),
            asked: false,
        }
    }

    /// A buffer that nobody uses, taken out.
    fn take_free(&mut self) -> Option<BytesMut> {
        self.asked = true;
        for _ in 0..LOOKED_AT.min(self.handles.len()) {
            let mut handle = self.handles.pop_front()?;
            if handle.try_reclaim(self.size) {
                return Some(handle);
            }
            // One that is held for long must not stand before those that are free.
            self.handles.push_back(handle);
        }
        None
    }

    /// Lets go of the oldest buffer, if nobody uses it.
    fn drop_free(&mut self) -> bool {
        let free = self
            .handles
            .front_mut()
            .is_some_and(|handle| handle.try_reclaim(self.size));
        if free {
            self.handles.pop_front();
        }
        free
    }
}

/// The large buffers of one shard's connections.
#[derive(Debug)]
pub struct FramePool {
    classes: RefCell<[Class; CLASSES]>,
}

impl Default for FramePool {
    fn default() -> Self {
        Self {
            classes: RefCell::new(std::array::from_fn(Class::new)),
        }
    }
}

impl FramePool {
    /// An empty buffer with room for `size` bytes, and no more.
    pub fn take(&self, size: usize) -> BytesMut {
        let Some(index) = class(size) else {
            return BytesMut::with_capacity(size);
        };
        let classes = &mut *self.classes.borrow_mut();
        let mut buffer = match classes[index].take_free() {
            Some(buffer) => buffer,
            None => {
                // Least likely to be asked for soon: sizes that are not.
                let mut others = classes.iter_mut().filter(|class| !class.asked);
                others.any(Class::drop_free);
                BytesMut::with_capacity(classes[index].size)
            }
        };
        let handle = buffer.split_off(size);
        classes[index].handles.push_back(handle);
        buffer
    }

    /// Lets go of the unused buffers of sizes that were not asked for since the last call.
    pub fn trim(&self) {
        for class in self.classes.borrow_mut().iter_mut() {
            if !std::mem::take(&mut class.asked) {
                while class.drop_free() {}
            }
        }
    }
}

/// The least size with room for `size` bytes.
fn class(size: usize) -> Option<usize> {
    if size <= 1 << LEAST_SHIFT >> 1 || size > 1 << MOST_SHIFT {
        return None;
    }
    (0..CLASSES).find(|&index| class_size(index) >= size)
}

fn class_size(index: usize) -> usize {
    let power = LEAST_SHIFT as usize + index / STEPS;
    (STEPS + index % STEPS) << power >> STEPS.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_quarter_apart() {
        assert_eq!(
            (class_size(0), class_size(1), class_size(4)),
            (16 << 10, 20 << 10, 32 << 10)
        );
        assert_eq!(class_size(CLASSES - 1), 1 << MOST_SHIFT);
        for size in [8193, 16 << 10, 100_000, 1 << 20, (1 << 20) + 1, 1 << 22] {
            let room = class_size(class(size).unwrap());
            assert!(
                room >= size && (room - size) * 4 <= room.max(64 << 10),
                "{size}: {room}"
            );
        }
        assert_eq!((class(1000), class((1 << 22) + 1)), (None, None));
    }

    #[test]
    fn a_buffer_is_used_again_when_all_of_it_was_let_go() {
        let pool = FramePool::default();
        let mut first = pool.take(100_000);
        let place = first.as_ptr();
        first.extend_from_slice(&[7; 100_000]);
        let kept = first.split_to(10).freeze();
        drop(first);
        let second = pool.take(100_000);
        assert_ne!(second.as_ptr(), place);
        assert_eq!(kept[..], [7; 10]);
        drop(kept);
        let third = pool.take(99_000);
        assert_eq!((third.as_ptr(), third.len()), (place, 0));
        assert_eq!(third.capacity(), 99_000);
        drop(third);
        assert_eq!(pool.take(110_000).as_ptr(), place);
    }

    #[test]
    fn one_that_is_held_does_not_stand_in_the_way() {
        let pool = FramePool::default();
        let held = pool.take(100_000);
        let free = pool.take(100_000);
        let place = free.as_ptr();
        drop(free);
        assert_eq!(pool.take(100_000).as_ptr(), place);
        drop(held);
    }

    #[test]
    fn unused_buffers_of_sizes_not_asked_for_are_let_go() {
        let pool = FramePool::default();
        let count = |pool: &FramePool| -> usize {
            pool.classes
                .borrow()
                .iter()
                .map(|class| class.handles.len())
                .sum()
        };
        let held = pool.take(100_000);
        drop((pool.take(200_000), pool.take(300_000)));
        pool.trim();
        assert_eq!(count(&pool), 3, "asked for since the last look");
        drop(pool.take(500_000));
        assert_eq!(count(&pool), 3, "a new one lets an unused one go");
        pool.trim();
        assert_eq!(count(&pool), 2);
        pool.trim();
        assert_eq!(count(&pool), 1, "one is held");
        drop(held);
        pool.trim();
        assert_eq!(count(&pool), 0);
    }
}
