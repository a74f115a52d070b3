//! What goes out: items are taken from their sources, encoded, and published as records.

use std::sync::Arc;
use std::time::Duration;

use procession::pool::{Given, Grant, JobId};
use procession::shared_memory::{Block, Segment, fill};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::burst::argument_behind;
use super::ending::close_source;
use super::idle::set_aside;
use super::{Inner, lock};
use crate::buffer::is_equal;
use crate::common;
use crate::error::{Raised, traced};
use crate::interrupts::is_interrupt;
use crate::job::Job;
use crate::naming::Scope;
use crate::place::{Part, Room, Spot};
use crate::repeats::{Found, Taken};
use crate::unsettled::now;
use crate::values::{self, Mode, Preamble};

/// A part of a function that is so large waits for memory to be used again, for so many looks with a pause in between.
const WORTH_WAITING: usize = 1 << 20;
const KEPT_LOOKS: u32 = 20;
const KEPT_PAUSE: Duration = Duration::from_micros(50);
/// The most memory that is kept to encode records in.
const BODY_BYTES: usize = 1 << 20;

impl Inner {
    /// Publishes records as long as the scheduler grants some, or leaves that to the thread that does so already.
    ///
    /// # Errors
    /// Ctrl-C that came while an item was pickled, which waits again.
    pub(crate) fn feed(&self, py: Python<'_>) -> PyResult<()> {
        let mut body = lock(&self.bodies).pop().unwrap_or_default();
        while self.feed_once(py, &mut body)? {}
        if body.capacity() <= BODY_BYTES {
            lock(&self.bodies).push(body);
        }
        Ok(())
    }

    /// The same, once; whether there may be more to do by then.
    fn feed_once(&self, py: Python<'_>, body: &mut Vec<u8>) -> PyResult<bool> {
        let lazy: Vec<Arc<Job>> = {
            let shared = self.shared();
            if shared.lazy.is_empty() { Vec::new() } else { shared.lazy.clone() }
        };
        let mut again = false;
        for job in lazy {
            while self.pull(py, &job)? {
                again |= self.publish_all(py, body)?;
            }
        }
        Ok(again | self.publish_all(py, body)?)
    }

    /// Publishes records, encoded in `body`, as long as the scheduler grants some and there is room; whether other threads have
    /// left theirs to this one meanwhile.
    fn publish_all(&self, py: Python<'_>, body: &mut Vec<u8>) -> PyResult<bool> {
        let (answer, again) = self.turn.take(|| self.publish_granted(py, body));
        if again && answer.is_err() {
            self.waiter.wake();
        }
        answer.map(|()| again)
    }

    fn publish_granted(&self, py: Python<'_>, body: &mut Vec<u8>) -> PyResult<()> {
        loop {
            let (grant, job) = {
                let mut shared = self.shared();
                let Some(grant) = shared.driver.grant() else { return Ok(()) };
                (grant, shared.jobs.get(&grant.job).cloned())
            };
            let Some(job) = job else {
                self.shared().driver.scheduler.withdrawn(grant, grant.count);
                continue;
            };
            body.clear();
            if !self.publish(py, &job, grant, body)? {
                return Ok(());
            }
        }
    }

