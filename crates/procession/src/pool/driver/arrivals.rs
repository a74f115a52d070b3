//! What comes from workers: outcomes, what they say of themselves, and their ends.

use std::time::Instant;

use super::{Driver, Seat, key};
use crate::channel::{FRAME_BYTES, Frame, FrameKind, Phase, Ticket, measure_run};
use crate::pool::batch::{Batch, Death, Outcome, Payload};
use crate::pool::holdings;
use crate::pool::timeline;

impl Driver {
    /// Reads what the workers have published.
    pub fn read(&mut self, batch: &mut Batch) {
        self.tell_time();
        for index in 0..self.seats.len() {
            self.read_seat(index, batch);
        }
        if self.recording != timeline::recording() {
            self.follow_recording();
        }
        if self.recording != 0 {
            timeline::look();
        }
    }

    pub(super) fn read_seat(&mut self, index: usize, batch: &mut Batch) {
        let Some(seat) = self.seats[index].as_mut() else { return };
        if !seat.ring.is_ready() {
            return;
        }
        // Payloads stay where they are read to.
        let mut at = batch.bytes.len();
        seat.ring.drain(&mut batch.bytes);
        let end = batch.bytes.len();
        loop {
            let rest = &batch.bytes[at..end];
            if let Some((ticket, item)) = self.seats[index].as_ref().and_then(|seat| seat.run) {
                let (count, size, ended) = measure_run(rest);
                self.handle_run(index, ticket, item, count, at..at + size, ended, batch);
                at += size + usize::from(ended);
                if !ended {
                    break;
                }
            }
            let Some((frame, payload, _)) = Frame::decode(&batch.bytes[at..end]) else { break };
            let start = at + FRAME_BYTES;
            at = start + payload.len();
            self.handle(index, frame, start..at, batch);
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn handle_run(
        &mut self,
        index: usize,
        ticket: Ticket,
        item: u32,
        count: u32,
        payload: Payload,
        ended: bool,
        batch: &mut Batch,
    ) {
        if let Some(seat) = self.seats[index].as_mut() {
            seat.run = (!ended).then_some((ticket, item + count));
            seat.served += u64::from(count);
        }
        if count == 0 {
            return;
        }
        let Some((job, first)) = self.scheduler.finished(ticket, item, count) else { return };
        let segment = self.seats[index].as_ref().map(|seat| seat.ring.segment().clone());
        batch.outcomes.push(Outcome { job, item: first, run: Some(count), returned: true, segment, payload });
    }

    pub(super) fn handle(&mut self, index: usize, frame: Frame, payload: Payload, batch: &mut Batch) {
        let Some(seat) = self.seats[index].as_mut() else { return };
        let ticket = Ticket::from(frame.ticket);
        match frame.kind {
            FrameKind::Returned | FrameKind::Raised => {
                seat.served += 1;
                let Some((job, item)) = self.scheduler.finished(ticket, frame.item, 1) else { return };
                let payload = fetched(seat, frame, payload, batch);
                let returned = frame.kind == FrameKind::Returned;
                let segment = Some(seat.ring.segment().clone());
                batch.outcomes.push(Outcome { job, item, run: None, returned, segment, payload });
            }
            FrameKind::Run => seat.run = Some((ticket, frame.item)),
            FrameKind::Done | FrameKind::HandedBack => {
                let nanos = batch.bytes[payload].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                self.scheduler.done(ticket, frame.item, nanos);
                self.forget_block(ticket);
            }
            FrameKind::Undecodable => {
                self.scheduler.separate(ticket);
                self.forget_block(ticket);
            }
            FrameKind::Ready => {
                seat.ready = true;
                seat.ready_since = Instant::now();
                if seat.life != timeline::NO_LIFE {
                    timeline::ready(seat.life);
                }
                batch.ready.push(index);
            }
            FrameKind::InitFailed => {
                seat.leaving = true;
                let payload = fetched(seat, frame, payload, batch);
                batch.init_failed.push(payload);
            }
            FrameKind::Last => batch.last.push(index),
            FrameKind::Leaving => {
                seat.leaving = true;
                batch.leaving.push(index);
            }
            FrameKind::Kept => {
                for offset in holdings::decode(&batch.bytes[payload.clone()]) {
                    if let Some((block, users)) = self.users.get_mut(&offset) {
                        *users += 1;
                        seat.kept.push(*block);
                    }
                }
            }
            FrameKind::Dropped => {
                for offset in holdings::decode(&batch.bytes[payload.clone()]) {
                    let seat = self.seats[index].as_mut();
                    let found = seat.and_then(|seat| {
                        let at = seat.kept.iter().position(|block| block.offset == offset)?;
                        Some(seat.kept.swap_remove(at))
                    });
                    found.into_iter().for_each(|block| self.release(block));
                }
            }
        }
    }

    /// A worker has ended: reads what it left, finds what it held, gives up its seat.
    pub(super) fn bury(&mut self, index: usize, batch: &mut Batch) {
        if self.seats.get(index).is_none_or(Option::is_none) {
            return;
        }
        self.read_seat(index, batch);
        let Some(seat) = self.seats[index].take() else { return };
        if let Some(sentinel) = &seat.sentinel {
            let _ = sentinel.with(|file| {
                self.waiter.poller.remove(file);
                Ok(())
            });
        }
        self.renew_glance();
        self.bells.forget(index);
        let mut lost = Vec::new();
        let mut idle = seat.served == 0;
        for ticket in self.slots.reclaim(index) {
            idle = false;
            self.scheduler.died(key(ticket), None, false);
            self.forget_block(key(ticket));
        }
        let ledger = seat.ring.ledger();
        if let Some(ledger) = ledger {
            let (held, item) = match ledger.phase {
                Phase::Claimed => (true, None),
                Phase::Decoding | Phase::Running | Phase::Sending => (true, Some(ledger.item)),
                Phase::Starting | Phase::Idle | Phase::Leaving => (false, None),
            };
            if held {
                idle = false;
                let held = key(ledger.ticket);
                lost.extend(self.scheduler.died(held, item, ledger.phase == Phase::Decoding));
                self.forget_block(held);
            }
        }
        if seat.life != timeline::NO_LIFE {
            timeline::ended(seat.life, seat.leaving, !lost.is_empty());
        }
        seat.kept.into_iter().for_each(|block| self.release(block));
        // The worker may have been woken for a record that it did not take.
        self.bells.wake_all();
        let (starting, segment) = (!seat.ready, seat.ring.segment().clone());
        batch.deaths.push(Death { index, lost, starting, expected: seat.leaving, segment, idle });
    }
}

/// Where a payload is: a large one is fetched from its block.
fn fetched(seat: &Seat, frame: Frame, payload: Payload, batch: &mut Batch) -> Payload {
    if !frame.large {
        return payload;
    }
    let place = batch.bytes[payload].to_vec();
    let start = batch.bytes.len();
    seat.ring.collect(&place, &mut batch.bytes);
    start..batch.bytes.len()
}
