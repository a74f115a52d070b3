//! What goes out: items are taken from their sources, encoded, and published as records.

use std::sync::Arc;

use procession::pool::Grant;
use procession::shared_memory::{Block, fill};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{Inner, lock};
use crate::codec::{self, Preamble, Room};
use crate::error::Raised;
use crate::job::Job;

/// The most memory that is kept to encode records in.
const BODY_BYTES: usize = 1 << 20;

impl Inner {
    /// Publishes records as long as the scheduler grants some.
    pub(crate) fn feed(&self, py: Python<'_>) -> PyResult<()> {
        let lazy: Vec<Arc<Job>> = {
            let shared = self.shared();
            if shared.lazy.is_empty() { Vec::new() } else { shared.lazy.clone() }
        };
        for job in lazy {
            self.pull(py, &job)?;
        }
        let mut body = lock(&self.bodies).pop().unwrap_or_default();
        self.publish_all(py, &mut body);
        if body.capacity() <= BODY_BYTES {
            lock(&self.bodies).push(body);
        }
        Ok(())
    }

    /// Publishes records, encoded in `body`, as long as the scheduler grants some and there is room.
    pub(super) fn publish_all(&self, py: Python<'_>, body: &mut Vec<u8>) {
        loop {
            let (grant, job) = {
                let mut shared = self.shared();
                let Some(grant) = shared.driver.grant() else { return };
                (grant, shared.jobs.get(&grant.job).cloned())
            };
            let Some(job) = job else {
                self.shared().driver.scheduler.withdrawn(grant, grant.count);
                continue;
            };
            body.clear();
            if !self.publish(py, &job, grant, body) {
                return;
            }
        }
    }

    /// Encodes and publishes a grant; false when there is no room now.
    pub(super) fn publish(&self, py: Python<'_>, job: &Arc<Job>, grant: Grant, body: &mut Vec<u8>) -> bool {
        let pickled = match &job.function.block {
            None => Ok(&job.function.pickled[..]),
            Some((block, size)) => Err((block.offset as u64, *size)),
        };
        Preamble { function: job.function.id, mode: job.mode, pickled }.encode(body);
        let start = body.len();
        if grant.chunk == 1 && job.encode_simple(py, grant.first, grant.count, body) {
            return self.send(py, job, grant, body, start, Vec::new());
        }
        body.truncate(start);
        let items = job.items(py, grant.first, grant.count);
        if items.len() != grant.count as usize {
            // Outcomes came in another way meanwhile: the job has failed.
            self.shared().driver.scheduler.withdrawn(grant, grant.count);
            return true;
        }
        let mut room = RecordRoom { inner: self, blocks: Vec::new() };
        for (index, chunk) in items.chunks(grant.chunk as usize).enumerate() {
            let encoded = match chunk {
                [item] => codec::encode(item.bind(py), body, &mut room),
                chunk => codec::encode_chunk(py, &bound(py, chunk), body, &mut room),
            };
            let Err(error) = encoded else { continue };
            let first = index as u32 * grant.chunk;
            match self.by_value(py, chunk, &error, body) {
                Ok(()) => continue,
                Err(error) => {
                    let blocks = std::mem::take(&mut room.blocks);
                    let mut shared = self.shared();
                    blocks.into_iter().for_each(|block| shared.driver.release(block));
                    drop(shared);
                    return self.unsendable(py, job, grant, first, chunk.len() as u32, error);
                }
            }
        }
        let blocks = room.blocks;
        self.send(py, job, grant, body, start, blocks)
    }

    /// Publishes the encoded items of a grant, which begin at `start` of `body`.
    pub(super) fn send(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        grant: Grant,
        body: &[u8],
        start: usize,
        blocks: Vec<Block>,
    ) -> bool {
        if job.unit > 0 {
            let apart: usize = blocks.iter().map(|block| block.size).sum();
            let mean = (body.len() - start + apart) as f64 / f64::from(grant.count);
            let mut state = job.state();
            state.bytes = state.bytes.max(mean);
        }
        let answer = self.shared().driver.publish(grant, job.options.timeout.is_some(), body, blocks);
        match answer {
            Ok(published) => published,
            Err(error) => self.unsendable(py, job, grant, 0, grant.count, Raised::from(error).into()),
        }
    }

