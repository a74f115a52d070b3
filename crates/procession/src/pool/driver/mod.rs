//! The parent's half of a pool: publishes what the scheduler grants, reads what the workers write, notices deaths.
//!
//! Nothing here waits but [`Waiter::sleep`], which needs no access to the driver: whoever waits lets others work on it.

mod arrivals;
mod blocks;
mod overdue;
mod seats;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::batch::Batch;
use super::board::Board;
use super::record::{HEAD_BYTES, ItemLimits, RecordHead, encode_units};
use super::scheduler::{Grant, JobId, Scheduler};
use super::timeline;
use crate::channel::{Bells, Consumer, Slots, Ticket};
use crate::error::Result;
use crate::platform::{self, Doorbell, Poller, SignalGuard, Watched};
use crate::shared_memory::{Arena, Block, Segment};

pub use self::overdue::Overdue;
pub use self::seats::Invitation;

/// The token of the bell in the poller; workers have their index.
const BELL: u64 = u64::MAX;
/// How many bytes of records wait for workers, but for one record more than there are workers.
const AHEAD_BYTES: usize = 4 << 20;
/// How long records whose items seem short may lie while workers sleep and nothing comes in.
const HELD_BACK: Duration = Duration::from_millis(2);
/// What rebuilding a function and its arguments may take beyond a deadline: the first time, modules are imported.
const TIME_TO_DECODE: Duration = Duration::from_secs(5);
/// The size of a segment that blocks are cut from: it costs nothing until they are.
const MOST_BYTES: usize = 1 << 40;

/// Where a worker sits, as its parent sees it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) ring: Consumer,
    sentinel: Option<Watched>,
    pub(super) pid: u32,
    pub(super) ready: bool,
    pub(super) leaving: bool,
    /// When it was seated, and when it became ready.
    pub(super) since: Instant,
    pub(super) ready_since: Instant,
    /// Whether it has been found too old.
    pub(super) aged: bool,
    /// How many items have their outcome from it.
    pub(super) served: u64,
    /// The item that the worker was asked to give up, and when.
    asked: Option<(Ticket, u32, Duration)>,
    /// The run that is being read: the record and its next item.
    run: Option<(Ticket, u32)>,
    /// Blocks that the worker still sees in place, though their records have ended.
    kept: Vec<Block>,
    /// What a recording calls its worker.
    life: u32,
}

/// What a waiting caller sleeps on.
#[derive(Debug)]
pub struct Waiter {
    poller: Poller,
    bell: Doorbell,
    bells: Bells,
}

impl Waiter {
    /// Sleeps until a worker has something to say, one dies, [`Waiter::wake`] is called, or `until`. Call
    /// [`Driver::about_to_sleep`] first.
    ///
    /// # Errors
    /// `Interrupted` when a signal handler ran.
    pub fn sleep(&self, until: Option<Instant>, guard: Option<&SignalGuard>) -> Result<()> {
        let mut ready = Vec::new();
        let answer = self.poller.wait(until, guard, &mut ready);
        self.bells.parent_awake();
        answer
    }

    /// What to wait for by other means than [`Waiter::sleep`], which is called all the same when the wait is over.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Wakes whoever sleeps here.
    pub fn wake(&self) {
        self.bell.ring();
    }
}

/// Tells, without access to the driver, whether a worker has announced something.
#[derive(Debug, Default)]
pub struct Glance {
    rings: Vec<Arc<Segment>>,
}

impl Glance {
    /// Whether a worker has announced something.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.rings.iter().any(|ring| Consumer::has_announced(ring))
    }
}

/// What was in the slot of a record that lies aside: its bytes, or the place of the block with them.
type Aside = (Vec<u8>, Option<(u64, u64)>);

/// The parent's end of a pool.
#[derive(Debug)]
pub struct Driver {
    slots: Slots,
    bells: Bells,
    arena: Arena,
    segment: Arc<Segment>,
    waiter: Arc<Waiter>,
    pub(super) seats: Vec<Option<Seat>>,
    /// Seats that may be given to a new worker.
    vacant: Vec<usize>,
    glance: Arc<Glance>,
    /// The blocks of each record that is out, and how many bytes of them no other record has.
    blocks: FxHashMap<Ticket, (Vec<Block>, usize)>,
    /// The bytes of all of them.
    block_bytes: usize,
    /// Blocks in use, by their offsets, and by how many.
    users: FxHashMap<usize, (Block, u32)>,
    /// Decides; told here what happens.
    pub scheduler: Scheduler,
    /// What it shows of itself.
    pub board: Board,
    record: Vec<u8>,
    /// Whether a record was published that nobody was woken for.
    held_back: bool,
    /// The recording that it is in; 0: none.
    recording: u32,
    /// Records that lie aside: what was in their slots.
    aside: FxHashMap<Ticket, Aside>,
}

