//! The worker processes of a pool: starting them, watching their limits, sending them descriptors.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::child::{WORK, WORK_FOR};
use super::error::TaskError;
use super::job::{Answer, Attached};
use super::seed::Seed;
use super::wire::Reply;
use crate::channel::neutral::WIRE_VERSION;
use crate::channel::{BLOCK_HEAD, give_back};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Watched, file_key};
use crate::pool::{Driver, JobId};
use crate::process::{self, Program, StartMethod, Started};
use crate::shared_memory::{Segment, View};

/// What a pool asks of its workers.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub workers: usize,
    /// None: whichever works.
    pub start_method: Option<StartMethod>,
    pub timeout: Option<Duration>,
    pub memory: Option<u64>,
    pub retries: u32,
    pub max_tasks: u64,
    /// Whether a panic ends its worker.
    pub retires: bool,
    /// So many workers in a row that end before they are ready end the pool; and how long it waits after the first of them.
    pub restarts: u32,
    pub pause: Duration,
    /// What names the function that each worker calls first.
    pub initializer: Option<u64>,
    /// What all calls have children of.
    pub seed: Option<Seed>,
}

/// A task that is to blame for the end of its worker.
#[derive(Clone, Debug)]
pub(super) struct Blame {
    pub job: JobId,
    pub item: u64,
    pub why: TaskError,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Member {
    pub started: Started,
    unsent: VecDeque<(u64, Option<Arc<OwnedFd>>)>,
    /// The descriptors of results that have not been read yet, by the number of the note.
    received: VecDeque<(u64, Arc<OwnedFd>)>,
    pub blame: Option<Blame>,
    /// Whether it was told to end, or ends by itself, after its record.
    pub leaves: bool,
}

impl Member {
    /// Takes the descriptors that have come.
    fn take_notes(&mut self) {
        while let Ok(Some((note, files))) = platform::receive_note_now(&self.started.notes) {
            let number = note.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
            self.received.extend(files.into_iter().map(|file| (number, Arc::new(file))));
        }
    }

    /// Kills it, once.
    fn end(&mut self, blame: Blame) {
        if self.blame.is_none() {
            self.blame = Some(blame);
            self.started.child.kill();
        }
    }
}

/// A part of a result, which its worker's block goes back with.
fn part_at(segment: Option<&Arc<Segment>>, offset: u64, size: u64) -> Result<Arc<View>> {
    let place = || Some((segment?.clone(), usize::try_from(offset).ok()?, usize::try_from(size).ok()?));
    let nowhere = || Error::new(ErrorKind::Protocol, "a part of a result that lies nowhere");
    let (segment, offset, size) = place().ok_or_else(nowhere)?;
    let its = segment.clone();
    let go_back = Box::new(move || give_back(&its, offset, size));
    View::lent(segment, offset.saturating_add(BLOCK_HEAD), size, go_back)
}

/// A descriptor that workers have, or will get.
#[derive(Debug)]
struct KnownDescriptor {
    file: Arc<OwnedFd>,
    key: (u64, u64),
    users: usize,
}

/// A program of another language that workers are, and the name of the function that they call.
#[derive(Clone, Debug)]
pub(super) struct Foreign {
    pub program: Program,
    pub function: &'static str,
}

/// The workers of a pool.
#[derive(Debug, Default)]
pub(super) struct Crew {
    /// None: workers are this program.
    foreign: Option<Foreign>,
    pub members: HashMap<usize, Member>,
    known: HashMap<u64, KnownDescriptor>,
    by_file: HashMap<(u64, u64), u64>,
    next_number: u64,
    has_unsent: bool,
}

impl Crew {
    pub(super) fn of(foreign: Option<Foreign>) -> Crew {
        Crew { foreign, ..Crew::default() }
    }