    /// Encodes and publishes a grant; false when there is no room now.
    ///
    /// # Errors
    /// Those of [`Inner::feed`].
    fn publish(&self, py: Python<'_>, job: &Arc<Job>, grant: Grant, body: &mut Vec<u8>) -> PyResult<bool> {
        let pickled = match &job.function.block {
            None => Ok(&job.function.pickled[..]),
            Some((block, size)) => Err((block.offset as u64, *size)),
        };
        let (function, share, sharing) = (job.function.id, job.function.share, job.function.sharing);
        Preamble { function, mode: job.mode, share, sharing, pickled }.encode(body);
        let start = body.len();
        if grant.chunk == 1 && job.encode_simple(py, grant.first, grant.count, body) {
            self.release(self.burst.sent(job.id));
            return Ok(self.send(py, job, grant, body, start, Vec::new()));
        }
        body.truncate(start);
        let items = job.items(py, grant.first, grant.count);
        if items.len() != grant.count as usize {
            // Outcomes came in another way meanwhile: the job has failed.
            self.shared().driver.scheduler.withdrawn(grant, grant.count);
            return Ok(true);
        }
        let encoded = self.receiver(py).map(|receiver| {
            let _scope = Scope::to(receiver);
            self.encode_all(py, job, grant, &items, body)
        });
        let encoded = encoded.unwrap_or_else(|error| Err((0, grant.count, error)));
        let sent = match encoded {
            Ok(blocks) => {
                self.release(self.burst.sent(job.id));
                if !blocks.is_empty() {
                    self.release(job.repeats.forget_temporary(py));
                }
                Ok(self.send(py, job, grant, body, start, blocks))
            }
            Err((_, _, error)) if is_interrupt(py, &error) => {
                self.shared().driver.scheduler.withdrawn(grant, 0);
                Err(error)
            }
            Err((first, count, error)) => Ok(self.unsendable(py, job, grant, first, count, error)),
        };
        let (is_over, none_left) = {
            let shared = self.shared();
            (!shared.jobs.contains_key(&job.id), shared.jobs.is_empty())
        };
        if is_over {
            // It ended meanwhile: nobody else will do this.
            job.common.clear();
            self.release(job.repeats.clear());
        }
        if none_left {
            self.release(self.burst.clear());
        }
        sent
    }

    /// Adds the items of a grant to `body`, and gives the blocks with their large parts. Should that fail, which of them
    /// fail together.
    fn encode_all(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        grant: Grant,
        items: &[Py<PyAny>],
        body: &mut Vec<u8>,
    ) -> Result<Vec<Block>, (u32, u32, PyErr)> {
        // The items of a lazy job may be one array that is filled again and again.
        let call = (job.mode == Mode::Apply && grant.count == 1).then(|| (job.id, items[0].bind(py)));
        let mut room = RecordRoom { inner: self, job: (job.unit == 0).then_some(job), call, blocks: Vec::new() };
        let mut first = 0;
        while first < grant.count {
            let at = grant.first + u64::from(first);
            let size = if grant.chunk > 1 { grant.chunk } else { job.group_at(at) };
            let chunk = &items[first as usize..grant.count.min(first.saturating_add(size)) as usize];
            let count = chunk.len() as u32;
            // One that is tried again does not see what the first try made of it.
            let kept = room.blocks.len();
            let may_share = grant.chunk == 1 && job.has_row() && job.are_new(at, count);
            let in_common = if may_share {
                common::encode(&job.common, job.id, job.sharers(at), chunk, body, &mut room, py)
            } else {
                Ok(false)
            };
            let encoded = match in_common {
                Ok(true) => Ok(()),
                Ok(false) => {
                    room.forget_from(kept);
                    self.encode(py, grant.chunk > 1, chunk, body, &mut room)
                }
                Err(error) => Err((0, count, error)),
            };
            if let Err((at, count, error)) = encoded {
                self.release(room.blocks);
                return Err((first + at, count, error));
            }
            first += count;
        }
        Ok(room.blocks)
    }

    /// Adds items to `body`: a chunk, or items that each stand alone. Should that fail, which of them fail together.
    fn encode(
        &self,
        py: Python<'_>,
        is_chunk: bool,
        items: &[Py<PyAny>],
        body: &mut Vec<u8>,
        room: &mut RecordRoom<'_, '_>,
    ) -> Result<(), (u32, u32, PyErr)> {
        let all = |answer: PyResult<()>| answer.map_err(|error| (0, items.len() as u32, error));
        match items {
            [item] => {
                let encoded = values::encode(item.bind(py), body, room);
                all(encoded)
            }
            _ if is_chunk => {
                let encoded = values::encode_chunk(py, &bound(py, items), body, room);
                all(encoded)
            }
            _ => {
                let kept = room.blocks.len();
                match values::encode_group(py, &bound(py, items), body, room) {
                    Ok(()) => return Ok(()),
                    Err(error) if is_interrupt(py, &error) => return all(Err(error)),
                    Err(_) => {}
                }
                // One of them cannot be pickled, or not like that.
                room.forget_from(kept);
                let alone = |(at, item)| {
                    self.encode(py, false, std::slice::from_ref(item), body, room)
                        .map_err(|(_, _, error)| (at as u32, 1, error))
                };
                items.iter().enumerate().try_for_each(alone)
            }
        }
    }

