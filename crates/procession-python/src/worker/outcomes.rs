//! What a worker sends of an item: its result, or its failure.

use procession::channel::{FrameKind, is_called_off};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::WorkerCore;
use crate::error::{raised, traced};
use crate::in_common::again::Sent;
use crate::memory::place::Room;
use crate::objects::naming::Scope;
use crate::values::{self};
use crate::worker::memory::ResultRoom;

/// Apart, so that the room it takes on the stack is not that of who calls it.
#[cold]
#[inline(never)]
fn nothing_sent() -> Box<Sent> {
    Box::default()
}

impl WorkerCore {
    pub(super) fn forget_sent(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.clear();
        }
    }

    #[inline]
    pub(super) fn returned(&mut self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(number) = values::as_int(result) {
            let mut framed = values::framed_int(number);
            return self.worker.returned_small(&mut framed, false).map_err(raised);
        }
        self.returned_slow(result)
    }

    pub(super) fn returned_slow(&mut self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.sharing > 1 {
            let ((job, first), at) = (self.record, u64::from(self.worker.next_item()));
            // Where the scope is the whole job, none comes after it.
            let sent = self.sent.get_or_insert_with(nothing_sent);
            sent.enter(job, (first + at) / self.sharing, self.sharing < u64::MAX);
            if let Some(mut framed) = sent.at_once(result) {
                let answer = self.worker.returned_small(&mut framed, true);
                if answer.is_err() {
                    self.forget_sent();
                }
                return answer.map_err(raised);
            }
        }
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        // Room for the size that a run has before each result.
        out.push(0);
        let mut room = ResultRoom { worker: &mut self.worker, lent: Vec::new() };
        let scope = Scope::to_parent();
        let encoded = match &mut self.sent {
            Some(sent) if self.sharing > 1 => sent.encode(result, &mut out, &mut room),
            _ => values::encode(result, &mut out, &mut room),
        };
        drop(scope);
        if encoded.is_err() {
            room.take_back();
        }
        // Parts in memory that is shared on purpose need nobody's care.
        let parts = !room.lent.is_empty();
        let answer = match encoded {
            Ok(()) => match self.send(&mut out, parts) {
                Ok(()) => Ok(()),
                Err(error) => {
                    // The parent does not hear of the places that it gives.
                    self.forget_sent();
                    self.unsendable(raised(error), result)
                }
            },
            Err(error) => self.unsendable(error, result),
        };
        if out.capacity() > 4 << 20 {
            out = Vec::new();
        }
        self.out = out;
        answer
    }

    #[inline]
    pub(super) fn send(&mut self, out: &mut [u8], parts: bool) -> procession::Result<()> {
        if parts {
            // A run of results never has blocks: nobody would give those back of a run that is not wanted.
            return self.worker.outcome(FrameKind::Returned, &out[1..]);
        }
        let named = values::is_named(&out[1..]);
        self.worker.returned(out, named)
    }

    #[cold]
    pub(super) fn unsendable(&mut self, error: PyErr, result: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = result.py();
        let failure = self.support.bind(py).call_method1("unsendable", (traced(py, &error), result))?;
        let failure = failure.cast::<PyBytes>()?.as_bytes();
        self.worker.outcome(FrameKind::Raised, failure).map_err(raised)
    }

    #[cold]
    pub(super) fn failed(&mut self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        self.unwanted |= is_called_off(self.worker.own_segment());
        let _scope = Scope::to_parent();
        let failure = self.support.bind(py).call_method1("failure", (traced(py, &error),))?;
        let failure = failure.cast::<PyBytes>()?.as_bytes();
        self.worker.outcome(FrameKind::Raised, failure).map_err(raised)
    }
}
