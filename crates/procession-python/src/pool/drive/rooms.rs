//! Where the large parts of records and of functions go: into blocks of the pool.

use std::sync::Arc;
use std::time::Duration;

use procession::pool::JobId;
use procession::shared_memory::{Block, Segment, fill};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::Inner;
use super::burst::argument_behind;
use crate::error::raised;
use crate::in_common::repeats::{Found, TakenPart};
use crate::memory::buffer::is_equal;
use crate::memory::place::{Part, Room, Spot};
use crate::objects::unsettled::now;
use crate::pool::job::Job;

/// A part of a function that is so large waits for memory to be used again, for so many looks with a pause in between.
const WORTH_WAITING: usize = 1 << 20;
const KEPT_LOOKS: u32 = 20;
const KEPT_PAUSE: Duration = Duration::from_micros(50);

/// The large parts of a record, in blocks that belong to it.
pub(super) struct RecordRoom<'a, 'py> {
    pub(super) inner: &'a Inner,
    /// The job, if its items are looked through for parts that they have in common.
    pub(super) job: Option<&'a Job>,
    /// The one call that is sent, and its arguments.
    pub(super) call: Option<(JobId, &'a Bound<'py, PyAny>)>,
    pub(super) blocks: Vec<Block>,
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
        let before = self.inner.burst.keep(argument.unbind(), part, TakenPart::new(block, at), last);
        self.inner.release(before.into_iter().collect());
        Ok(Some(block))
    }

    /// Whether a part is what was taken; calls `confirm` with the moment, where they were compared.
    fn is_there(&self, part: &Part<'_, '_>, taken: TakenPart, confirm: impl FnOnce(Option<u64>)) -> bool {
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
    pub(super) fn forget_from(&mut self, count: usize) {
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
                let back = job.repeats.keep(part, TakenPart::new(block, at));
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
        Ok((shared.driver.cut(size).map_err(raised)?, shared.driver.segment().clone()))
    }
}

fn fill_block(segment: &Segment, block: Block, part: &Part<'_, '_>) -> PyResult<()> {
    let span = segment.at(block.offset, part.size).map_err(raised)?;
    let written = fill(span.mapping(segment), span.offset, part.size, part.copy);
    written.unwrap_or_else(|| Err(PyRuntimeError::new_err("a block lies outside of its segment")))
}
