//! The parent's half of a pool: publishes what the scheduler grants, reads what the workers write, notices deaths.
//!
//! Nothing here waits but [`Waiter::sleep`], which needs no access to the driver: whoever waits lets others work on it.
//!
//! A long file: seats, records and blocks end together when a worker dies, and are kept together for that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::channel::{
    Badge, Bells, Consumer, FRAME_BYTES, Frame, FrameKind, MAX_WORKERS, Phase, Report, Slots, Ticket, measure_run,
};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Doorbell, Poller, SignalGuard, Watched};
use crate::shared_memory::{Arena, Block, Segment};

use super::board::Board;
use super::holdings;
use super::record::{Given, HEAD_BYTES, RecordHead, encode_units};
use super::scheduler::{Grant, JobId, Lost, Scheduler};
use super::timeline;

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

/// What a new worker needs to take its seat.
#[derive(Debug)]
pub struct Invitation {
    /// Its seat.
    pub index: usize,
    /// The pool's segment.
    pub pool: OwnedFd,
    /// Its own segment.
    pub own: OwnedFd,
    /// The parent's bell.
    pub parent: OwnedFd,
}

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

/// Where a payload lies in [`Batch::bytes`].
pub type Payload = std::ops::Range<usize>;

/// The outcome of an item, or the small results of several in a row.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The job.
    pub job: JobId,
    /// The item, or the first of them.
    pub item: u64,
    /// None for one item; how many results stand in the payload, each behind a byte with its size.
    pub run: Option<u32>,
    /// Whether it returned (or raised).
    pub returned: bool,
    /// The segment of its worker, with the large parts of the payload; it also tells the workers apart.
    pub segment: Option<Arc<Segment>>,
    /// Where its payload lies.
    pub payload: Payload,
}

/// What to do about an item that runs too long, or that nobody wants any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The worker's seat.
    pub index: usize,
    /// The job.
    pub job: JobId,
    /// The item.
    pub item: u64,
    /// Whether the worker was asked in vain, and is to be killed; else it is to be told to look whether it was asked.
    pub kill: bool,
}

/// A worker that has ended.
#[derive(Clone, Debug)]
pub struct Death {
    /// Its seat.
    pub index: usize,
    /// The items that were lost with it.
    pub lost: Vec<Lost>,
    /// Whether it died before it was ready.
    pub starting: bool,
    /// Whether it had said that it would end.
    pub expected: bool,
    /// Its segment: [`crate::channel::forsake_worker`] when its last results are rebuilt.
    pub segment: Arc<Segment>,
    /// Whether it had worked for nobody: no item has an outcome from it, and it held no record.
    pub idle: bool,
}

/// What came in by one look at the workers.
#[derive(Debug, Default)]
pub struct Batch {
    /// The payloads.
    pub bytes: Vec<u8>,
    /// Outcomes, in the order of each worker.
    pub outcomes: Vec<Outcome>,
    /// Workers that have become ready.
    pub ready: Vec<usize>,
    /// Workers that may have taken up their last record.
    pub last: Vec<usize>,
    /// Workers that end by themselves.
    pub leaving: Vec<usize>,
    /// Failures of the initializer.
    pub init_failed: Vec<Payload>,
    /// Workers that ended.
    pub deaths: Vec<Death>,
}

