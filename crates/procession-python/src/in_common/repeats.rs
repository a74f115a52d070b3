//! Large parts that several items of a map have in common travel once.
//!
//! Only a map has all its items before the first is sent: a generator may use one array again and again. Code of the program that
//! runs to pickle an item may write to what another has: then what lies there counts only if it is still the same.

use std::sync::{Mutex, MutexGuard};

use procession::shared_memory::Block;
use pyo3::prelude::*;

use crate::memory::buffer::is_only_reference;
use crate::memory::place::{Kind, Part};
use crate::objects::unsettled::now;

/// How many parts are remembered.
const REMEMBERED: usize = 16;
/// How far the owner of a view's memory is looked for.
const STEPS: usize = 8;

/// A part that an item had.
struct SeenPart {
    /// Whose memory it is: as long as it lives, the same address is the same array.
    owner: Py<PyAny>,
    address: usize,
    size: usize,
    /// Where it lies, from the second time on.
    block: Option<TakenPart>,
}

/// Where a part lies, and when it was the same as there.
#[derive(Clone, Copy)]
pub(crate) struct TakenPart {
    pub block: Block,
    at: Option<u64>,
}

impl TakenPart {
    /// A part lies in `block`, and was that at a moment of [`now`].
    pub(crate) fn new(block: Block, at: Option<u64>) -> TakenPart {
        TakenPart { block, at }
    }

    /// Whether a part is certainly what lies there still.
    pub(crate) fn is_certain(&self, part: &Part<'_, '_>) -> bool {
        self.at.is_some() && self.at == now() || matches!(Kind::of(part.owner), Some(Kind::Bytes | Kind::Str))
    }
}

/// The parts that items of a job had so far.
#[derive(Default)]
pub(crate) struct Repeats {
    seen: Mutex<Vec<SeenPart>>,
}

/// What is known of a part.
pub(crate) enum Found {
    /// The part comes for the first time.
    New,
    /// The part came before and lies nowhere: [`Repeats::keep`] it.
    Again,
    /// The part lay in a block: if its bytes are not the same any more, [`Repeats::keep`] it.
    Kept(TakenPart),
}

impl Repeats {
    fn seen(&self) -> MutexGuard<'_, Vec<SeenPart>> {
        self.seen.lock().expect("no panic while locked")
    }

    /// Looks a part up, and remembers it; gives the block of one that is forgotten instead.
    pub(crate) fn find(&self, part: &Part<'_, '_>) -> (Found, Option<Block>) {
        let owner = owner_of(part.owner);
        let mut seen = self.seen();
        let same = |seen: &&SeenPart| seen.address == part.address && seen.size == part.size && seen.owner.is(&owner);
        match seen.iter().find(same) {
            Some(SeenPart { block: Some(taken), .. }) => return (Found::Kept(*taken), None),
            Some(_) => return (Found::Again, None),
            None => {}
        }
        let oldest = (seen.len() == REMEMBERED).then(|| seen.remove(0));
        seen.push(SeenPart { owner: owner.unbind(), address: part.address, size: part.size, block: None });
        drop(seen);
        (Found::New, oldest.and_then(|oldest| oldest.block).map(|taken| taken.block))
    }

    /// A part that came again lies there from now on; gives back the block of before, or this one if the part was forgotten
    /// meanwhile.
    pub(crate) fn keep(&self, part: &Part<'_, '_>, taken: TakenPart) -> Option<Block> {
        let mut seen = self.seen();
        match seen.iter_mut().find(|seen| seen.address == part.address && seen.size == part.size) {
            Some(seen) => seen.block.replace(taken).map(|before| before.block),
            None => Some(taken.block),
        }
    }

    /// A part was what lies there once more, at that moment.
    pub(crate) fn confirm(&self, part: &Part<'_, '_>, at: Option<u64>) {
        let mut seen = self.seen();
        let same = |seen: &&mut SeenPart| seen.address == part.address && seen.size == part.size;
        if let Some(taken) = seen.iter_mut().find(same).and_then(|seen| seen.block.as_mut()) {
            taken.at = at;
        }
    }

    /// Forgets parts that nobody else holds: they were made for pickling only.
    pub(crate) fn forget_temporary(&self, py: Python<'_>) -> Vec<Block> {
        let gone: Vec<SeenPart> = {
            let mut seen = self.seen();
            let (gone, stay) = seen.drain(..).partition(|seen| is_only_reference(py, &seen.owner));
            *seen = stay;
            gone
        };
        gone.into_iter().filter_map(|seen| seen.block).map(|taken| taken.block).collect()
    }

    /// Forgets everything, and gives the blocks.
    pub(crate) fn clear(&self) -> Vec<Block> {
        let gone = std::mem::take(&mut *self.seen());
        gone.into_iter().filter_map(|seen| seen.block).map(|taken| taken.block).collect()
    }
}

/// The object that owns the memory of a view: what an array or a memoryview was made of.
fn owner_of<'py>(object: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    let mut owner = object.clone();
    if Kind::of(&owner).is_some() {
        return owner;
    }
    for _ in 0..STEPS {
        let Ok(base) = owner.getattr("base").or_else(|_| owner.getattr("obj")) else { break };
        if base.is_none() {
            break;
        }
        owner = base;
    }
    owner
}
