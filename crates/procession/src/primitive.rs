//! The atomics and the wait that the protocols of `sync` are made of: the machine's, or a model's.
//!
//! Under `cfg(loom)` a word carries a bell of its own, so that the model checker sees a wake-up that gets lost as a
//! deadlock; `tests/loom.rs` runs the protocols that way.

#[cfg(not(loom))]
pub use crate::platform::{wait_low, wake_low};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(loom)]
pub use model::{AtomicU64, Ordering, wait_low, wake_low};

#[cfg(loom)]
#[allow(missing_docs)]
mod model {
    pub use loom::sync::atomic::Ordering;
    use loom::sync::{Condvar, Mutex};
    use std::time::Instant;

    /// A word and whoever sleeps on it.
    #[derive(Debug)]
    pub struct AtomicU64 {
        value: loom::sync::atomic::AtomicU64,
        sleepers: Mutex<()>,
        bell: Condvar,
    }

    impl AtomicU64 {
        pub fn new(value: u64) -> AtomicU64 {
            let value = loom::sync::atomic::AtomicU64::new(value);
            AtomicU64 { value, sleepers: Mutex::new(()), bell: Condvar::new() }
        }
        pub fn load(&self, order: Ordering) -> u64 {
            self.value.load(order)
        }
        pub fn swap(&self, new: u64, order: Ordering) -> u64 {
            self.value.swap(new, order)
        }
        pub fn fetch_add(&self, more: u64, order: Ordering) -> u64 {
            self.value.fetch_add(more, order)
        }
        pub fn fetch_sub(&self, less: u64, order: Ordering) -> u64 {
            self.value.fetch_sub(less, order)
        }
        pub fn fetch_and(&self, bits: u64, order: Ordering) -> u64 {
            self.value.fetch_and(bits, order)
        }
        pub fn compare_exchange(&self, old: u64, new: u64, yes: Ordering, no: Ordering) -> Result<u64, u64> {
            self.value.compare_exchange(old, new, yes, no)
        }
        pub fn compare_exchange_weak(&self, old: u64, new: u64, yes: Ordering, no: Ordering) -> Result<u64, u64> {
            self.value.compare_exchange_weak(old, new, yes, no)
        }
    }

    pub fn wait_low(word: &AtomicU64, expected: u64, _until: Option<Instant>) -> crate::Result<()> {
        let asleep = word.sleepers.lock().unwrap();
        if word.value.load(Ordering::SeqCst) as u32 == expected as u32 {
            drop(word.bell.wait(asleep).unwrap());
        }
        Ok(())
    }

    pub fn wake_low(word: &AtomicU64, count: u32) -> u32 {
        let _asleep = word.sleepers.lock().unwrap();
        if count == 1 {
            word.bell.notify_one()
        } else {
            word.bell.notify_all()
        }
        count
    }
}
