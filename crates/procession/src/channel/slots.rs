//! The ring of task slots: the parent publishes, any worker claims.
//!
//! A slot's word holds its position in the order of publishing and its state:
//!
//! | state | meaning | who may change it |
//! |---|---|---|
//! | 0 | free | the parent: to ready |
//! | 1 | ready | a worker: to claimed; the parent: to free (revoked) |
//! | 2 + w | claimed by worker w, who copies it out | worker w: to free; the parent once w is dead |
//!
//! Nobody ever waits for a slot's word: a worker that is stopped or killed between claiming and freeing keeps one slot,
//! which the parent skips, and finds again by the number in the word when the worker is dead.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::words::claims;
pub use super::words::claims::Ticket;
use crate::shared_memory::{Segment, copy_in, copy_out};

/// How many slots there are.
pub const SLOTS: usize = 256;
/// The most workers that one ring serves.
pub const MAX_WORKERS: usize = 1024;

const SLOT_BYTES: usize = 2048;
const SLOT_HEAD: usize = 16;
const HEAD_AT: usize = 64;
const TAIL_AT: usize = 128;
const SLOTS_AT: usize = 16384;

/// Marks a slot that holds the place of its payload (offset, length) instead of the payload.
const ELSEWHERE: u32 = 1 << 31;

/// The slots in a pool's segment, seen from either side.
#[derive(Clone, Debug)]
pub struct Slots {
    segment: Arc<Segment>,
}

impl Slots {
    /// Where the slots end and blocks may start.
    pub const END: usize = SLOTS_AT + SLOTS * SLOT_BYTES;
    /// The largest payload that a slot holds itself.
    pub const INLINE_BYTES: usize = SLOT_BYTES - SLOT_HEAD;

    /// The slots in `segment`.
    pub fn new(segment: Arc<Segment>) -> Slots {
        Slots { segment }
    }

    fn at(ticket: Ticket) -> usize {
        SLOTS_AT + (ticket as usize % SLOTS) * SLOT_BYTES
    }

    fn word(&self, ticket: Ticket) -> &AtomicU64 {
        self.segment.word64(Slots::at(ticket))
    }

    fn head(&self) -> &AtomicU64 {
        self.segment.word64(HEAD_AT)
    }

    fn tail(&self) -> &AtomicU64 {
        self.segment.word64(TAIL_AT)
    }

    /// Whether a worker would find something to claim.
    #[inline]
    pub fn is_ready(&self) -> bool {
        claims::is_ready(self.head(), self.tail())
    }

    /// How many records wait to be claimed, at most.
    pub fn unclaimed(&self) -> u64 {
        claims::unclaimed(self.head(), self.tail())
    }