impl Batch {
    /// Whether nothing came in.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
            && self.ready.is_empty()
            && self.last.is_empty()
            && self.leaving.is_empty()
            && self.init_failed.is_empty()
            && self.deaths.is_empty()
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > 4 << 20 {
            self.bytes = Vec::new();
        }
        self.outcomes.clear();
        self.ready.clear();
        self.last.clear();
        self.leaving.clear();
        self.init_failed.clear();
        self.deaths.clear();
    }
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

    /// What the worker of a seat writes about itself; none without one.
    pub fn report(&self, index: usize) -> Option<Report> {
        let seat = self.seats.get(index)?.as_ref()?;
        Some(Report::of(seat.ring.segment().clone()))
    }

    /// Prepares a seat for one more worker, which is shown as that of `place`; none: of its seat.
    ///
    /// # Errors
    /// The system's, or `InvalidInput` when there are [`MAX_WORKERS`] already.
    pub fn invite(&mut self, place: Option<u32>) -> Result<Invitation> {
        let index = match self.vacant.pop() {
            Some(index) => index,
            None if self.seats.len() < MAX_WORKERS => {
                self.seats.push(None);
                self.seats.len() - 1
            }
            None => {
                let message = format!("a pool has at most {MAX_WORKERS} workers");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        };
        let ring = Consumer::create(MOST_BYTES)?;
        Badge::new(ring.segment().clone()).assign(self.board.serial(), place.unwrap_or(index as u32));
        let pool = copy_of(self.segment.as_fd())?;
        let parent = copy_of(self.waiter.bell.as_fd())?;
        let invitation = Invitation { index, pool, own: ring.descriptor()?, parent };
        self.seats[index] = Some(Seat {
            ring,
            sentinel: None,
            pid: 0,
            ready: false,
            leaving: false,
            since: Instant::now(),
            ready_since: Instant::now(),
            aged: false,
            served: 0,
            asked: None,
            run: None,
            kept: vec![],
            life: timeline::NO_LIFE,
        });
        self.renew_glance();
        Ok(invitation)
    }

    /// The worker of seat `index` runs, as process `pid`; `sentinel` becomes readable when it ends. One that is lent stays open until
    /// the death has been told.
    ///
    /// # Errors
    /// The system's.
    pub fn seated(&mut self, index: usize, sentinel: Watched, pid: u32) -> Result<()> {
        sentinel.with(|file| self.waiter.poller.add(file, index as u64))?;
        if let Some(seat) = self.seats.get_mut(index).and_then(Option::as_mut) {
            seat.sentinel = Some(sentinel);
            seat.pid = pid;
            seat.since = Instant::now();
            Badge::new(seat.ring.segment().clone()).seated(pid, platform::coarse_now());
        }
        if self.recording != timeline::recording() {
            self.follow_recording();
        } else if self.recording != 0 {
            self.live(index);
        }
        Ok(())
    }

    /// Gives up the seat of a worker that could not be started.
    pub fn uninvite(&mut self, index: usize) {
        if let Some(seat) = self.seats.get_mut(index) {
            *seat = None;
        }
        self.vacate(index);
        self.renew_glance();
    }

    /// The caller has taken note of the death of the worker of seat `index`: the seat may be given away again.
    pub fn vacate(&mut self, index: usize) {
        let is_empty = self.seats.get(index).is_some_and(Option::is_none);
        if is_empty && !self.vacant.contains(&index) {
            self.vacant.push(index);
        }
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

    fn renew_glance(&mut self) {
        let rings = self.seats.iter().flatten().map(|seat| seat.ring.segment().clone()).collect();
        self.glance = Arc::new(Glance { rings });
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
            self.bells.wake_one(self.slots.unclaimed());
        }
        let large = self.block_bytes > AHEAD_BYTES && self.aside.is_empty();
        if large && self.scheduler.out() > self.scheduler.workers() {
            return None;
        }
        self.scheduler.grant_by_rank(next?)
    }

    /// The segment that blocks of records lie in.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// A block for `size` bytes of a record: give it to [`Driver::publish`] or [`Driver::release`].
    ///
    /// # Errors
    /// No memory.
    pub fn cut(&mut self, size: usize) -> Result<Block> {
        let block = match self.arena.allocate(size) {
            Err(_) if self.arena.warm_bytes() > 0 => {
                self.arena.trim();
                self.arena.allocate(size)?
            }
            answer => answer?,
        };
        self.users.insert(block.offset, (block, 1));
        Ok(block)
    }

    /// One more user of a block, who will give it to [`Driver::publish`] or [`Driver::release`] too.
    pub fn share(&mut self, block: Block) {
        if let Some((_, users)) = self.users.get_mut(&block.offset) {
            *users += 1;
        }
    }

    /// How many bytes of memory of blocks [`Driver::trim`] would give back once all records are read.
    pub fn warm_bytes(&self) -> usize {
        self.arena.warm_bytes() + self.block_bytes
    }

    /// How many bytes of memory are free to be used again.
    pub fn free_bytes(&self) -> usize {
        self.arena.warm_bytes()
    }

    /// How many bytes of blocks workers still see in place, though their records have ended.
    pub fn kept_bytes(&self) -> usize {
        self.seats.iter().flatten().flat_map(|seat| &seat.kept).map(|block| block.size).sum()
    }

    /// Gives the memory of free blocks back to the system.
    pub fn trim(&mut self) {
        self.arena.trim();
    }

    /// Publishes `body` as the record of `grant`, which takes `blocks` with it; `timed` when its workers are
    /// to note when items start. False when no slot is free: the grant waits again.
    ///
    /// # Errors
    /// No memory for a large body: the grant is not withdrawn, fail its items.
    pub fn publish(&mut self, grant: Grant, given: Given, body: &[u8], blocks: Vec<Block>) -> Result<bool> {
        self.publish_parts(grant, given, body, &[], blocks)
    }

    /// As [`Driver::publish`], for a body in two parts.
    ///
    /// # Errors
    /// Those of [`Driver::publish`].
    pub fn publish_parts(
        &mut self,
        grant: Grant,
        given: Given,
        body: &[u8],
        rest: &[u8],
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
        let size = HEAD_BYTES + held.len() + body.len() + rest.len();
        let ticket = if size <= Slots::INLINE_BYTES {
            self.record.clear();
            self.record.extend_from_slice(&head);
            self.record.extend_from_slice(&held);
            self.record.extend_from_slice(body);
            self.record.extend_from_slice(rest);
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
            if let Err(error) = self.segment.write(block.offset, &[&head, &held, body, rest]) {
                blocks.into_iter().for_each(|block| self.release(block));
                return Err(error);
            }
            self.slots.publish(&[], Some((block.offset as u64, size as u64)))
        };
        match ticket {
            Some(ticket) => {
                let only = |block: &&Block| self.users.get(&block.offset).is_some_and(|(_, users)| *users == 1);
                let bytes = blocks.iter().filter(only).map(|block| block.size).sum::<usize>();
                self.scheduler.weigh(&grant, bytes);
                if !blocks.is_empty() {
                    self.block_bytes += bytes;
                    self.blocks.insert(key(ticket), (blocks, bytes));
                }
                self.scheduler.published(grant, key(ticket));
                let processors = platform::processors();
                let awake = self.glance.rings.len().saturating_sub(self.bells.sleepers());
                // Fewer are awake where records went to those that polled.
                if awake >= processors.max(2)
                    && awake < self.glance.rings.len()
                    && self.scheduler.is_served(grant.job, processors)
                {
                    self.held_back = true;
                } else {
                    self.bells.wake_one(self.slots.unclaimed());
                }
                Ok(true)
            }
            None => {
                blocks.into_iter().for_each(|block| self.release(block));
                self.scheduler.withdrawn(grant, 0);
                Ok(false)
            }
        }
    }

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

    /// Has all workers write down what they do when, or no more.
    #[cold]
    fn follow_recording(&mut self) {
        self.recording = timeline::recording();
        self.seats.iter_mut().flatten().for_each(|seat| seat.life = timeline::NO_LIFE);
        if self.recording != 0 {
            timeline::enter(self.board.serial(), &self.segment);
            (0..self.seats.len()).for_each(|index| self.live(index));
        }
    }

    /// Has a worker that runs write down what it does when.
    fn live(&mut self, index: usize) {
        if let Some(seat) = self.seats.get_mut(index).and_then(Option::as_mut).filter(|seat| seat.pid != 0) {
            let since = platform::monotonic_now().saturating_sub(seat.since.elapsed());
            seat.life = timeline::live(self.board.serial(), seat.ring.segment(), seat.pid, since, seat.ready);
        }
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

    /// What the worker of seat `index` runs just now, by its own words, with the ticket of the record.
    pub fn running(&self, index: usize) -> Option<(Ticket, JobId, u64)> {
        let ledger = self.seats.get(index)?.as_ref()?.ring.ledger()?;
        if !matches!(ledger.phase, Phase::Decoding | Phase::Running) {
            return None;
        }
        let ticket = key(ledger.ticket);
        self.scheduler.running(ticket, ledger.item).map(|(job, item)| (ticket, job, item))
    }

    /// The items that have run for longer than `limit` says of their job at the time `now`, of the clock
    /// [`platform::monotonic_now`]; and those whose worker was asked to give them up more than `grace` ago.
    ///
    /// A limit of zero is that of a job that nobody wants any more: its whole record is to be given up, and the time that
    /// it gets for that does not begin again with each item.
    pub fn overdue(
        &mut self,
        now: Duration,
        grace: Duration,
        limit: impl Fn(JobId, u64) -> Option<Duration>,
    ) -> Vec<Overdue> {
        let mut all = Vec::new();
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            let Some(ledger) = seat.ring.ledger() else { continue };
            let held = key(ledger.ticket);
            let runs = matches!(ledger.phase, Phase::Running | Phase::Decoding);
            let Some((job, item)) = self.scheduler.running(held, ledger.item).filter(|_| runs) else {
                seat.asked = None;
                continue;
            };
            match seat.asked {
                Some((ticket, asked, since)) if (ticket, asked) == (held, ledger.item) => {
                    if now.saturating_sub(since) > grace {
                        all.push(Overdue { index, job, item, kill: true });
                    }
                }
                _ => {
                    let started = seat.ring.running_since();
                    let more = if ledger.phase == Phase::Decoding { TIME_TO_DECODE } else { Duration::ZERO };
                    let limit = limit(job, item);
                    let unwanted = limit.is_some_and(|limit| limit.is_zero());
                    let over = limit.is_some_and(|limit| unwanted || now.saturating_sub(started) >= limit + more);
                    // The time may be that of the item before: look again which one runs.
                    if over && seat.ring.ledger() == Some(ledger) {
                        let since = match seat.asked {
                            Some((ticket, _, since)) if unwanted && ticket == held => since,
                            _ => now,
                        };
                        match unwanted {
                            true => seat.ring.call_off(ledger.ticket),
                            false => seat.ring.interrupt(ledger.ticket, ledger.item),
                        }
                        seat.asked = Some((held, ledger.item, since));
                        let kill = now.saturating_sub(since) > grace;
                        all.push(Overdue { index, job, item, kill });
                    }
                }
            }
        }
        all
    }

    /// Tells the workers to end when no record is left.
    pub fn stop(&self) {
        self.bells.stop();
        self.seats.iter().flatten().for_each(|seat| seat.ring.let_start());
    }

    /// Keeps `bytes` where workers can read them until [`Driver::release`].
    ///
    /// # Errors
    /// No memory.
    pub fn hold(&mut self, bytes: &[u8]) -> Result<Block> {
        let block = self.cut(bytes.len())?;
        match self.segment.write(block.offset, &[bytes]) {
            Ok(()) => Ok(block),
            Err(error) => {
                self.release(block);
                Err(error)
            }
        }
    }

    /// Gives up what [`Driver::hold`], [`Driver::cut`] or [`Driver::share`] gave; the last user frees the block.
    pub fn release(&mut self, block: Block) {
        let Some((_, users)) = self.users.get_mut(&block.offset) else { return };
        *users -= 1;
        if *users == 0 {
            self.users.remove(&block.offset);
            self.arena.free(block);
        }
    }

    /// Nobody waits for a job any more: takes back its records that no worker has claimed, and forgets it.
    pub fn cancel(&mut self, job: JobId) {
        self.scheduler.cancel(job);
        for ticket in self.scheduler.records_of(job) {
            if self.aside.remove(&ticket).is_some() || self.slots.revoke_low(ticket as u32) {
                self.scheduler.separate(ticket);
                self.forget_block(ticket);
            }
        }
    }

    fn forget_block(&mut self, ticket: Ticket) {
        if let Some((blocks, bytes)) = self.blocks.remove(&ticket) {
            self.block_bytes -= bytes;
            blocks.into_iter().for_each(|block| self.release(block));
        }
    }

    fn read_seat(&mut self, index: usize, batch: &mut Batch) {
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
    fn handle_run(
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

    fn handle(&mut self, index: usize, frame: Frame, payload: Payload, batch: &mut Batch) {
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
    fn bury(&mut self, index: usize, batch: &mut Batch) {
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
        // It may have been woken for a record that it did not take.
        self.bells.wake_all();
        let (starting, segment) = (!seat.ready, seat.ring.segment().clone());
        batch.deaths.push(Death { index, lost, starting, expected: seat.leaving, segment, idle });
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

fn copy_of(file: BorrowedFd<'_>) -> Result<OwnedFd> {
    file.try_clone_to_owned().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))
}