    /// Frees blocks that nobody else uses.
    pub(crate) fn release(&self, blocks: Vec<Block>) {
        if !blocks.is_empty() {
            let mut shared = self.shared();
            blocks.into_iter().for_each(|block| shared.driver.release(block));
        }
    }

    /// Publishes the encoded items of a grant, which begin at `start` of `body`.
    pub(super) fn send(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        grant: Grant,
        body: &[u8],
        start: usize,
        mut blocks: Vec<Block>,
    ) -> bool {
        if job.unit > 0 {
            let apart: usize = blocks.iter().map(|block| block.size).sum();
            let mean = (body.len() - start + apart) as f64 / f64::from(grant.count);
            let mut state = job.state();
            state.bytes = state.bytes.max(mean);
        }
        let answer = {
            let mut shared = self.shared();
            if !shared.jobs.contains_key(&job.id) {
                // It ended meanwhile: the blocks of its function may be somebody else's now.
                shared.driver.scheduler.withdrawn(grant, grant.count);
                blocks.into_iter().for_each(|block| shared.driver.release(block));
                return true;
            }
            for block in job.function.blocks() {
                shared.driver.share(block);
                blocks.push(block);
            }
            let tries = if grant.count == 1 { job.tries_of(grant.first) } else { 0 };
            shared.driver.publish(grant, Given::new(job.options.timeout, tries), body, blocks)
        };
        match answer {
            Ok(published) => published,
            Err(error) => self.unsendable(py, job, grant, 0, grant.count, Raised::from(error).into()),
        }
    }

    /// The exception for an item that cannot be pickled, which says where in the item the culprit is.
    fn explained(&self, py: Python<'_>, error: PyErr, item: Option<Py<PyAny>>) -> Py<PyAny> {
        let plain = traced(py, &error).unbind();
        let Some(item) = item else { return plain };
        self.support.bind(py).call_method1("explained", (&plain, item)).map_or(plain, Bound::unbind)
    }

    /// Items of a grant cannot be sent: `count` from `first` fail, or go alone if they are several; those around wait again.
    pub(super) fn unsendable(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        grant: Grant,
        first: u32,
        count: u32,
        error: PyErr,
    ) -> bool {
        {
            let mut shared = self.shared();
            shared.driver.scheduler.withdrawn_around(grant, first, count);
        }
        if count == 1 {
            self.shared().tally.failed += 1;
            self.failed(job);
            let item = grant.first + u64::from(first);
            let failure = self.explained(py, error, job.items(py, item, 1).pop());
            let (mut trash, mut interrupt) = (Vec::new(), None);
            let answer = job.answer_to(py, item, failure, &mut interrupt);
            if job.store(py, item, answer, &mut trash) {
                self.finish(py, job);
            }
            if let Some(error) = interrupt {
                set_aside(py, error, None);
            }
        }
        true
    }

