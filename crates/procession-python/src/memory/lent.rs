//! A room that is lent to the pickler while it makes a pickle, so that large parts are copied when they are pickled: what
//! is pickled behind them may change them.
//!
//! The last of the four files of the binding with unsafe code: the pickler is an object of Python's, which may hold nothing that lives
//! on the stack.
#![allow(unsafe_code)]

use std::mem::transmute;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use crate::memory::place::Room;

thread_local! {
    /// Its address tells the threads that live apart.
    static HERE: u8 = const { 0 };
}

/// Where the room is, and the thread that lent it; nothing while it is in use.
#[derive(Default)]
pub(crate) struct LentRoom(Mutex<Option<(usize, Address)>>);

#[derive(Clone, Copy)]
struct Address(NonNull<dyn Room>);

// SAFETY: it is an address only. What is there is used in the thread that lent it alone, which `LentRoom::with` makes sure of.
unsafe impl Send for Address {}

fn here() -> usize {
    HERE.with(|here| std::ptr::from_ref(here) as usize)
}

impl LentRoom {
    fn replace(&self, next: Option<(usize, Address)>) -> Option<(usize, Address)> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), next)
    }

    /// Lends a room for as long as `run` takes.
    pub(crate) fn lend<T>(&self, room: &mut dyn Room, run: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a LentRoom);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.replace(None);
            }
        }
        // SAFETY: only the lifetime changes. The address is taken away again before this function ends, however it ends, and
        // until then the room is borrowed by it and nobody else uses it.
        let room = unsafe { transmute::<NonNull<dyn Room + '_>, NonNull<dyn Room>>(NonNull::from(room)) };
        let _end = End(self);
        self.replace(Some((here(), Address(room))));
        run()
    }

    /// Calls `put` with the room; none if this thread was lent none, or uses it already.
    pub(crate) fn with<T>(&self, put: impl FnOnce(&mut dyn Room) -> T) -> Option<T> {
        let lent = self.replace(None)?;
        if lent.0 != here() {
            self.replace(Some(lent));
            return None;
        }
        let mut room = lent.1.0;
        // SAFETY: the room is alive and borrowed by `lend`, which has not returned: that takes the address away. This is its
        // thread, and nobody else finds the address before it is put back.
        let answer = put(unsafe { room.as_mut() });
        self.replace(Some(lent));
        Some(answer)
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
