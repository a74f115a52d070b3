//! The large parts of what a function of another language is given and gives, in a worker: used in place.

use std::sync::Arc;

use super::callee::Desk;
use super::wire::PartPlace;
use crate::channel::BLOCK_HEAD;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::Worker;
use crate::shared_memory::{View, fill};

/// Those of one call.
pub(super) struct WorkerDesk<'a> {
    worker: &'a mut Worker,
    /// Where the parts of the argument lie, in the pool's segment.
    given: &'a [PartPlace],
    /// Where those of the result lie, in the worker's own.
    lent: Vec<PartPlace>,
}

impl<'a> WorkerDesk<'a> {
    pub(super) fn new(worker: &'a mut Worker, given: &'a [PartPlace]) -> WorkerDesk<'a> {
        WorkerDesk { worker, given, lent: Vec::new() }
    }

    /// The call is over: the parts of its result, none of which stays unless it `returned`.
    pub(super) fn end(self, returned: bool) -> Vec<PartPlace> {
        if returned {
            return self.lent;
        }
        self.lent.into_iter().for_each(|(offset, _)| self.worker.unlend(offset as usize));
        Vec::new()
    }
}

impl Desk for WorkerDesk<'_> {
    fn started(&mut self) {
        self.worker.running();
    }

    fn part(&mut self, number: u32) -> Result<Arc<View>> {
        let missing = || Error::new(ErrorKind::Protocol, "an array arrived without its items");
        let (offset, size) = *self.given.get(number as usize).ok_or_else(missing)?;
        let holdings = self.worker.holdings().clone();
        holdings.take(offset);
        let give_back = Box::new(move || holdings.give_back(offset));
        View::lent(self.worker.pool_segment().clone(), offset as usize, size as usize, give_back)
    }

    fn put(&mut self, size: usize, write: &mut dyn FnMut(&mut [u8])) -> Result<u32> {
        let (segment, offset) = self.worker.lend_block(size)?;
        self.lent.push((offset as u64, size as u64));
        let span = segment.at(offset + BLOCK_HEAD, size)?;
        let filled = fill(span.mapping(&segment), span.offset, size, write);
        filled.ok_or_else(|| Error::new(ErrorKind::Protocol, "a block lies outside of its segment"))?;
        Ok(self.lent.len() as u32 - 1)
    }
}