    /// Takes items from the source of a lazy job, as many as there is room for.
    ///
    /// A source may give the same object again and again, with other contents: after a chunk with an item that can change
    /// no more are taken until that is encoded. True when it ended so, and more can be taken then.
    pub(crate) fn pull(&self, py: Python<'_>, job: &Arc<Job>) -> PyResult<bool> {
        let room = job.room(self.workers());
        if room == 0 {
            return Ok(false);
        }
        if job.state().changing {
            // The source gives the next item when the last is encoded, maybe by another thread.
            let scheduler = &self.shared().driver.scheduler;
            if scheduler.waiting(job.id) > 0 || scheduler.is_granting() {
                return Ok(false);
            }
        }
        let source = {
            let mut state = job.state();
            match &state.source {
                Some(source) if !state.pulling => {
                    let source = source.clone_ref(py);
                    state.pulling = true;
                    source
                }
                _ => return Ok(false),
            }
        };
        let mut changing = false;
        let mut taken: Vec<Option<Py<PyAny>>> = Vec::new();
        let mut end = None;
        let source = source.bind(py);
        for _ in 0..room {
            if job.given_up() {
                break;
            }
            match source.cast::<pyo3::types::PyIterator>().map(|iterator| iterator.clone().next()) {
                Ok(Some(Ok(item))) => {
                    changing |= !values::is_lasting(&item, 0);
                    taken.push(Some(item.unbind()));
                    if changing && (taken.len() as u64).is_multiple_of(job.unit) {
                        break;
                    }
                }
                Ok(Some(Err(error))) => {
                    end = Some(Some(error));
                    break;
                }
                _ => {
                    end = Some(None);
                    break;
                }
            }
        }
        let complete = end.is_some();
        let failure = end.flatten();
        if failure.is_some() {
            // The failure stands in the place of the chunk that could not be filled.
            let whole = (job.state().total + taken.len() as u64) / job.unit * job.unit;
            let whole = whole.saturating_sub(job.state().total) as usize;
            drop(taken.split_off(whole.min(taken.len())));
        }
        let more = taken.len() as u64;
        let (over, total, dropped) = {
            let mut state = job.state();
            state.pulling = false;
            if job.given_up() {
                let (unused, closes) = (state.source.take(), state.closes_source);
                drop(state);
                drop((unused, taken));
                return if closes { close_source(source).map(|()| false) } else { Ok(false) };
            }
            if state.source.is_none() {
                // It was given up meanwhile, and has its last outcome.
                drop(state);
                return Ok(false);
            }
            state.changing = changing;
            state.items.extend(taken);
            state.total += more + u64::from(failure.is_some());
            state.items.extend(failure.iter().map(|_| Some(py.None())));
            let dropped = if complete { state.source.take() } else { None };
            (complete && state.finished == state.total, state.total, dropped)
        };
        drop(dropped);
        {
            let mut shared = self.shared();
            shared.driver.scheduler.extend(job.id, more, complete);
            if complete {
                shared.lazy.retain(|lazy| lazy.id != job.id);
                self.counts.complete(job.entry, total);
            }
        }
        if let Some(error) = failure {
            let mut trash = Vec::new();
            let failure = error.value(py).clone().into_any().unbind();
            if job.store(py, total.saturating_sub(1), Err(failure), &mut trash) {
                self.finish(py, job);
            }
            self.wake_followers();
        } else if over {
            self.finish(py, job);
        }
        Ok(changing && !complete)
    }
}

fn bound<'py>(py: Python<'py>, items: &[Py<PyAny>]) -> Vec<Bound<'py, PyAny>> {
    items.iter().map(|item| item.bind(py).clone()).collect()
}

/// The large parts of a record, in blocks that belong to it.
struct RecordRoom<'a, 'py> {
    inner: &'a Inner,
    /// The job, if its items are looked through for parts that they have in common.
    job: Option<&'a Job>,
    /// The one call that is sent, and its arguments.
    call: Option<(JobId, &'a Bound<'py, PyAny>)>,
    blocks: Vec<Block>,
}

impl RecordRoom<'_, '_> {
    /// Puts an argument that other calls, which wait, may have as well; none if it is not to be kept for them.
    fn put_for_several(&mut self, part: &Part<'_, '_>) -> PyResult<Option<Block>> {
        let Some((call, arguments)) = self.call else { return Ok(None) };
        // Before it is copied, as others may make calls meanwhile.
        let last = self.inner.shared().next_job - 1;
        if last == call && !self.inner.burst.has_some() {
            return Ok(None);
        }
        let Some(argument) = argument_behind(arguments, part) else { return Ok(None) };
        if let Some(taken) = self.inner.burst.find(part, call)
            && self.is_there(part, taken, |at| self.inner.burst.confirm(part, taken.block, at))
        {
            self.inner.shared().driver.share(taken.block);
            self.blocks.push(taken.block);
            return Ok(Some(taken.block));
        }
        if last == call {
            return Ok(None);
        }
        let at = now();
        let block = self.copy(part)?;
        self.inner.shared().driver.share(block);
        let before = self.inner.burst.keep(argument.unbind(), part, Taken::new(block, at), last);
        self.inner.release(before.into_iter().collect());
        Ok(Some(block))
    }