impl Driver {
    /// The parent's end of a pool of `workers`.
    ///
    /// # Errors
    /// The system's.
    pub fn new(workers: usize) -> Result<Driver> {
        let least = Slots::END + (64 << 20);
        let segment = Arc::new(Segment::create_sparse("procession-pool", least, MOST_BYTES)?);
        platform::reserve(&*segment, 0, Slots::END)?;
        let bells = Bells::new(segment.clone());
        let poller = Poller::new()?;
        let bell = Doorbell::new()?;
        poller.add(&bell, BELL)?;
        Ok(Driver {
            slots: Slots::new(segment.clone()),
            arena: Arena::new(segment.clone(), Slots::END),
            waiter: Arc::new(Waiter { poller, bell, bells: bells.clone() }),
            bells,
            board: Board::new(segment.clone()),
            segment,
            seats: Vec::new(),
            vacant: Vec::new(),
            glance: Arc::default(),
            blocks: FxHashMap::default(),
            block_bytes: 0,
            users: FxHashMap::default(),
            scheduler: Scheduler::new(workers),
            record: Vec::new(),
            held_back: false,
            recording: 0,
            aside: FxHashMap::default(),
        })
    }

    /// What to sleep on.
    pub fn waiter(&self) -> Arc<Waiter> {
        self.waiter.clone()
    }

    pub(super) fn wake_worker(&self, index: usize) {
        self.bells.wake(index);
    }

    /// How many notes the workers have sent beside their rings, modulo 2^32.
    #[inline]
    pub fn notes(&self) -> u32 {
        self.bells.notes()
    }

    /// What to poll before sleeping; take a new one when workers came or went.
    pub fn glance(&self) -> Arc<Glance> {
        self.glance.clone()
    }

    /// What to publish next: see [`Scheduler::grant`]. Large records are not piled up: used memory is quicker than fresh.
    pub fn grant(&mut self) -> Option<Grant> {
        if self.scheduler.is_ranked() {
            return self.grant_by_rank();
        }
        if self.block_bytes > AHEAD_BYTES && self.scheduler.out() > self.scheduler.workers() {
            return None;
        }
        self.scheduler.grant()
    }

    /// Tells the scheduler the time, where it wants to know.
    #[inline]
    pub fn tell_time(&mut self) {
        if self.scheduler.is_ranked() {
            self.scheduler.tell_time(platform::coarse_now());
        }
    }

    /// As [`Driver::grant`], where jobs are more urgent than others: what no worker has taken up gives way to what is.
    #[cold]
    fn grant_by_rank(&mut self) -> Option<Grant> {
        self.tell_time();
        let next = self.scheduler.next();
        for ticket in next.map_or_else(Vec::new, |next| self.scheduler.less_urgent(next)) {
            if self.slots.revoke_low(ticket as u32) {
                let mut body = Vec::new();
                let place = self.slots.read(ticket, &mut body);
                self.aside.insert(ticket, (body, place));
                self.scheduler.laid_aside(ticket);
            }
        }
        while let Some(before) = self.scheduler.to_put_forth(next) {
            let Some((body, place)) = self.aside.get(&before) else { break };
            let Some(ticket) = self.slots.publish(body, *place) else { break };
            self.aside.remove(&before);
            self.scheduler.put_forth(before, key(ticket));
            if let Some(blocks) = self.blocks.remove(&before) {
                self.blocks.insert(key(ticket), blocks);
            }
            self.wake_one();
        }
        let large = self.block_bytes > AHEAD_BYTES && self.aside.is_empty();
        if large && self.scheduler.out() > self.scheduler.workers() {
            return None;
        }
        self.scheduler.grant_by_rank(next?)
    }

    /// Publishes `body` as the record of `grant`, which takes `blocks` with it; `timed` when its workers are
    /// to note when items start. False when no slot is free: the grant waits again.
    ///
    /// # Errors
    /// No memory for a large body: the grant is not withdrawn, fail its items.
    pub fn publish(&mut self, grant: Grant, given: ItemLimits, body: &[u8], blocks: Vec<Block>) -> Result<bool> {
        self.publish_parts(grant, given, &[body], blocks)
    }

