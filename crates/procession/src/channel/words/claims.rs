//! The words of the task slots: where publishing and claiming are, and one for each slot.

use crate::primitive::{AtomicU64, Ordering};

/// The position of a record in the order of publishing; never used twice in a pool.
pub type Ticket = u64;

const FREE: u64 = 0;
const READY: u64 = 1;
const CLAIMED: u64 = 2;
const STATE: u64 = 0xffff;

fn word(position: Ticket, state: u64) -> u64 {
    position << 16 | state
}

/// Whether there is something to claim, perhaps: `head` may be an old one, and whoever claims finds nothing then.
#[inline]
pub fn is_ready(head: &AtomicU64, tail: &AtomicU64) -> bool {
    head.load(Ordering::Relaxed) < tail.load(Ordering::Acquire)
}

/// How many records wait to be claimed, at most; for the parent, who alone writes `tail`.
#[inline]
pub fn unclaimed(head: &AtomicU64, tail: &AtomicU64) -> u64 {
    let head = head.load(Ordering::Acquire);
    tail.load(Ordering::Relaxed).saturating_sub(head)
}

/// Where the next record may be written, of `slots`; none if no slot is free. Parent only.
#[inline]
pub fn free_for<'a>(tail: &AtomicU64, slots: u64, slot: impl Fn(Ticket) -> &'a AtomicU64) -> Option<Ticket> {
    // No other process writes the word.
    let first = tail.load(Ordering::Relaxed);
    // Acquire: the worker that freed the slot has read the record before this one.
    let state = |ticket: Ticket| slot(ticket).load(Ordering::Acquire) & STATE;
    // A claimed slot belongs to a worker that stands still: go past it. Never past a ready one: workers look for
    // records no further back than one round of the ring.
    let ticket = (first..first.checked_add(slots)?).find(|ticket| state(*ticket) < CLAIMED)?;
    (state(ticket) == FREE).then_some(ticket)
}

/// Publishes what was written into the slot, whose word this is. Parent only.
#[inline]
pub fn publish(tail: &AtomicU64, slot: &AtomicU64, ticket: Ticket) {
    slot.store(word(ticket, READY), Ordering::Release);
    tail.store(ticket + 1, Ordering::SeqCst);
}

/// Claims the oldest ready record for `worker`, who may then read its slot.
#[inline]
pub fn claim<'a>(
    head: &AtomicU64,
    tail: &AtomicU64,
    slots: u64,
    slot: impl Fn(Ticket) -> &'a AtomicU64,
    worker: usize,
) -> Option<Ticket> {
    loop {
        let end = tail.load(Ordering::Acquire);
        let first = head.load(Ordering::Acquire).max(end.saturating_sub(slots));
        if first >= end {
            return None;
        }
        let mine = word(first, CLAIMED + worker as u64);
        let claimed =
            slot(first).compare_exchange(word(first, READY), mine, Ordering::AcqRel, Ordering::Acquire).is_ok();
        // Whatever the word was, nobody finds this position ready again.
        let _ = head.fetch_max(first + 1, Ordering::AcqRel);
        if claimed {
            return Some(first);
        }
    }
}

/// Frees a slot that its worker has copied out.
#[inline]
pub fn free(slot: &AtomicU64, ticket: Ticket) {
    slot.store(word(ticket, FREE), Ordering::Release);
}

/// Takes a record back that nobody has claimed; false if somebody has. Parent only: what is in the slot, it wrote itself.
pub fn revoke(slot: &AtomicU64, ticket: Ticket) -> bool {
    slot.compare_exchange(word(ticket, READY), word(ticket, FREE), Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// The record that is in the slot, or was last.
pub fn ticket_in(slot: &AtomicU64) -> Ticket {
    slot.load(Ordering::Acquire) >> 16
}

/// Frees a slot that `worker`, which is dead, has claimed and not copied out; says which record was there. Parent only.
pub fn reclaim(slot: &AtomicU64, worker: usize) -> Option<Ticket> {
    let now = slot.load(Ordering::Acquire);
    if now & STATE != CLAIMED + worker as u64 {
        return None;
    }
    slot.store(now & !STATE | FREE, Ordering::Release);
    Some(now >> 16)
}
