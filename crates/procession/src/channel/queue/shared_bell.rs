//! A bell that all who have a queue share: readable while there are messages, without a thread of anybody.
//!
//! Whoever puts into the empty queue rings it, whoever takes the last message out hushes it, both while they have the lock. So it
//! is right whenever the lock is free, and an owner's death in between is put right by whoever takes the lock next. Each has to
//! bring a descriptor of it, which a queue that is rarely waited for has none to spare for: see `bell.rs`.

use std::sync::atomic::Ordering;

use super::*;

impl Queue {
    /// The queue with a bell for all who have it, each of whom brings a descriptor of the same one. It is silent, and costs
    /// nothing, until somebody asks for it by [`Queue::listen`].
    pub fn with_bell(self, bell: Doorbell) -> Queue {
        Queue { bell: Some(bell), ..self }
    }

    /// The shared bell, which from now on is readable while there are messages; none if the queue has none.
    ///
    /// # Errors
    /// `Interrupted` when it is time to look for signals: call again.
    pub fn listen(&self) -> Result<Option<&Doorbell>> {
        let Some(bell) = &self.bell else { return Ok(None) };
        self.lock()?;
        let listened = self.word32(LISTENED);
        if listened.load(Ordering::Relaxed) == 0 {
            listened.store(1, Ordering::Relaxed);
            self.settle_bell();
        }
        self.unlock();
        Ok(Some(bell))
    }

    /// The shared bell if somebody listens to it; the lock is held.
    #[inline]
    pub(super) fn heard(&self) -> Option<&Doorbell> {
        self.bell.as_ref().filter(|_| self.word32(LISTENED).load(Ordering::Relaxed) != 0)
    }

    /// Has the shared bell ring or be silent by what is in the queue; the lock is held.
    pub(super) fn settle_bell(&self) {
        let Some(bell) = self.heard() else { return };
        bell.hush();
        if !self.seems_empty() {
            bell.ring();
        }
    }

    /// Puts right what an owner of the lock left that died, where somebody may hear a bell that rings for nothing.
    ///
    /// # Errors
    /// `Interrupted` when it is time to look for signals: call again.
    pub(super) fn look_after_bell(&self) -> Result<()> {
        // As it was or as it is: whoever asks for the bell later finds it right.
        if self.heard().is_some() {
            self.lock()?;
            self.unlock();
        }
        Ok(())
    }
}
