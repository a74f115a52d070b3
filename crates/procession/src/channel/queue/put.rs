//! Putting messages in.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::chunks::damaged;
use super::*;

impl Queue {
    /// Puts a message made of two parts, if there is room; the lock is held.
    fn put_locked(&self, head: &[u8], body: &[u8]) -> Result<bool> {
        if self.has_no_room() {
            return Ok(false);
        }
        let before = self.place(TAIL).ok_or_else(damaged)?;
        match self.write_record(before, head, body) {
            Ok(end) => {
                // Rung for nothing, should this process die here, rather than silent for a message that is there.
                if let Some(bell) = self.heard().filter(|_| self.seems_empty()) {
                    bell.ring();
                }
                self.word64(TAIL).store(end.word(), Ordering::Release);
                self.word64(COUNTS).fetch_add(ONE_DONE + 1, Ordering::AcqRel);
                Ok(true)
            }
            Err(e) => {
                // What was chained for this message is as if its writer had died.
                self.repair();
                Err(e)
            }
        }
    }

    fn announce_put(&self) {
        if sleeps::changed(self.word32(PUTS), self.word32(GETTERS)) {
            wake(self.word32(PUTS), sleeps::enough(self.word32(WATCHERS)));
        }
    }

    /// Puts a message, made of two parts, without waiting for anything.
    ///
    /// # Errors
    /// The system's, when there is no memory for it.
    pub fn try_put(&self, head: &[u8], body: &[u8]) -> Result<Attempt<()>> {
        if !self.try_lock() {
            return Ok(Attempt::Busy);
        }
        let put = self.put_locked(head, body);
        self.unlock();
        if !put? {
            return Ok(Attempt::Unready);
        }
        self.announce_put();
        Ok(Attempt::Done(()))
    }

    /// Puts a message, made of two parts, if there is room; waits only for others that are at the queue.
    ///
    /// # Errors
    /// The system's; `Interrupted` when it is time to look for signals: call again.
    pub fn put(&self, head: &[u8], body: &[u8]) -> Result<bool> {
        self.lock()?;
        let put = self.put_locked(head, body);
        self.unlock();
        if put.as_ref().is_ok_and(|put| *put) {
            self.announce_put();
            if head.len() + body.len() >= LARGE_BYTES {
                self.let_getters_catch_up();
            }
        }
        put
    }

    /// Puts a message, made of a number and a body, if there is room and `first`, which gets the number, says true. Numbers grow in the
    /// order of the messages; one that was lost is not given again. Nobody else is at the queue meanwhile.
    ///
    /// # Errors
    /// Those of [`Queue::put`], and of `first`.
    pub fn put_numbered(&self, body: &[u8], first: impl FnOnce(u64) -> Result<bool>) -> Result<bool> {
        self.lock()?;
        let put = self.put_numbered_locked(body, first);
        self.unlock();
        if put.as_ref().is_ok_and(|put| *put) {
            self.announce_put();
        }
        put
    }

    fn put_numbered_locked(&self, body: &[u8], first: impl FnOnce(u64) -> Result<bool>) -> Result<bool> {
        if self.has_no_room() {
            return Ok(false);
        }
        let number = self.word64(NUMBERS).fetch_add(1, Ordering::Relaxed) + 1;
        Ok(first(number)? && self.put_locked(&number.to_ne_bytes(), body)?)
    }

    fn backlog(&self) -> u64 {
        self.word64(USED).load(Ordering::Relaxed).saturating_sub(self.word64(FREE_COUNT).load(Ordering::Relaxed))
    }

    /// Waits a little while getters work on a large backlog, as long as that has been worth it. Where nobody gets, this waits
    /// once and then no more.
    fn let_getters_catch_up(&self) {
        let before = self.backlog();
        let gets = self.word32(GETS);
        let mut seen = gets.load(Ordering::Acquire);
        if before < BACKLOG_CHUNKS || !self.courtesy.is_due(seen) {
            return;
        }
        let begun = Instant::now();
        while self.backlog() > BACKLOG_CHUNKS / 2 && begun.elapsed() < COURTESY {
            self.word32(PUTTERS).fetch_add(1, Ordering::SeqCst);
            let sign = wait(gets, seen, Some(Instant::now() + SIGN));
            self.word32(PUTTERS).fetch_sub(1, Ordering::SeqCst);
            let now = gets.load(Ordering::Acquire);
            if now == seen {
                if sign.is_err_and(|error| error.kind() == ErrorKind::TimedOut) {
                    self.courtesy.no_sign(seen);
                }
                break;
            }
            seen = now;
        }
        self.courtesy.waited(begun.elapsed(), before.saturating_sub(self.backlog()));
    }

    /// Waits until there is room, as far as one can tell.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted` when it is time to look for signals: call again.
    pub fn wait_for_room(&self, until: Option<Instant>) -> Result<()> {
        self.sleep(GETS, PUTTERS, until, || !self.has_no_room())
    }
}
