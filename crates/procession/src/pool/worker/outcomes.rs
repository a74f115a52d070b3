//! What a worker sends: outcomes, the end of a record, what it still sees in place; and when the parent is rung for it.

use std::time::Duration;

use super::{Worker, wake};
use crate::channel::{FrameKind, Phase, RUN_END};
use crate::error::Result;
use crate::platform::coarse_now;
use crate::pool::holdings::encode;

/// A record whose items take longer than this gives the rest back, so that idle workers can take it.
const HAND_BACK_AFTER: Duration = Duration::from_millis(4);
/// After how many items the clock is read at the latest.
const STRIDE: u32 = 8;
/// A job whose items take so long has what each is given shown: that takes a thousandth of it.
const WORTH_SHOWING: Duration = Duration::from_millis(5);
/// How long the parent may sleep on results of a record that is not worked off.
const RING_AFTER: Duration = Duration::from_millis(1);
/// How many bytes of offsets one frame holds: a multiple of 8 that needs no block.
const MOST_TOLD: usize = 8192;

impl Worker {
    /// The outcome of the item that ran.
    ///
    /// # Errors
    /// No memory for a large payload: the item is not reported then.
    #[inline]
    pub fn outcome(&mut self, kind: FrameKind, payload: &[u8]) -> Result<()> {
        self.tell_outcome(kind, payload)?;
        if kind == FrameKind::Raised
            && let Some(rows) = &mut self.rows
        {
            rows.raised(self.next, self.ring.written());
        }
        self.next += 1;
        Ok(())
    }

    /// The result of the item that ran, with more beside it: in the words of the face, but it has not failed.
    ///
    /// # Errors
    /// As [`Worker::outcome`].
    pub fn returned_with_more(&mut self, payload: &[u8]) -> Result<()> {
        self.tell_outcome(FrameKind::Raised, payload)?;
        self.next += 1;
        Ok(())
    }

    #[inline]
    fn tell_outcome(&mut self, kind: FrameKind, payload: &[u8]) -> Result<()> {
        let (bells, parent) = (&self.bells, &self.parent);
        let mut stuck = || wake(bells, parent);
        self.ring.write(kind, self.ticket, self.next, payload, &mut stuck)
    }

    /// The result of the item that ran: all but the first byte of `framed`, which is room for the size of a small one. It is
    /// `named` if it can only be read after those that came before it.
    ///
    /// # Errors
    /// No memory for a large result: the item is not reported then.
    #[inline]
    pub fn returned(&mut self, framed: &mut [u8], named: bool) -> Result<()> {
        let size = framed.len() - 1;
        if size >= usize::from(RUN_END) {
            return self.outcome(FrameKind::Returned, &framed[1..]);
        }
        framed[0] = size as u8;
        let (bells, parent) = (&self.bells, &self.parent);
        let mut stuck = || wake(bells, parent);
        self.ring.write_small(self.ticket, self.next, framed, named, &mut stuck)?;
        self.next += 1;
        Ok(())
    }

    /// As [`Worker::returned`], for a result of a few bytes, whose number is known when this is compiled.
    ///
    /// # Errors
    /// The system's.
    #[inline]
    pub fn returned_small<const N: usize>(&mut self, framed: &mut [u8; N], named: bool) -> Result<()> {
        const { assert!(N <= RUN_END as usize) };
        framed[0] = (N - 1) as u8;
        if !self.ring.write_small_quickly(framed, named) {
            return self.returned(framed, named);
        }
        self.next += 1;
        Ok(())
    }

    /// After an outcome that is not the record's last: makes it count, rings if the parent would wait too long, and
    /// says whether the rest of the record should go back.
    #[inline]
    pub fn between(&mut self) -> bool {
        self.ring.publish();
        self.unchecked += 1;
        if self.unchecked < self.stride {
            return false;
        }
        self.unchecked = 0;
        let now = coarse_now();
        // Even the cheap clock is read less often while it stands still.
        self.stride = if now == self.checked { (self.stride * 2).min(STRIDE) } else { 1 };
        if let Some(rows) = &mut self.rows {
            self.stride = rows.mark(self.next, self.ring.written());
        }
        self.checked = now;
        self.ring.note_time(now);
        if now.saturating_sub(self.rung) > RING_AFTER {
            self.rung = now;
            self.wake_parent();
        }
        now.saturating_sub(self.coarse_begun) > HAND_BACK_AFTER
    }

    /// Time that the record has taken so far says nothing about its other items.
    pub fn excuse(&mut self, spent: Duration) {
        self.begun += spent;
        self.coarse_begun += spent;
    }

    /// Lets the parent see at once what was published so far.
    pub fn flush(&mut self) {
        self.ring.publish();
        self.wake_parent();
    }

    /// The record is worked off.
    ///
    /// # Errors
    /// The system's.
    pub fn done(&mut self) -> Result<()> {
        self.end(FrameKind::Done)
    }

    /// The items that have not run go back.
    ///
    /// # Errors
    /// The system's.
    pub fn hand_back(&mut self) -> Result<()> {
        self.end(FrameKind::HandedBack)
    }

    /// One of the items cannot be rebuilt: they go back to be sent one by one.
    ///
    /// # Errors
    /// The system's.
    pub fn undecodable(&mut self) -> Result<()> {
        self.end(FrameKind::Undecodable)
    }

    pub(super) fn end(&mut self, kind: FrameKind) -> Result<()> {
        self.report()?;
        self.badge.serve(self.next.into());
        if let Some(rows) = &mut self.rows {
            rows.mark(self.next, self.ring.written());
        }
        let took = self.begun.elapsed();
        let nanos = took.as_nanos() as u64;
        if took >= WORTH_SHOWING * self.next.max(1) {
            self.slow = Some(self.job);
        } else if self.slow == Some(self.job) {
            self.slow = None;
        }
        self.tell(kind, self.next, &nanos.to_le_bytes())?;
        // The ticket stays: a death between the two words must not name another record.
        self.ring.note(Phase::Idle, self.ticket, self.next);
        Ok(())
    }

    pub(super) fn tell(&mut self, kind: FrameKind, item: u32, payload: &[u8]) -> Result<()> {
        let (bells, parent) = (&self.bells, &self.parent);
        let mut stuck = || wake(bells, parent);
        self.ring.write(kind, self.ticket, item, payload, &mut stuck)?;
        self.ring.publish();
        self.wake_parent();
        Ok(())
    }

    #[inline]
    pub(super) fn wake_parent(&self) {
        self.ring.announce();
        let _ = wake(&self.bells, &self.parent);
    }

    /// Tells the parent what is not seen in place any more, outside of a record.
    ///
    /// # Errors
    /// The system's.
    pub fn tidied(&mut self) -> Result<()> {
        self.report()?;
        self.wake_parent();
        Ok(())
    }

    pub(super) fn report(&mut self) -> Result<()> {
        let report = self.holdings.report();
        if !report.kept.is_empty() {
            self.tell_quietly(FrameKind::Kept, &encode(&report.kept))?;
        }
        if !report.dropped.is_empty() {
            self.tell_quietly(FrameKind::Dropped, &encode(&report.dropped))?;
        }
        Ok(())
    }

    pub(super) fn tell_quietly(&mut self, kind: FrameKind, payload: &[u8]) -> Result<()> {
        for part in payload.chunks(MOST_TOLD) {
            let (bells, parent) = (&self.bells, &self.parent);
            let mut stuck = || wake(bells, parent);
            self.ring.write(kind, self.ticket, 0, part, &mut stuck)?;
        }
        self.ring.publish();
        Ok(())
    }
}
