//! A worker's half of a pool: claim, note, run, publish.
//! Each step leaves the ledger in a state that a death may find.

mod outcomes;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::holdings::Holdings;
use super::record::{RecordHead, take_units};
use super::scheduler::{JobId, Unit};
use crate::channel::{Badge, Bells, FrameKind, Phase, Producer, RowWriter, Slots, Spin, Ticket, current_item};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Doorbell, coarse_now};
use crate::shared_memory::Segment;

/// A worker that has had nothing to do for so long gives the memory of free blocks back.
const TRIM_AFTER: Duration = Duration::from_secs(1);

/// How often a worker that waits for its turn looks whether the pool was closed.
const RESERVE_LOOK: Duration = Duration::from_millis(200);

/// When a worker says that it has nothing to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    Never,
    AtOnce,
    AfterRest,
}

/// How any thread of a worker tells the parent that it has sent a note, beside the ring.
#[derive(Clone, Debug)]
pub struct Line {
    bells: Bells,
    parent: Arc<Doorbell>,
}

impl Line {
    /// A note was sent: wakes the parent, should it sleep.
    pub fn note_sent(&self) {
        self.bells.note_sent();
        let _ = wake(&self.bells, &self.parent);
    }
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Works off the record that [`Worker::take_body`] gives.
    Record(RecordHead),
    /// Ends: another worker takes its place.
    Leave,
    /// Ends: the pool is closed.
    Stop,
    /// Tidies up: there is nothing to do.
    Idle,
}

/// The worker's end of a pool.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    pool: Arc<Segment>,
    slots: Slots,
    bells: Bells,
    ring: Producer,
    badge: Badge,
    parent: Arc<Doorbell>,
    spin: Spin,
    body: Vec<u8>,
    holdings: Arc<Holdings>,
    ticket: Ticket,
    /// The job of the record, and the last one whose items took long.
    job: JobId,
    slow: Option<JobId>,
    timed: bool,
    next: u32,
    begun: Instant,
    /// By the coarse clock, which is cheap enough to be read after each item.
    coarse_begun: Duration,
    rung: Duration,
    checked: Duration,
    unchecked: u32,
    stride: u32,
    /// How many bytes of memory it may have between items.
    memory: u64,
    weighed: Duration,
    /// Writes down what runs when, if that is wanted, and how it was wanted at the last record.
    rows: Option<Box<RowWriter>>,
    rows_wanted: u64,
    /// What the record holds beside the worker.
    units: Vec<Unit>,
}

impl Worker {
    /// Takes the seat `index` with the descriptors of an invitation.
    ///
    /// # Errors
    /// The system's.
    pub fn open(index: usize, pool: OwnedFd, own: OwnedFd, parent: OwnedFd) -> Result<Worker> {
        let pool = Arc::new(Segment::open(pool)?);
        let now = coarse_now();
        let ring = Producer::open(own)?;
        let badge = Badge::new(ring.segment().clone());
        platform::name_thread(&format!("procession:w{}", badge.place()));
        Ok(Worker {
            index,
            slots: Slots::new(pool.clone()),
            bells: Bells::new(pool.clone()),
            pool,
            ring,
            badge,
            parent: Arc::new(Doorbell::from_fd(parent)),
            spin: Spin::new(),
            body: Vec::new(),
            holdings: Arc::default(),
            ticket: 0,
            job: 0,
            slow: None,
            timed: false,
            next: 0,
            begun: Instant::now(),
            coarse_begun: now,
            rung: now,
            checked: now,
            unchecked: 0,
            stride: 1,
            memory: u64::MAX,
            weighed: now,
            rows: None,
            rows_wanted: 0,
            units: Vec::new(),
        })
    }

    /// Says that the worker is ready for records.
    ///
    /// # Errors
    /// The system's.
    pub fn ready(&mut self) -> Result<()> {
        self.ring.note(Phase::Idle, 0, 0);
        self.tell(FrameKind::Ready, 0, &[])
    }

    /// Says that the initializer failed; the worker ends after this.
    ///
    /// # Errors
    /// The system's.
    pub fn init_failed(&mut self, failure: &[u8]) -> Result<()> {
        self.tell(FrameKind::InitFailed, 0, failure)
    }

    /// Says that the worker ends by itself.
    ///
    /// # Errors
    /// The system's.
    pub fn leaving(&mut self) -> Result<()> {
        self.ring.note(Phase::Leaving, 0, 0);
        self.tell(FrameKind::Leaving, 0, &[])
    }

