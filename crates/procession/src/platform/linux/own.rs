//! Values that each process has of its own.
#![allow(unsafe_code)]

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::identity::identity;

/// A value behind a lock, for a static: a process that is forked has a new one, whoever held the lock just then.
///
/// The program may fork while any thread is anywhere, and a lock that one of them holds is locked for ever in the child.
#[derive(Debug)]
pub(crate) struct Own<T> {
    current: AtomicPtr<Owned<T>>,
    make: fn() -> T,
}

#[derive(Debug)]
struct Owned<T> {
    process: u64,
    value: Mutex<T>,
}

impl<T: Send + 'static> Own<T> {
    /// A value that `make` makes when it is first asked for in a process.
    pub(crate) const fn new(make: fn() -> T) -> Own<T> {
        Own { current: AtomicPtr::new(null_mut()), make }
    }

    /// The value of this process.
    pub(crate) fn lock(&'static self) -> MutexGuard<'static, T> {
        self.owned().value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owned(&'static self) -> &'static Owned<T> {
        let process = identity();
        let mut before = self.current.load(Ordering::Acquire);
        loop {
            // SAFETY: it was made below by whoever put it there, all of which the load shows, and is never freed.
            match unsafe { before.as_ref() } {
                Some(owned) if owned.process == process => return owned,
                _ => {}
            }
            let value = Mutex::new((self.make)());
            let made = Box::into_raw(Box::new(Owned { process, value }));
            match self.current.compare_exchange(before, made, Ordering::AcqRel, Ordering::Acquire) {
                Ok(old) => {
                    // SAFETY: as above; what another process had stays, as somebody there may have held it.
                    let old = unsafe { old.as_ref() };
                    if let Some(old) = old
                        && let Ok(mut value) = old.value.try_lock()
                    {
                        // No other thread has set one: its descriptors are closed.
                        drop(std::mem::replace(&mut *value, (self.make)()));
                    }
                    // SAFETY: it was just made, and nobody frees it.
                    return unsafe { &*made };
                }
                Err(now) => {
                    // SAFETY: nobody else has seen it.
                    drop(unsafe { Box::from_raw(made) });
                    before = now;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_have_one_value() {
        static COUNT: Own<u32> = Own::new(|| 7);
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(|| *COUNT.lock() += 1)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*COUNT.lock(), 11);
    }
}