    /// Whether a part is what was taken; calls `confirm` with the moment, where they were compared.
    fn is_there(&self, part: &Part<'_, '_>, taken: Taken, confirm: impl FnOnce(Option<u64>)) -> bool {
        if taken.is_certain(part) {
            return true;
        }
        let at = now();
        let segment = self.inner.shared().driver.segment().clone();
        let span = segment.at(taken.block.offset, part.size);
        let is_there = span.is_ok_and(|span| is_equal(part, span.mapping(&segment), span.offset));
        if is_there {
            confirm(at);
        }
        is_there
    }

    /// Forgets the blocks behind the first `count`.
    fn forget_from(&mut self, count: usize) {
        let gone = self.blocks.split_off(count);
        self.inner.release(gone);
    }

    fn copy(&mut self, part: &Part<'_, '_>) -> PyResult<Block> {
        let (block, segment) = self.inner.cut(part.size)?;
        self.blocks.push(block);
        fill_block(&segment, block, part)?;
        Ok(block)
    }
}

impl Room for RecordRoom<'_, '_> {
    fn put(&mut self, part: &Part<'_, '_>) -> PyResult<Spot> {
        let size = part.size as u64;
        if let Some(block) = self.put_for_several(part)? {
            return Ok(Spot::Common { offset: block.offset as u64, size });
        }
        let Some(job) = self.job else {
            let offset = self.copy(part)?.offset as u64;
            return Ok(Spot::Block { offset, size });
        };
        let (found, forgotten) = job.repeats.find(part);
        self.inner.release(forgotten.into_iter().collect());
        let block = match found {
            Found::New => {
                let offset = self.copy(part)?.offset as u64;
                return Ok(Spot::Block { offset, size });
            }
            Found::Kept(taken) if self.is_there(part, taken, |at| job.repeats.confirm(part, at)) => {
                self.inner.shared().driver.share(taken.block);
                self.blocks.push(taken.block);
                taken.block
            }
            Found::Again | Found::Kept(_) => {
                let at = now();
                let block = self.copy(part)?;
                self.inner.shared().driver.share(block);
                let back = job.repeats.keep(part, Taken::new(block, at));
                self.inner.release(back.into_iter().collect());
                block
            }
        };
        Ok(Spot::Common { offset: block.offset as u64, size })
    }
}

/// The large parts of a function, in blocks that each record of the job uses.
pub(crate) struct FunctionRoom<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) blocks: Vec<Block>,
}

impl Room for FunctionRoom<'_> {
    fn put(&mut self, part: &Part<'_, '_>) -> PyResult<Spot> {
        self.inner.await_kept(part.owner.py(), part.size)?;
        let (block, segment) = self.inner.cut(part.size)?;
        self.blocks.push(block);
        fill_block(&segment, block, part)?;
        Ok(Spot::Common { offset: block.offset as u64, size: part.size as u64 })
    }
}

impl Inner {
    /// Gives workers a moment to let go of the function before: fresh memory for a large part costs much more time.
    fn await_kept(&self, py: Python<'_>, size: usize) -> PyResult<()> {
        if size < WORTH_WAITING {
            return Ok(());
        }
        for _ in 0..KEPT_LOOKS {
            self.look(py)?;
            let missing = {
                let driver = &self.shared().driver;
                driver.free_bytes() < size && driver.kept_bytes() >= size
            };
            if !missing {
                break;
            }
            py.detach(|| std::thread::sleep(KEPT_PAUSE));
        }
        Ok(())
    }

    fn cut(&self, size: usize) -> PyResult<(Block, Arc<Segment>)> {
        let mut shared = self.shared();
        Ok((shared.driver.cut(size).map_err(Raised::from)?, shared.driver.segment().clone()))
    }
}

fn fill_block(segment: &Segment, block: Block, part: &Part<'_, '_>) -> PyResult<()> {
    let span = segment.at(block.offset, part.size).map_err(Raised::from)?;
    let written = fill(span.mapping(segment), span.offset, part.size, part.copy);
    written.unwrap_or_else(|| Err(PyRuntimeError::new_err("a block lies outside of its segment")))
}
