//! The atomics and the wait that the protocols of `sync` are made of: the machine's, or a model's.
//!
//! Under `cfg(loom)` a word carries a bell of its own, so that the model checker sees a wake-up that gets lost as a
//! deadlock; `tests/loom.rs` runs the protocols that way.

#[cfg(not(loom))]
pub use crate::platform::{wait, wait_low, wake, wake_low};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub use model::{AtomicU32, AtomicU64, Ordering, fence, wait, wait_low, wake, wake_low};

/// Whether a read-modify-write is a full fence already, one that fails too: a fence beside it would be paid twice.
pub const SWAPS_ARE_FENCES: bool = cfg!(all(any(target_arch = "x86", target_arch = "x86_64"), not(loom)));

/// A full fence right behind a read-modify-write: nothing that the caller loads later is older than what that wrote.
#[inline]
pub fn fence_after_swap() {
    if SWAPS_ARE_FENCES {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

#[cfg(loom)]
#[allow(missing_docs)]
mod model {
    pub use loom::sync::atomic::Ordering;
    use loom::sync::{Condvar, Mutex};
    use std::time::Instant;

    loom::lazy_static! {
        static ref FENCES: loom::sync::atomic::AtomicUsize = loom::sync::atomic::AtomicUsize::new(0);
    }

    /// A fence in any order among the others. The model has one of its own at once with what stands before it, as it tries
    /// orders of what several do to one word: so all fences do something to this one.
    pub fn fence(order: Ordering) {
        FENCES.fetch_add(1, Ordering::Relaxed);
        loom::sync::atomic::fence(order);
    }

    /// The model takes no operation for sequentially consistent, only fences: what relies on it has a fence.
    macro_rules! word {
        ($name:ident, $number:ident) => {
            /// A word and whoever sleeps on it.
            #[derive(Debug)]
            pub struct $name {
                value: loom::sync::atomic::$name,
                sleepers: Mutex<()>,
                bell: Condvar,
            }

            impl $name {
                pub fn new(value: $number) -> $name {
                    let value = loom::sync::atomic::$name::new(value);
                    $name { value, sleepers: Mutex::new(()), bell: Condvar::new() }
                }
                pub fn load(&self, order: Ordering) -> $number {
                    self.value.load(order)
                }
                pub fn store(&self, new: $number, order: Ordering) {
                    self.value.store(new, order)
                }
                pub fn swap(&self, new: $number, order: Ordering) -> $number {
                    self.value.swap(new, order)
                }
                pub fn fetch_add(&self, more: $number, order: Ordering) -> $number {
                    self.value.fetch_add(more, order)
                }
                pub fn fetch_sub(&self, less: $number, order: Ordering) -> $number {
                    self.value.fetch_sub(less, order)
                }
                pub fn fetch_and(&self, bits: $number, order: Ordering) -> $number {
                    self.value.fetch_and(bits, order)
                }
                pub fn fetch_or(&self, bits: $number, order: Ordering) -> $number {
                    self.value.fetch_or(bits, order)
                }
                pub fn fetch_max(&self, least: $number, order: Ordering) -> $number {
                    self.value.fetch_max(least, order)
                }
                pub fn compare_exchange(
                    &self,
                    old: $number,
                    new: $number,
                    yes: Ordering,
                    no: Ordering,
                ) -> Result<$number, $number> {
                    self.value.compare_exchange(old, new, yes, no)
                }
                pub fn compare_exchange_weak(
                    &self,
                    old: $number,
                    new: $number,
                    yes: Ordering,
                    no: Ordering,
                ) -> Result<$number, $number> {
                    self.value.compare_exchange_weak(old, new, yes, no)
                }

                fn sleep_while(&self, holds: impl Fn($number) -> bool) {
                    let asleep = self.sleepers.lock().unwrap();
                    // The kernel's look is the newest there is: it sorts sleepers and wakers by a lock with full fences.
                    fence(Ordering::SeqCst);
                    if holds(self.value.load(Ordering::SeqCst)) {
                        drop(self.bell.wait(asleep).unwrap());
                    }
                }

                fn wake(&self, count: u32) -> u32 {
                    fence(Ordering::SeqCst);
                    let _asleep = self.sleepers.lock().unwrap();
                    if count == 1 {
                        self.bell.notify_one()
                    } else {
                        self.bell.notify_all()
                    }
                    count
                }
            }
        };
    }

    word!(AtomicU32, u32);
    word!(AtomicU64, u64);

    pub fn wait_low(word: &AtomicU64, expected: u64, _until: Option<Instant>) -> crate::Result<()> {
        word.sleep_while(|now| now as u32 == expected as u32);
        Ok(())
    }

    pub fn wake_low(word: &AtomicU64, count: u32) -> u32 {
        word.wake(count)
    }

    pub fn wait(word: &AtomicU32, expected: u32, _until: Option<Instant>) -> crate::Result<()> {
        word.sleep_while(|now| now == expected);
        Ok(())
    }

    pub fn wake(word: &AtomicU32, count: u32) -> u32 {
        word.wake(count)
    }
}
