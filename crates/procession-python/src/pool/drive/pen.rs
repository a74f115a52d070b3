//! One thread at a time encodes what a pool sends, as in the standard library: objects may fill the same memory when they are
//! pickled, one after the other.
//!
//! Nobody waits for the pen: who has it looks once more for those who came meanwhile.

use std::sync::Mutex;
use std::thread::ThreadId;

use super::{lock, this_thread};

/// The right to encode, which one thread has.
#[derive(Default)]
pub(super) struct Pen(Mutex<State>);

#[derive(Default)]
struct State {
    holder: Option<ThreadId>,
    /// How often its holder has it: what is pickled may use the pool itself.
    depth: usize,
    /// Whether another came meanwhile.
    again: bool,
}

impl Pen {
    /// Runs `encode`, unless another thread is at it; gives its answer, and whether others came meanwhile, for whom the caller is
    /// to look once more.
    pub(super) fn take<E>(&self, encode: impl FnOnce() -> Result<(), E>) -> (Result<(), E>, bool) {
        let me = this_thread();
        {
            let mut state = lock(&self.0);
            if state.holder.is_some_and(|holder| holder != me) {
                state.again = true;
                return (Ok(()), false);
            }
            (state.holder, state.depth) = (Some(me), state.depth + 1);
        }
        // Gives the pen up, and says whether others came, at one moment: nobody comes in between unseen.
        let mut end = End(self, false);
        let answer = encode();
        let again = end.give_up();
        (answer, again)
    }
}

/// The pen in the hand of a thread, and whether it has given it up.
struct End<'a>(&'a Pen, bool);

impl End<'_> {
    fn give_up(&mut self) -> bool {
        if std::mem::replace(&mut self.1, true) {
            return false;
        }
        let mut state = lock(&self.0.0);
        state.depth -= 1;
        if state.depth > 0 {
            return false;
        }
        state.holder = None;
        std::mem::take(&mut state.again)
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}