    /// Starts a worker.
    pub(super) fn start(&mut self, driver: &mut Driver, terms: &Terms) -> Result<()> {
        let seat = driver.invite(None)?;
        let index = seat.index;
        let member = self.start_at(&seat, terms).and_then(|member| {
            let sentinel = member.started.child.as_fd().try_clone_to_owned();
            let sentinel = sentinel.map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)));
            sentinel
                .and_then(|sentinel| driver.seated(index, Watched::Own(sentinel), member.started.child.id()))
                .inspect_err(|_| member.started.child.kill())?;
            Ok(member)
        });
        match member {
            Ok(member) => {
                self.members.insert(index, member);
                self.send_notes();
                Ok(())
            }
            Err(error) => {
                driver.uninvite(index);
                Err(error)
            }
        }
    }

    /// How many workers there are that have not been told to end.
    pub(super) fn staying(&self) -> usize {
        self.members.values().filter(|member| !member.leaves).count()
    }

    /// Has workers stay that were told to end, or tells some to end, idle ones first, so that `workers` stay, if there are so
    /// many.
    pub(super) fn resize(&mut self, driver: &Driver, workers: usize) {
        let staying = self.staying();
        let idle = driver.unoccupied();
        let mut others: Vec<usize> =
            self.members.iter().filter(|(_, member)| member.leaves == (staying < workers)).map(|(i, _)| *i).collect();
        others.sort_unstable_by_key(|index| (!idle.contains(index), std::cmp::Reverse(*index)));
        for index in others.into_iter().take(staying.abs_diff(workers)) {
            match staying < workers {
                true => driver.stay(index),
                false => driver.retire(index),
            }
            if let Some(member) = self.members.get_mut(&index) {
                member.leaves = staying > workers;
            }
        }
    }

    fn start_at(&self, seat: &crate::pool::Invitation, terms: &Terms) -> Result<Member> {
        let mut order = Vec::new();
        match &self.foreign {
            Some(foreign) => {
                order.push(WORK_FOR);
                order.extend_from_slice(&WIRE_VERSION.to_le_bytes());
                order.extend_from_slice(&(foreign.function.len() as u64).to_le_bytes());
                order.extend_from_slice(foreign.function.as_bytes());
            }
            None => order.push(WORK),
        }
        order.extend_from_slice(&(seat.index as u64).to_le_bytes());
        order.extend_from_slice(&terms.max_tasks.to_le_bytes());
        order.push(terms.retires.into());
        order.extend(terms.initializer.iter().flat_map(|distance| distance.to_le_bytes()));
        let files = [&seat.pool, &seat.own, &seat.parent].map(AsFd::as_fd);
        let started = match &self.foreign {
            Some(foreign) => process::start_program(&foreign.program, &order, &files, 0)?,
            None => process::start(terms.start_method, &order, &files, 0)?,
        };
        let mut unsent: Vec<_> = self.known.iter().map(|(n, known)| (*n, Some(known.file.clone()))).collect();
        unsent.sort_unstable_by_key(|(number, _)| *number);
        // Tells that no other of the numbers so far will come.
        if let Some(last) = self.next_number.checked_sub(1).filter(|last| !self.known.contains_key(last)) {
            unsent.push((last, None));
        }
        let unsent = unsent.into();
        Ok(Member { started, unsent, received: VecDeque::new(), blame: None, leaves: false })
    }

    /// Makes a descriptor known to all workers; gives its number. Each call is undone by one of [`Crew::forget_file`].
    pub(super) fn know_file(&mut self, file: OwnedFd) -> Result<u64> {
        let key = file_key(&file)?;
        if let Some(number) = self.by_file.get(&key)
            && let Some(known) = self.known.get_mut(number)
        {
            known.users += 1;
            return Ok(*number);
        }
        let number = self.next_number;
        self.next_number += 1;
        let file = Arc::new(file);
        self.members.values_mut().for_each(|member| member.unsent.push_back((number, Some(file.clone()))));
        self.known.insert(number, KnownDescriptor { file, key, users: 1 });
        self.by_file.insert(key, number);
        self.send_notes();
        Ok(number)
    }

    /// A user of a descriptor is gone; with the last one, workers let go of it.
    pub(super) fn forget_file(&mut self, number: u64) {
        let Some(known) = self.known.get_mut(&number) else { return };
        known.users -= 1;
        if known.users == 0
            && let Some(known) = self.known.remove(&number)
        {
            self.by_file.remove(&known.key);
            self.members.values_mut().for_each(|member| member.unsent.push_back((number, None)));
            self.send_notes();
        }
    }

    /// Sends what there is room for; a worker that is busy reads its notes when it needs them.
    pub(super) fn send_notes(&mut self) {
        self.has_unsent = false;
        for member in self.members.values_mut() {
            while let Some((number, file)) = member.unsent.front() {
                let files: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
                match platform::send_note(&member.started.notes, &number.to_le_bytes(), &files) {
                    Ok(true) => drop(member.unsent.pop_front()),
                    Ok(false) => {
                        self.has_unsent = true;
                        break;
                    }
                    // It has ended, or ends: its death is noticed elsewhere.
                    Err(_) => member.unsent.clear(),
                }
            }
        }
    }

    /// Takes the descriptors that have come from workers, so that none of them has to wait.
    pub(super) fn take_notes(&mut self) {
        self.members.values_mut().for_each(Member::take_notes);
    }

    /// The answer that a reply is, with its descriptors, and its parts in the segment of its worker.
    pub(super) fn answer(&mut self, reply: Reply<'_>, segment: Option<&Arc<Segment>>) -> Answer {
        let (index, note, count, parts, bytes) = match reply {
            Reply::Failed(failure) => return Answer::failed(failure.into()),
            Reply::Attached { index, note, count, parts, bytes } => (index, note, count, parts, bytes),
        };
        // Before anything else may fail: who drops a view gives the block back.
        let parts: Result<Vec<_>> = parts.into_iter().map(|(offset, size)| part_at(segment, offset, size)).collect();
        let mut files = Vec::new();
        if let Some(member) = self.members.get_mut(&(index as usize)) {
            member.take_notes();
            // Those of a smaller number belong to results that were of no interest.
            let count = member.received.iter().take_while(|(number, _)| *number <= note).count();
            let taken = member.received.drain(..count).filter(|(number, _)| *number == note);
            files.extend(taken.map(|(_, file)| file));
        }
        if files.len() as u64 != count {
            let message = "descriptors of the result were lost: too many files may be open".into();
            return Answer::failed(TaskError::Codec { message });
        }
        match parts {
            Ok(parts) => Answer::Attached(bytes.to_vec(), Box::new(Attached { files, parts })),
            Err(error) => {
                Answer::failed(TaskError::Codec { message: format!("an array of the result cannot be had: {error}") })
            }
        }
    }

    /// Whether a worker has yet to get a note.
    pub(super) fn has_unsent(&self) -> bool {
        self.has_unsent
    }

    /// Kills the workers whose tasks are beyond the limits.
    pub(super) fn enforce(&mut self, driver: &mut Driver, terms: &Terms) {
        if terms.timeout.is_some() {
            for late in driver.overdue(platform::monotonic_now(), Duration::ZERO, |_, _| terms.timeout) {
                if let Some(member) = self.members.get_mut(&late.index) {
                    member.end(Blame { job: late.job, item: late.item, why: TaskError::TimedOut });
                }
            }
        }
        let Some(limit) = terms.memory else { return };
        for (index, member) in &mut self.members {
            if platform::memory_of(member.started.child.id()).resident > limit {
                // With nobody to blame, no item is: what the worker takes up meanwhile goes to another one.
                let (job, item) = driver.running(*index).map_or((0, 0), |(_, job, item)| (job, item));
                member.end(Blame { job, item, why: TaskError::OverMemory });
            }
        }
    }

    /// Kills the workers that run items of `job`.
    pub(super) fn kill_runners(&mut self, driver: &Driver, job: JobId, why: &TaskError) {
        for (index, member) in &mut self.members {
            if let Some((_, running, item)) = driver.running(*index)
                && running == job
            {
                member.end(Blame { job, item, why: why.clone() });
            }
        }
    }
}