    /// Publishes `head` followed by `body`, or the place of `body` in a block; none if no slot is free. Parent only.
    pub fn publish(&self, body: &[u8], place: Option<(u64, u64)>) -> Option<Ticket> {
        let ticket = claims::free_for(self.tail(), SLOTS as u64, |ticket| self.word(ticket))?;
        let at = Slots::at(ticket);
        let mapping = self.segment.mapping();
        let size = match place {
            None => {
                debug_assert!(body.len() <= Slots::INLINE_BYTES);
                copy_in(mapping, at + SLOT_HEAD, body);
                body.len() as u32
            }
            Some((offset, length)) => {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&offset.to_le_bytes());
                bytes[8..].copy_from_slice(&length.to_le_bytes());
                copy_in(mapping, at + SLOT_HEAD, &bytes);
                ELSEWHERE
            }
        };
        // As the payload: the word of the slot, written after it, carries both.
        self.segment.word32(at + 8).store(size, Relaxed);
        claims::publish(self.tail(), self.word(ticket), ticket);
        Some(ticket)
    }

    /// Claims the oldest ready record for `worker`.
    pub fn claim(&self, worker: usize) -> Option<Ticket> {
        claims::claim(self.head(), self.tail(), SLOTS as u64, |ticket| self.word(ticket), worker)
    }

    /// Copies a claimed record out of its slot, or gives the place of its body.
    pub fn read(&self, ticket: Ticket, into: &mut Vec<u8>) -> Option<(u64, u64)> {
        let at = Slots::at(ticket);
        let size = self.segment.word32(at + 8).load(Relaxed);
        let mapping = self.segment.mapping();
        if size & ELSEWHERE == 0 {
            copy_out(mapping, at + SLOT_HEAD, (size as usize).min(Slots::INLINE_BYTES), into);
            return None;
        }
        let mut place = Vec::with_capacity(16);
        copy_out(mapping, at + SLOT_HEAD, 16, &mut place);
        let number = |range: std::ops::Range<usize>| u64::from_le_bytes(place[range].try_into().expect("eight bytes"));
        Some((number(0..8), number(8..16)))
    }

    /// Frees a slot that its worker has copied out.
    pub fn free(&self, ticket: Ticket) {
        claims::free(self.word(ticket), ticket);
    }

    /// Takes a record back that nobody has claimed; false if somebody has. Parent only.
    pub fn revoke(&self, ticket: Ticket) -> bool {
        claims::revoke(self.word(ticket), ticket)
    }

    /// As [`Slots::revoke`], for whoever knows only the low half of the ticket.
    pub fn revoke_low(&self, low: u32) -> bool {
        let ticket = claims::ticket_in(self.word(Ticket::from(low)));
        ticket as u32 == low && self.revoke(ticket)
    }

    /// Frees what a dead worker had claimed and not copied out; says which. Parent only.
    pub fn reclaim(&self, worker: usize) -> Vec<Ticket> {
        (0..SLOTS as u64).filter_map(|slot| claims::reclaim(self.word(slot), worker)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Slots {
        Slots::new(Arc::new(Segment::create("test", Slots::END, true).unwrap()))
    }

    #[test]
    fn records_are_claimed_once_and_in_order() {
        let s = slots();
        for n in 0..3u8 {
            assert_eq!(s.publish(&[n], None), Some(n.into()));
        }
        for n in 0..3u8 {
            assert_eq!(s.claim(7), Some(n.into()));
            let mut body = Vec::new();
            assert_eq!(s.read(n.into(), &mut body), None);
            assert_eq!(body, [n]);
            s.free(n.into());
        }
        assert_eq!(s.claim(7), None);
    }

    #[test]
    fn a_full_ring_refuses_and_a_stuck_slot_is_skipped() {
        let s = slots();
        for _ in 0..SLOTS {
            assert!(s.publish(b"x", None).is_some());
        }
        assert_eq!(s.publish(b"x", None), None);
        assert_eq!(s.claim(1), Some(0));
        assert_eq!(s.claim(2), Some(1));
        s.free(1);
        assert_eq!(s.publish(b"y", None), Some(SLOTS as u64 + 1));
        assert_eq!(s.reclaim(1), [0]);
        let mut seen = Vec::new();
        while let Some(ticket) = s.claim(2) {
            seen.push(ticket);
            s.free(ticket);
        }
        assert_eq!(seen.len(), SLOTS - 1);
        assert_eq!(seen.last(), Some(&(SLOTS as u64 + 1)));
    }

    #[test]
    fn a_slot_given_back_late_does_not_make_ready_records_unreachable() {
        let s = slots();
        (0..SLOTS).for_each(|_| assert!(s.publish(b"x", None).is_some()));
        let mut claimed = Vec::new();
        for worker in 1..5 {
            claimed.push(s.claim(worker).unwrap());
        }
        // The first of them never frees its slot; the others' slots are used again, and then it is found dead.
        claimed[1..].iter().for_each(|ticket| s.free(*ticket));
        while s.publish(b"y", None).is_some() {}
        assert_eq!(s.reclaim(1), [0]);
        while s.publish(b"z", None).is_some() {}
        while let Some(ticket) = s.claim(9) {
            claimed.push(ticket);
            s.free(ticket);
        }
        assert!((0..SLOTS as u64).all(|ticket| claimed.contains(&ticket)));
    }

    #[test]
    fn a_revoked_record_is_not_claimed() {
        let s = slots();
        let ticket = s.publish(b"x", None).unwrap();
        assert!(s.revoke(ticket));
        assert_eq!(s.claim(0), None);
        let ticket = s.publish(b"x", None).unwrap();
        assert_eq!(s.claim(0), Some(ticket));
        assert!(!s.revoke(ticket));
    }

    #[test]
    fn threads_that_claim_at_once_share_the_records_out() {
        let s = slots();
        let total = 20_000u64;
        let claimed = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (s, claimed) = (s.clone(), &claimed);
                scope.spawn(move || {
                    loop {
                        match s.claim(worker) {
                            Some(ticket) => {
                                let mut body = Vec::new();
                                s.read(ticket, &mut body);
                                s.free(ticket);
                                let n = u64::from_le_bytes(body.try_into().unwrap());
                                if n == u64::MAX {
                                    return;
                                }
                                claimed.lock().unwrap().push(n);
                            }
                            None => std::thread::yield_now(),
                        }
                    }
                });
            }
            for n in (0..total).chain([u64::MAX; 4]) {
                while s.publish(&n.to_le_bytes(), None).is_none() {
                    std::thread::yield_now();
                }
            }
        });
        let mut claimed = claimed.into_inner().unwrap();
        claimed.sort_unstable();
        assert_eq!(claimed, (0..total).collect::<Vec<_>>());
    }
}
