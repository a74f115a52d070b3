//! Where the large parts of a value lie, and who puts them there and fetches them.

use std::sync::Arc;

use procession::shared_memory::{Place, View};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};

/// From this size on a buffer is not pickled but copied into a block of shared memory.
pub(crate) const LARGE: usize = 32 << 10;
/// The bytes of a spot.
pub(crate) const SPOT_BYTES: usize = 40;

/// Where a large part of a value lies.
#[derive(Clone, Copy)]
pub(crate) enum Spot {
    /// In a block for one receiver, who may write there.
    Block { offset: u64, size: u64 },
    /// In a block for several receivers.
    Common { offset: u64, size: u64 },
    /// In memory that is shared on purpose.
    Shared(Place),
}

impl Spot {
    /// Adds its bytes to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, offset, size, home, inode) = match *self {
            Spot::Block { offset, size } => (0, offset, size, 0, 0),
            Spot::Common { offset, size } => (1, offset, size, 0, 0),
            Spot::Shared(place) => {
                let home = u64::from(place.process) << 32 | u64::from(place.descriptor);
                (2u64, place.offset, place.size, home, place.inode)
            }
        };
        for word in [kind, offset, size, home, inode] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// The spot in `bytes`; none if they make no sense.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Spot> {
        let word = |index: usize| Some(u64::from_le_bytes(*bytes.get(8 * index..)?.first_chunk()?));
        let (offset, size, home, inode) = (word(1)?, word(2)?, word(3)?, word(4)?);
        let (process, descriptor) = ((home >> 32) as u32, home as u32);
        match word(0)? {
            0 => Some(Spot::Block { offset, size }),
            1 => Some(Spot::Common { offset, size }),
            2 => Some(Spot::Shared(Place { process, descriptor, inode, offset, size })),
            _ => None,
        }
    }

    /// How many bytes lie there.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Spot::Block { size, .. } | Spot::Common { size, .. } => *size,
            Spot::Shared(place) => place.size,
        }
    }
}

/// A large part of a value that is being encoded.
pub(crate) struct Part<'a, 'py> {
    /// The object whose memory it is.
    pub owner: &'a Bound<'py, PyAny>,
    /// Where it lies in this process.
    pub address: usize,
    /// How many bytes it has.
    pub size: usize,
    /// Copies all of it.
    pub copy: &'a dyn Fn(&mut [u8]) -> PyResult<()>,
}

/// Where large parts go on their way out.
pub(crate) trait Room {
    /// Puts a part somewhere.
    fn put(&mut self, part: &Part<'_, '_>) -> PyResult<Spot>;
    /// Whether the bytes of a part are those at a spot where this has put one before.
    fn has(&self, _spot: Spot, _part: &Part<'_, '_>) -> bool {
        false
    }
    /// Whether a large pickle goes there, too.
    fn takes_pickles(&self) -> bool {
        false
    }
    /// Nobody is told of what was put so far.
    fn take_back(&mut self) {}
}

/// What bytes of shared memory are copied into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Bytes,
    ByteArray,
    /// Text, as UTF-8.
    Str,
}

impl Kind {
    /// The kind of an object that is exactly one of these.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> Option<Kind> {
        if object.is_exact_instance_of::<PyBytes>() {
            Some(Kind::Bytes)
        } else if object.is_exact_instance_of::<PyByteArray>() {
            Some(Kind::ByteArray)
        } else {
            object.is_exact_instance_of::<PyString>().then_some(Kind::Str)
        }
    }
}

/// Where large parts come from.
pub(crate) trait Shelf {
    /// The part at a spot that is not shared on purpose, to be used in place.
    fn view(&self, spot: Spot) -> PyResult<Arc<View>>;
    /// A new object with the bytes of the part at such a spot, which is given back; none if it lies outside.
    fn copy<'py>(&self, py: Python<'py>, spot: Spot, kind: Kind) -> Option<PyResult<Bound<'py, PyAny>>>;
    /// The object that several values have in common and call by this name; `make` rebuilds it.
    fn common<'py>(
        &self,
        _py: Python<'py>,
        _name: (u64, u64),
        make: &dyn Fn() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        make()
    }
    /// A result comes in which objects have places: of that scope, and without the objects of the places whose bits are set.
    fn begin(&self, _scope: u32, _forgotten: u16) {}
    /// The object of a place, or why there is none.
    fn keep(&self, _py: Python<'_>, _place: u8, _object: &PyResult<Bound<'_, PyAny>>) {}
    /// The pickle of the object that the place gets stays there, to be rebuilt once more.
    fn keep_pickle(&self, _place: u8, _view: &Arc<View>) {}
    /// The pickle of a place.
    ///
    /// # Errors
    /// The place has no pickle.
    fn pickle(&self, _place: u8) -> PyResult<Arc<View>> {
        Err(pyo3::exceptions::PyValueError::new_err("a value arrived without a pickle that it names"))
    }
    /// Whether the place got its object in the result that came last.
    fn is_kept(&self, _place: u8) -> bool {
        true
    }
    /// The object that has a place.
    ///
    /// # Errors
    /// Why there is none.
    fn again<'py>(&self, _py: Python<'py>, _place: u8) -> PyResult<Bound<'py, PyAny>> {
        Err(pyo3::exceptions::PyValueError::new_err("a value arrived without an object that it names"))
    }
}

/// A shelf for values that have no large parts.
pub(crate) struct NoShelf;

impl Shelf for NoShelf {
    fn view(&self, _spot: Spot) -> PyResult<Arc<View>> {
        Err(pyo3::exceptions::PyValueError::new_err("a value arrived without its large parts"))
    }

    fn copy<'py>(&self, _py: Python<'py>, _spot: Spot, _kind: Kind) -> Option<PyResult<Bound<'py, PyAny>>> {
        None
    }
}
