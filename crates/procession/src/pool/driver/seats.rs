//! Seats: who works for a pool, from the invitation to the end, and what recordings call them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use super::{Driver, Glance, MOST_BYTES, Seat};
use crate::channel::{Badge, Consumer, MAX_WORKERS, Report};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Watched};
use crate::pool::timeline;

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

impl Driver {
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

    pub(super) fn renew_glance(&mut self) {
        let rings = self.seats.iter().flatten().map(|seat| seat.ring.segment().clone()).collect();
        self.glance = Arc::new(Glance { rings });
    }

    /// Has all workers write down what they do when, or no more.
    #[cold]
    pub(super) fn follow_recording(&mut self) {
        self.recording = timeline::recording();
        self.seats.iter_mut().flatten().for_each(|seat| seat.life = timeline::NO_LIFE);
        if self.recording != 0 {
            timeline::enter(self.board.serial(), &self.segment);
            (0..self.seats.len()).for_each(|index| self.live(index));
        }
    }

    /// Has a worker that runs write down what it does when.
    pub(super) fn live(&mut self, index: usize) {
        if let Some(seat) = self.seats.get_mut(index).and_then(Option::as_mut).filter(|seat| seat.pid != 0) {
            let since = platform::monotonic_now().saturating_sub(seat.since.elapsed());
            seat.life = timeline::live(self.board.serial(), seat.ring.segment(), seat.pid, since, seat.ready);
        }
    }
}

fn copy_of(file: BorrowedFd<'_>) -> Result<OwnedFd> {
    file.try_clone_to_owned().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))
}