    /// Pickles the items of a chunk by value, after plain pickling failed with `error`.
    pub(super) fn by_value(
        &self,
        py: Python<'_>,
        chunk: &[Py<PyAny>],
        error: &PyErr,
        body: &mut Vec<u8>,
    ) -> PyResult<()> {
        let support = self.support.bind(py);
        let value = |object: &Bound<'_, PyAny>, body: &mut Vec<u8>| -> PyResult<()> {
            let pickled = support.call_method1("by_value", (object, error.value(py)))?;
            codec::encode_pickled(pickled.cast::<PyBytes>()?.as_bytes(), body);
            Ok(())
        };
        if let [item] = chunk {
            return value(item.bind(py), body);
        }
        let start = body.len();
        body.push(codec::TOGETHER);
        let list = pyo3::types::PyList::new(py, chunk)?;
        let answer = value(list.as_any(), body);
        if answer.is_err() {
            body.truncate(start);
        }
        answer
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
            let failure = error.value(py).clone().into_any().unbind();
            let mut trash = Vec::new();
            if job.store(py, grant.first + u64::from(first), Err(failure), &mut trash) {
                self.finish(py, job);
            }
        }
        true
    }

    /// Takes items from the source of a lazy job, as many as there is room for.
    pub(crate) fn pull(&self, py: Python<'_>, job: &Arc<Job>) -> PyResult<()> {
        let room = job.room(self.workers as u64);
        if room == 0 {
            return Ok(());
        }
        let source = {
            let mut state = job.state();
            match &state.source {
                Some(source) if !state.pulling => {
                    let source = source.clone_ref(py);
                    state.pulling = true;
                    source
                }
                _ => return Ok(()),
            }
        };
        let mut taken = Vec::new();
        let mut end = None;
        let source = source.bind(py);
        for _ in 0..room {
            match source.cast::<pyo3::types::PyIterator>().map(|iterator| iterator.clone().next()) {
                Ok(Some(Ok(item))) => taken.push(Some(item.unbind())),
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
        let (over, dropped) = {
            let mut state = job.state();
            state.pulling = false;
            state.items.extend(taken);
            state.total += more + u64::from(failure.is_some());
            state.items.extend(failure.iter().map(|_| Some(py.None())));
            let dropped = if complete { state.source.take() } else { None };
            (complete && state.finished == state.total, dropped)
        };
        drop(dropped);
        let last = {
            let mut shared = self.shared();
            shared.driver.scheduler.extend(job.id, more, complete);
            if complete {
                shared.lazy.retain(|lazy| lazy.id != job.id);
            }
            job.state().total - 1
        };
        if let Some(error) = failure {
            let mut trash = Vec::new();
            let failure = error.value(py).clone().into_any().unbind();
            if job.store(py, last, Err(failure), &mut trash) {
                self.finish(py, job);
            }
            self.wake_followers();
        } else if over {
            self.finish(py, job);
        }
        Ok(())
    }
}

fn bound<'py>(py: Python<'py>, items: &[Py<PyAny>]) -> Vec<Bound<'py, PyAny>> {
    items.iter().map(|item| item.bind(py).clone()).collect()
}

/// The large parts of a record, in blocks that belong to it.
struct RecordRoom<'a> {
    inner: &'a Inner,
    blocks: Vec<Block>,
}

impl Room for RecordRoom<'_> {
    fn put(&mut self, size: usize, write: &mut dyn FnMut(&mut [u8]) -> PyResult<()>) -> PyResult<u64> {
        let (block, segment) = {
            let mut shared = self.inner.shared();
            (shared.driver.cut(size).map_err(Raised::from)?, shared.driver.segment().clone())
        };
        self.blocks.push(block);
        let written = fill(segment.mapping(), block.offset, size, write);
        written.unwrap_or_else(|| Err(PyRuntimeError::new_err("a block lies outside of its segment")))?;
        Ok(block.offset as u64)
    }
}