    /// As [`Driver::publish`], for a body in several parts.
    ///
    /// # Errors
    /// Those of [`Driver::publish`].
    pub fn publish_parts(
        &mut self,
        grant: Grant,
        given: ItemLimits,
        body: &[&[u8]],
        mut blocks: Vec<Block>,
    ) -> Result<bool> {
        if self.recording != timeline::recording() {
            self.follow_recording();
        }
        let mut head = RecordHead::of(&grant, given);
        let held = self.scheduler.units_of(&grant);
        head.has_units = !held.is_empty();
        let held: Vec<u8> = if held.is_empty() { Vec::new() } else { encode_units(held) };
        let head = head.encode();
        let size = HEAD_BYTES + held.len() + body.iter().map(|part| part.len()).sum::<usize>();
        let ticket = if size <= Slots::INLINE_BYTES {
            self.record.clear();
            self.record.extend_from_slice(&head);
            self.record.extend_from_slice(&held);
            body.iter().for_each(|part| self.record.extend_from_slice(part));
            self.slots.publish(&self.record, None)
        } else {
            let block = match self.cut(size) {
                Ok(block) => block,
                Err(error) => {
                    blocks.into_iter().for_each(|block| self.release(block));
                    return Err(error);
                }
            };
            blocks.push(block);
            let parts: Vec<&[u8]> = [&head[..], &held].into_iter().chain(body.iter().copied()).collect();
            if let Err(error) = self.segment.write(block.offset, &parts) {
                blocks.into_iter().for_each(|block| self.release(block));
                return Err(error);
            }
            self.slots.publish(&[], Some((block.offset as u64, size as u64)))
        };
        match ticket {
            Some(ticket) => {
                self.published(grant, ticket, blocks);
                Ok(true)
            }
            None => {
                blocks.into_iter().for_each(|block| self.release(block));
                self.scheduler.withdrawn(grant, 0);
                Ok(false)
            }
        }
    }

    /// A record is out: notes its blocks, tells the scheduler, wakes a worker if it is worth it.
    fn published(&mut self, grant: Grant, ticket: Ticket, blocks: Vec<Block>) {
        let only = |block: &&Block| self.users.get(&block.offset).is_some_and(|(_, users)| *users == 1);
        let bytes = blocks.iter().filter(only).map(|block| block.size).sum::<usize>();
        self.scheduler.weigh(&grant, bytes);
        if !blocks.is_empty() {
            self.block_bytes += bytes;
            self.blocks.insert(key(ticket), (blocks, bytes));
        }
        self.scheduler.published(grant, key(ticket));
        let (workers, processors) = (self.glance.rings.len(), platform::processors());
        // Fewer are awake than this says where records went to those that polled.
        let awake = || workers.saturating_sub(self.bells.sleepers());
        if workers > processors.max(2)
            && (processors.max(2)..workers).contains(&awake())
            && self.scheduler.is_served(grant.job, processors)
        {
            self.held_back = true;
        } else {
            self.wake_one();
        }
    }

    fn wake_one(&self) {
        self.bells.wake_one(self.seats.len(), self.scheduler.out() as u64, || self.slots.unclaimed());
    }

    /// Looks for workers that have ended, without waiting.
    pub fn look_for_deaths(&mut self, batch: &mut Batch) {
        let mut ready = Vec::new();
        let _ = self.waiter.poller.wait(Some(Instant::now()), None, &mut ready);
        for token in ready {
            if token == BELL {
                self.waiter.bell.hush();
            } else {
                self.bury(token as usize, batch);
            }
        }
    }

    /// Says that the caller is about to sleep; false when something came in just now.
    pub fn about_to_sleep(&mut self) -> bool {
        self.bells.parent_sleeps();
        if self.glance.is_ready() {
            self.bells.parent_awake();
            return false;
        }
        true
    }

    /// How long to sleep at most before [`Driver::nudge`], if `longest` is the longest sleep.
    pub fn patience(&self, longest: Duration) -> Duration {
        if self.held_back && self.slots.is_ready() { longest.min(HELD_BACK) } else { longest }
    }

    /// Wakes a sleeping worker if records lie unclaimed: whoever should have taken them may be stopped. All of them, if
    /// some were let sleep, as those that are awake seem to wait for something after all.
    pub fn nudge(&mut self) {
        if !self.slots.is_ready() {
            return;
        }
        if std::mem::take(&mut self.held_back) {
            self.bells.wake_all();
        } else {
            self.bells.wake_any();
        }
    }

    /// Tells the workers to end when no record is left.
    pub fn stop(&self) {
        self.bells.stop();
        self.seats.iter().flatten().for_each(|seat| seat.ring.let_start());
    }

    /// Takes back the records of a job that nobody waits for any more, unless a worker has claimed them, and forgets the job.
    pub fn cancel(&mut self, job: JobId) {
        self.scheduler.cancel(job);
        for ticket in self.scheduler.records_of(job) {
            if self.aside.remove(&ticket).is_some() || self.slots.revoke_low(ticket as u32) {
                self.scheduler.separate(ticket);
                self.forget_block(ticket);
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for seat in self.seats.iter().flatten().filter(|seat| seat.life != timeline::NO_LIFE) {
            timeline::ended(seat.life, true, false);
        }
    }
}

/// What names a record while it is out: frames have room for the low half of its ticket.
pub(super) fn key(ticket: Ticket) -> Ticket {
    Ticket::from(ticket as u32)
}