    /// Waits, once ready, until the worker whose place this one takes has ended, or the pool is closed.
    ///
    /// # Errors
    /// `Interrupted` when a signal handler ran: look at what it wants and wait again.
    pub fn wait_to_start(&mut self) -> Result<()> {
        while self.ring.waits_to_start() && !self.bells.is_stopped() {
            match self.ring.wait_to_start(Instant::now() + RESERVE_LOOK) {
                Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Says that the record that it takes up may be its last.
    ///
    /// # Errors
    /// The system's.
    pub fn last(&mut self) -> Result<()> {
        self.tell(FrameKind::Last, 0, &[])
    }

    /// The worker may have `most` bytes of private memory while it runs an item. Between items it may keep half of what is
    /// beyond its memory just now, so that no item finds less than the other half.
    pub fn limit_memory(&mut self, most: u64) {
        let now = platform::memory_of(std::process::id()).private;
        self.memory = now / 2 + most / 2;
    }

    /// Whether the worker keeps more memory than it may: then it should leave, lest the next item be blamed.
    #[inline]
    pub fn is_heavy(&mut self) -> bool {
        self.memory != u64::MAX && self.weigh()
    }

    #[cold]
    fn weigh(&mut self) -> bool {
        let now = coarse_now();
        if now == self.weighed {
            return false;
        }
        self.weighed = now;
        platform::memory_of(std::process::id()).private > self.memory
    }

    /// What the other threads of the worker may use to reach the parent.
    pub fn line(&self) -> Line {
        Line { bells: self.bells.clone(), parent: self.parent.clone() }
    }

    /// Waits for the next record.
    ///
    /// # Errors
    /// `Interrupted` when a signal handler ran: look at what it wants and wait again.
    pub fn turn(&mut self) -> Result<Turn> {
        self.next_record(Idle::Never)
    }

    /// As [`Worker::turn`], but [`Turn::Idle`] before it sleeps.
    ///
    /// # Errors
    /// Those of [`Worker::turn`].
    pub fn turn_or_idle(&mut self) -> Result<Turn> {
        self.next_record(Idle::AtOnce)
    }

    /// As [`Worker::turn`], but [`Turn::Idle`] once it has slept for a second.
    ///
    /// # Errors
    /// Those of [`Worker::turn`].
    pub fn turn_or_rest(&mut self) -> Result<Turn> {
        self.next_record(Idle::AfterRest)
    }

    fn next_record(&mut self, idle: Idle) -> Result<Turn> {
        loop {
            if self.ring.is_retired() {
                return Ok(Turn::Leave);
            }
            if let Some(ticket) = self.slots.claim(self.index) {
                return self.take(ticket);
            }
            if self.bells.is_stopped() && !self.slots.is_ready() {
                return Ok(Turn::Stop);
            }
            let (slots, bells, ring) = (&self.slots, &self.bells, &self.ring);
            let ready = || slots.is_ready() || bells.is_stopped() || ring.is_retired();
            bells.set_polling(self.index, true);
            let found = self.spin.until(ready);
            bells.set_polling(self.index, false);
            if found {
                continue;
            }
            if idle == Idle::AtOnce {
                return Ok(Turn::Idle);
            }
            let asleep = Instant::now();
            let rests = idle == Idle::AfterRest;
            let until = (rests || self.ring.is_warm()).then(|| asleep + TRIM_AFTER);
            match bells.sleep(self.index, until, ready) {
                Err(error) if error.kind() == ErrorKind::TimedOut && rests => return Ok(Turn::Idle),
                Err(error) if error.kind() == ErrorKind::TimedOut => self.sleep_trimmed()?,
                answer => answer?,
            }
            self.spin.slept(asleep.elapsed());
        }
    }

    #[cold]
    fn sleep_trimmed(&mut self) -> Result<()> {
        self.ring.trim();
        let (slots, bells, ring) = (&self.slots, &self.bells, &self.ring);
        let answer = bells.sleep(self.index, None, || slots.is_ready() || bells.is_stopped() || ring.is_retired());
        self.ring.resume();
        answer
    }

    fn take(&mut self, ticket: Ticket) -> Result<Turn> {
        self.ring.note(Phase::Claimed, ticket, 0);
        self.body.clear();
        let place = self.slots.read(ticket, &mut self.body);
        self.slots.free(ticket);
        if let Some((offset, size)) = place {
            let mut body = std::mem::take(&mut self.body);
            let read = self.read_block(offset, size, &mut body);
            self.body = body;
            if !read {
                return Err(Error::new(ErrorKind::Protocol, "a record's block lies outside of the pool's segment"));
            }
        }
        let Some((head, _)) = RecordHead::decode(&self.body) else {
            return Err(Error::new(ErrorKind::Protocol, "a record without a head"));
        };
        if head.has_units || !self.units.is_empty() {
            self.units = take_units(&head, &mut self.body);
        }
        self.ticket = ticket;
        self.job = head.job;
        self.timed = head.given.timed;
        self.next = 0;
        self.begun = Instant::now();
        self.coarse_begun = coarse_now();
        self.rung = self.coarse_begun;
        self.stride = 1;
        self.ring.note_record(head.job, head.first, self.coarse_begun);
        self.ring.note_given(head.given.limit, head.given.tries);
        let wanted = RowWriter::wanted(self.ring.segment());
        if wanted != 0 || self.rows_wanted != 0 {
            self.record_rows(wanted, head);
        }
        Ok(Turn::Record(head))
    }

    /// What this record does is wanted in rows, or that of the last one was.
    #[cold]
    fn record_rows(&mut self, wanted: u64, head: RecordHead) {
        self.rows_wanted = wanted;
        let follows = |rows: &mut Box<RowWriter>| rows.follows() == wanted || rows.follow(wanted);
        if wanted == 0 {
            self.rows = None;
        } else if !self.rows.as_mut().is_some_and(follows) {
            self.rows = Some(Box::new(RowWriter::new(self.ring.segment().clone())));
        }
        if let Some(rows) = &mut self.rows {
            rows.begin(head.job, head.first, self.body.len(), self.ring.written());
        }
    }

    /// The process and its two pipes for what items of `job` write, if it has asked for that: see [`Badge::asked`].
    #[inline]
    pub fn asked_to_speak(&self, job: u64) -> Option<(u32, u32, u32)> {
        self.badge.asked(job)
    }

    /// Whether it writes to such pipes, from now on.
    pub fn speaks(&self, does: bool) {
        self.badge.speaks(does);
    }

    /// The units that the record holds which was taken last.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The worker's own segment: see [`crate::channel::is_interrupted`].
    pub fn own_segment(&self) -> &Arc<Segment> {
        self.ring.segment()
    }

    /// The pool's segment, with large parts of records.
    pub fn pool_segment(&self) -> &Arc<Segment> {
        &self.pool
    }

    /// A block for `size` bytes of a result, in the segment that comes with its offset; they begin
    /// [`crate::channel::BLOCK_HEAD`] bytes after it.
    ///
    /// # Errors
    /// No memory.
    pub fn lend_block(&mut self, size: usize) -> Result<(Arc<Segment>, usize)> {
        let offset = self.ring.lend_block(size)?;
        Ok((self.ring.segment().clone(), offset))
    }

    /// Takes a lent block back that no outcome names.
    pub fn unlend(&mut self, offset: usize) {
        self.ring.unlend(offset);
    }

    /// What the process sees in place of the pool's segment.
    pub fn holdings(&self) -> &Arc<Holdings> {
        &self.holdings
    }

    /// Adds the bytes of a block of the pool's segment to `into`; false if it lies outside.
    pub fn read_block(&self, offset: u64, size: u64, into: &mut Vec<u8>) -> bool {
        self.pool.read(offset as usize, size as usize, into).is_ok()
    }

    /// Takes the record's memory to read from while the worker writes; give it back with [`Worker::put_body`].
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Gives the memory of a record back, for the next one.
    pub fn put_body(&mut self, body: Vec<u8>) {
        self.body = body;
    }

    /// The number of the item, of those of the record, whose outcome is next.
    #[inline]
    pub fn next_item(&self) -> u32 {
        self.next
    }

    /// The arguments are rebuilt from here on: a death now is blamed on the first item.
    pub fn decoding(&self) {
        if self.timed {
            self.ring.note_start();
        }
        self.ring.note(Phase::Decoding, self.ticket, self.next);
    }

    /// The next item starts now.
    #[inline]
    pub fn running(&self) {
        if self.timed {
            self.ring.note_start();
        }
        self.ring.note(Phase::Running, self.ticket, self.next);
    }

    /// Whether what the next item is given is worth showing: those of its job take long.
    #[inline]
    pub fn is_shown(&self) -> bool {
        self.slow == Some(self.job)
    }

    /// Shows what the item that runs was given.
    pub fn show(&self, given: &str) {
        if let Some((job, item)) = current_item(self.ring.segment()) {
            self.badge.give(job, item, given);
        }
    }

    /// The item has run; from here on it is not interrupted.
    #[inline]
    pub fn sending(&self) {
        self.ring.note_sending();
    }
}

/// Rings the parent if it sleeps.
#[inline]
fn wake(bells: &Bells, parent: &Doorbell) -> Result<()> {
    if bells.take_parent_wake() {
        parent.ring();
    }
    Ok(())
}
