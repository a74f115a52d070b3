//! A large argument of calls that wait to be sent travels once for all of them.
//!
//! A call's arguments are taken at some moment between the call and its task, as in the standard library, whose thread takes them.
//! So what was taken at a moment is right for every call that had been made by then, however the program has changed it in between;
//! a later call may mean something newer, and nothing that was taken before serves it. Nobody has to find out whether the program
//! has changed an array, unless code of it ran to pickle what goes before: then what was taken counts only if it is still the same.
//!
//! Only what is an argument itself counts: memory that a reducer fills may have been filled again for the next call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use procession::shared_memory::Block;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyTuple};

use crate::in_common::repeats;
use crate::memory::place::Part;
use crate::objects::numpy::is_array_of_numbers;
use crate::objects::reducers::has_reducer;

/// How many arguments are kept for calls that wait.
const KEPT: usize = 4;

/// An argument that was taken.
struct TakenArgument {
    /// Whose memory it is: as long as it lives, the same address is the same memory.
    _owner: Py<PyAny>,
    address: usize,
    size: usize,
    taken: repeats::TakenPart,
    /// The last call that had been made by then.
    last: u64,
}

/// The arguments of a pool's calls that were taken for several.
#[derive(Default)]
pub(crate) struct Burst {
    taken: Mutex<Vec<TakenArgument>>,
    /// Whether there are some: one look for those who have none.
    has_some: AtomicBool,
}

impl Burst {
    fn taken(&self) -> MutexGuard<'_, Vec<TakenArgument>> {
        self.taken.lock().expect("no panic while locked")
    }

    /// Whether there may be some.
    pub(crate) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Relaxed)
    }

    /// Where a part lies that is an argument of call `call` itself, if it was taken after that was made.
    pub(crate) fn find(&self, part: &Part<'_, '_>, call: u64) -> Option<repeats::TakenPart> {
        if !self.has_some() {
            return None;
        }
        let same =
            |taken: &&TakenArgument| taken.address == part.address && taken.size == part.size && call <= taken.last;
        self.taken().iter().find(same).map(|taken| taken.taken)
    }

    /// A part of `owner` was taken when `last` was the last call that had been made. Gives the block that is kept no more for that.
    pub(crate) fn keep(
        &self,
        owner: Py<PyAny>,
        part: &Part<'_, '_>,
        taken: repeats::TakenPart,
        last: u64,
    ) -> Option<Block> {
        let new = TakenArgument { _owner: owner, address: part.address, size: part.size, taken, last };
        let mut taken = self.taken();
        let before = taken.iter().position(|taken| taken.address == part.address);
        let gone = before.or((taken.len() == KEPT).then_some(0)).map(|place| taken.remove(place));
        taken.push(new);
        self.has_some.store(true, Ordering::Relaxed);
        drop(taken);
        gone.map(|gone| gone.taken.block)
    }

    /// A part was what was taken once more, at that moment.
    pub(crate) fn confirm(&self, part: &Part<'_, '_>, block: Block, at: Option<u64>) {
        let mut taken = self.taken();
        if let Some(taken) = taken.iter_mut().find(|taken| taken.address == part.address && taken.taken.block == block)
        {
            taken.taken = repeats::TakenPart::new(block, at);
        }
    }

    /// Call `call` is sent, and those before it were: gives what none of the others may have.
    pub(crate) fn sent(&self, call: u64) -> Vec<Block> {
        self.forget(|taken| taken.last <= call)
    }

    /// Gives everything.
    pub(crate) fn clear(&self) -> Vec<Block> {
        self.forget(|_| true)
    }

    fn forget(&self, is_over: impl Fn(&TakenArgument) -> bool) -> Vec<Block> {
        if !self.has_some() {
            return Vec::new();
        }
        let mut taken = self.taken();
        let gone: Vec<TakenArgument> = taken.extract_if(.., |taken| is_over(taken)).collect();
        self.has_some.store(!taken.is_empty(), Ordering::Relaxed);
        drop(taken);
        // Their owners go with the last reference here, which may run code of the program.
        gone.into_iter().map(|gone| gone.taken.block).collect()
    }
}

/// The argument of a call, `(args, kwds)`, whose memory a part is, as it is.
pub(crate) fn argument_behind<'py>(call: &Bound<'py, PyAny>, part: &Part<'_, '_>) -> Option<Bound<'py, PyAny>> {
    let call = call.cast::<PyTuple>().ok()?;
    let args = call.get_item(0).ok()?.cast_into::<PyTuple>().ok()?;
    let kwds = call.get_item(1).ok()?;
    let named = kwds.cast::<PyDict>().map(|kwds| kwds.values().into_iter().collect()).unwrap_or_else(|_| Vec::new());
    args.iter().chain(named).find(|argument| is_memory(argument, part))
}

fn is_memory(argument: &Bound<'_, PyAny>, part: &Part<'_, '_>) -> bool {
    if let Ok(bytes) = argument.cast_exact::<PyBytes>() {
        let bytes = bytes.as_bytes();
        return bytes.as_ptr() as usize == part.address && bytes.len() == part.size;
    }
    let is_plain = argument.is_exact_instance_of::<PyByteArray>()
        || is_array_of_numbers(argument) && !has_reducer(&argument.get_type());
    is_plain
        && PyUntypedBuffer::get(argument)
            .is_ok_and(|items| items.buf_ptr() as usize == part.address && items.len_bytes() == part.size)
}
