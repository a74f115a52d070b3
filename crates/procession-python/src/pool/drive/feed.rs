//! What goes out: items are taken from their sources, encoded, and published as records.

use std::sync::Arc;

use procession::pool::{Grant, ItemLimits};
use procession::shared_memory::Block;
use pyo3::prelude::*;

use super::idle::set_aside;
use super::rooms::RecordRoom;
use super::{Inner, lock};
use crate::error::{is_interrupt, raised, traced};
use crate::in_common::common;
use crate::objects::naming::Scope;
use crate::pool::job::Job;
use crate::values::{self, Mode, Preamble};

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
        let (answer, again) = self.pen.take(|| self.publish_granted(py, body));
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
            // The job ended meanwhile: nobody else will do this.
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
                // The job ended meanwhile: the blocks of its function may be somebody else's now.
                shared.driver.scheduler.withdrawn(grant, grant.count);
                blocks.into_iter().for_each(|block| shared.driver.release(block));
                return true;
            }
            for block in job.function.blocks() {
                shared.driver.share(block);
                blocks.push(block);
            }
            let tries = if grant.count == 1 { job.tries_of(grant.first) } else { 0 };
            shared.driver.publish(grant, ItemLimits::new(job.options.timeout, tries), body, blocks)
        };
        match answer {
            Ok(published) => published,
            Err(error) => self.unsendable(py, job, grant, 0, grant.count, raised(error)),
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
}

fn bound<'py>(py: Python<'py>, items: &[Py<PyAny>]) -> Vec<Bound<'py, PyAny>> {
    items.iter().map(|item| item.bind(py).clone()).collect()
}
