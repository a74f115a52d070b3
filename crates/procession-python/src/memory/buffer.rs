//! Bytes in shared memory as a Python buffer: arrays are built on it without a copy.
//!
//! One of the four files of the binding with unsafe code. `mmap.mmap` would do without, at the price of a descriptor, two system
//! calls and fresh page tables for each block: a program that holds a thousand results would run out of descriptors.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::{Arc, Mutex};

use procession::platform::{Mapping, prefer_huge_pages};
use procession::shared_memory::{Place, Segment, View, append, copy, copy_out, detach_all, read_last};
use pyo3::buffer::{PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyBufferError, PyMemoryError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyByteArray, PyMemoryView, PyString};

use crate::error::raised;
use crate::memory::place::{Kind, NoShelf, Part, Room, Shelf, Spot};

/// A part of a view; it lives as long as somebody looks at it.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Buffer {
    view: Arc<View>,
    start: usize,
    size: usize,
}

impl Buffer {
    /// A memoryview of `size` bytes of `view` from `start`, which lie in it.
    pub(crate) fn memory<'py>(
        py: Python<'py>,
        view: Arc<View>,
        start: usize,
        size: usize,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let fits = start.checked_add(size).is_some_and(|end| end <= view.size());
        if !fits || isize::try_from(size).is_err() {
            return Err(PyBufferError::new_err("bytes outside of their shared memory"));
        }
        PyMemoryView::from(Bound::new(py, Buffer { view, start, size })?.as_any())
    }
}

#[pymethods]
impl Buffer {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        let place = (this.view.address() + this.start) as *mut std::ffi::c_void;
        // SAFETY:
        //   * the interpreter passes a Py_buffer to be filled, and the exporter is this object, which gets one reference
        //     more and so keeps the view, and with it the mapping, alive until the buffer is released;
        //   * the bytes lie in the view: checked in `memory`, which alone makes these objects; the mapping is readable
        //     and writable as long as the view lives, also while a fork detaches it;
        //   * any bytes are values of what is exported, unsigned bytes. Another process may write at the same time only
        //     where the program shares memory on purpose; that is as with `multiprocessing.shared_memory`.
        let answer =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), place, this.size as ffi::Py_ssize_t, 0, flags) };
        if answer == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// What keeps the bytes of a memoryview in shared memory; none if they lie elsewhere.
pub(crate) fn lender(view: &Bound<'_, PyAny>) -> Option<Arc<View>> {
    let owner = view.getattr(pyo3::intern!(view.py(), "obj")).ok()?;
    owner.cast::<Buffer>().ok().map(|buffer| Arc::clone(&buffer.get().view))
}

/// The memory that texts are copied to before they are checked, used again and again; and the most of it that is kept.
static TEXT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
const TEXT_BYTES: usize = 4 << 20;

/// A new object with the `size` bytes at `offset` of a segment, which are copied once; an exception if they are out of bounds. With
/// `last` nobody reads them after this.
pub(crate) fn copied<'py>(
    py: Python<'py>,
    segment: &Segment,
    offset: usize,
    size: usize,
    kind: Kind,
    last: bool,
) -> Option<PyResult<Bound<'py, PyAny>>> {
    let span = match segment.at(offset, size) {
        Ok(span) => span,
        Err(error) => return Some(Err(raised(error))),
    };
    let mapping = span.mapping(segment);
    mapping.address(span.offset + size)?;
    if kind == Kind::Str {
        // The bytes of a text are looked at more than once, so nobody may change them meanwhile.
        let mut text = std::mem::take(&mut *TEXT.lock().expect("no panic while locked"));
        if text.try_reserve_exact(size).is_err() {
            return Some(Err(PyMemoryError::new_err(())));
        }
        prefer_huge_pages(text.as_ptr() as usize, size);
        copy_out(mapping, span.offset, size, &mut text);
        let made = PyString::from_bytes(py, &text).map(Bound::into_any);
        text.clear();
        if text.capacity() <= TEXT_BYTES {
            *TEXT.lock().expect("no panic while locked") = text;
        }
        return Some(made);
    }
    let place = mapping.address(span.offset)? as *const u8;
    // SAFETY:
    //   * the bytes lie in the mapping, which lives until the end of this call, and the parts that are copied cover the
    //     same bytes of the segment and of the object, all of them;
    //   * no reference to them is made, they are only copied: another process may write at the same time.
    let made = unsafe {
        filled(py, kind, size, |bytes| {
            prefer_huge_pages(bytes as usize, size);
            let part = |from: usize, count: usize| copy(place.add(from - offset), bytes.add(from - offset), count);
            if last { read_last(segment, offset, size, part) } else { part(offset, size) }
        })
    };
    Some(made)
}

/// A new object of `size` bytes, which `fill` sets: they are not zeroed before.
///
/// # Safety
/// `fill` writes to all of the `size` bytes at the address that it gets, to no others, and not later.
unsafe fn filled(py: Python<'_>, kind: Kind, size: usize, fill: impl FnOnce(*mut u8)) -> PyResult<Bound<'_, PyAny>> {
    let count = ffi::Py_ssize_t::try_from(size).map_err(|_| PyMemoryError::new_err(()))?;
    // SAFETY:
    //   * this thread is attached to the interpreter; each function that makes an object gives a new reference to one of
    //     `size` bytes, or an exception, and any bytes are a value of it; a text is made elsewhere;
    //   * nobody else has the object while its bytes are written.
    unsafe {
        let (made, bytes) = match kind {
            Kind::ByteArray => {
                let made = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), count);
                (made, if made.is_null() { std::ptr::null_mut() } else { ffi::PyByteArray_AsString(made) })
            }
            Kind::Bytes | Kind::Str => {
                let made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), count);
                (made, if made.is_null() { std::ptr::null_mut() } else { ffi::PyBytes_AsString(made) })
            }
        };
        if !made.is_null() {
            fill(bytes.cast());
        }
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// Copies all bytes of a buffer to `place`, which has as many.
pub(crate) fn copy_of(py: Python<'_>, bytes: &PyBuffer<u8>, place: &mut [u8]) -> PyResult<()> {
    if !bytes.is_c_contiguous() || bytes.len_bytes() != place.len() {
        return bytes.copy_to_slice(py, place);
    }
    // SAFETY: the buffer's bytes stay where they are while it is held, one after the other, and they are as many as those
    // of `place`, which nobody else has. Should another process or thread write at the same time, they are values still.
    unsafe { copy(bytes.buf_ptr().cast(), place.as_mut_ptr(), place.len()) };
    Ok(())
}

/// Puts the bytes of a buffer, the memory of `owner`, into `room`.
pub(crate) fn put(owner: &Bound<'_, PyAny>, bytes: &PyBuffer<u8>, room: &mut dyn Room) -> PyResult<Spot> {
    let py = owner.py();
    let copy = |place: &mut [u8]| copy_of(py, bytes, place);
    room.put(&Part { owner, address: bytes.buf_ptr() as usize, size: bytes.len_bytes(), copy: &copy })
}

/// Whether a part has the bytes at `offset` of a mapping.
pub(crate) fn is_equal(part: &Part<'_, '_>, mapping: &Mapping, offset: usize) -> bool {
    let end = offset.checked_add(part.size).and_then(|end| mapping.address(end));
    let (Some(_), Some(place)) = (end, mapping.address(offset)) else { return false };
    // SAFETY:
    //   * who made the part holds its buffer until this returns: its bytes stay where they are, as many as it says, one after
    //     the other; those of the mapping lie in it, which lives as long;
    //   * they are only compared. Should another process or thread write at the same time, the answer may be either, as it
    //     may be a moment later.
    let (part, there) = unsafe {
        let part = std::slice::from_raw_parts(part.address as *const u8, part.size);
        (part, std::slice::from_raw_parts(place as *const u8, part.len()))
    };
    part == there
}

/// Adds all bytes of a buffer to `out`: see [`copy_items`].
pub(crate) fn append_items(items: &PyUntypedBuffer, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + items.len_bytes(), 0);
    copy_items(items, &mut out[start..]);
}

/// Copies all bytes of a buffer to `place`, one item after the other; one that is not contiguous has one dimension.
///
/// # Panics
/// When `place` has not as many.
pub(crate) fn copy_items(items: &PyUntypedBuffer, place: &mut [u8]) {
    let size = items.len_bytes();
    assert_eq!(place.len(), size);
    if items.is_c_contiguous() {
        // SAFETY: the buffer is held, so its bytes stay where they are, one after the other, as many as those of `place`.
        // Should another thread write at the same time, they are values still.
        return unsafe { copy(items.buf_ptr().cast(), place.as_mut_ptr(), size) };
    }
    for (index, place) in place.chunks_exact_mut(items.item_size().max(1)).enumerate() {
        // SAFETY: as above, for one item, whose index is less than their number: checked in `get_ptr`.
        unsafe { copy(items.get_ptr(&[index]).cast(), place.as_mut_ptr(), place.len()) };
    }
}

/// Writes `bytes` to a buffer that nobody else has.
pub(crate) fn fill_items(items: &PyUntypedBuffer, bytes: &[u8]) -> PyResult<()> {
    if items.readonly() || !items.is_c_contiguous() || items.len_bytes() != bytes.len() {
        return Err(PyBufferError::new_err("a new array is not as it should be"));
    }
    // SAFETY: the buffer is held and may be written to, and has as many bytes, one after the other.
    unsafe { copy(bytes.as_ptr(), items.buf_ptr().cast(), bytes.len()) };
    Ok(())
}

/// New `bytes` with these.
pub(crate) fn bytes_of<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: all of the new bytes are written.
    unsafe { filled(py, Kind::Bytes, bytes.len(), |place| copy(bytes.as_ptr(), place, bytes.len())) }
}

/// A new bytearray with these.
pub(crate) fn array_of<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as above.
    unsafe { filled(py, Kind::ByteArray, bytes.len(), |place| copy(bytes.as_ptr(), place, bytes.len())) }
}

/// Adds the bytes of a bytearray to `out`; says how many they were.
pub(crate) fn append_array(array: &Bound<'_, PyByteArray>, out: &mut Vec<u8>) -> usize {
    let before = out.len();
    // SAFETY: no code of Python runs before the reference ends, in this thread or, for this array, in another: nobody
    // resizes it or writes.
    with_critical_section(array, || append(unsafe { array.as_bytes() }, out));
    out.len() - before
}

/// Calls `fill` with the bytes of a new bytearray, or of one that nobody else has seen; it may release the interpreter.
pub(crate) fn with_bytes_of<T>(own: &Bound<'_, PyByteArray>, fill: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
    // Another holder of a reference could resize or read it meanwhile.
    if !is_only_reference(own.py(), own.as_any().as_unbound()) {
        return None;
    }
    // SAFETY: there is one reference, which the caller holds until this returns, so no other code knows of the object.
    Some(fill(unsafe { own.as_bytes_mut() }))
}

/// Whether nothing else refers to an object.
pub(crate) fn is_only_reference(_py: Python<'_>, object: &Py<PyAny>) -> bool {
    // SAFETY: the object is alive, as `object` refers to it, and this thread is attached to the interpreter.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

/// Whether nothing else refers to an object than so many references, which the caller knows of.
#[inline]
pub(crate) fn is_referred_to_by(object: &Bound<'_, PyAny>, references: isize) -> bool {
    // SAFETY: as above.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == references }
}

/// Have all that this process sees in place of others' blocks be its own, and its children's, from now on.
#[pyfunction]
fn before_fork() -> PyResult<()> {
    detach_all().map_err(raised)
}

/// New shared memory of `size` bytes, as a memoryview that can be written to.
#[pyfunction]
fn share_memory(py: Python<'_>, size: usize) -> PyResult<Bound<'_, PyMemoryView>> {
    if size == 0 {
        return PyMemoryView::from(PyByteArray::new(py, &[]).as_any());
    }
    Buffer::memory(py, View::create(size).map_err(raised)?, 0, size)
}

/// The shared memory behind a descriptor, which is taken over, as a memoryview that can be written to.
#[pyfunction]
fn attach_shared(py: Python<'_>, descriptor: i32) -> PyResult<Bound<'_, PyMemoryView>> {
    let file = procession::platform::adopt(descriptor).map_err(raised)?;
    let view = View::attach(file).map_err(raised)?;
    let size = view.size();
    Buffer::memory(py, view, 0, size)
}

/// Whether any memory that this process shares on purpose is there.
#[pyfunction]
fn has_shared() -> bool {
    View::any_shared()
}

/// `(process, descriptor, inode, offset, size)` of a [`Place`].
pub(crate) type PlaceParts = (u32, u32, u64, u64, u64);

/// A [`Place`] for Python.
pub(crate) fn parts_of(place: &Place) -> PlaceParts {
    (place.process, place.descriptor, place.inode, place.offset, place.size)
}

/// The part at a spot as a memoryview, used in place.
pub(crate) fn in_place<'py>(py: Python<'py>, spot: Spot, shelf: &dyn Shelf) -> PyResult<Bound<'py, PyMemoryView>> {
    match spot {
        Spot::Shared(place) => {
            let view = View::find(&place).map_err(|error| {
                pyo3::exceptions::PyRuntimeError::new_err(format!(
                    "the shared memory of process {} is gone ({error}): keep what `share` returned until others have it",
                    place.process
                ))
            })?;
            Buffer::memory(py, view, place.offset as usize, place.size as usize)
        }
        spot => {
            let view = shelf.view(spot)?;
            let size = view.size();
            Buffer::memory(py, view, 0, size)
        }
    }
}

/// The bytes at a place of shared memory, as a memoryview that can be written to.
#[pyfunction]
fn find_shared(
    py: Python<'_>,
    process: u32,
    descriptor: u32,
    inode: u64,
    offset: u64,
    size: u64,
) -> PyResult<Bound<'_, PyMemoryView>> {
    in_place(py, Spot::Shared(Place { process, descriptor, inode, offset, size }), &NoShelf)
}

/// Where the bytes of a contiguous buffer are in memory that is shared on purpose.
#[pyfunction]
fn place_of(buffer: &Bound<'_, PyAny>) -> Option<PlaceParts> {
    let raw = buffer.call_method0("raw").ok()?;
    let bytes = PyBuffer::<u8>::get(&raw).ok()?;
    let (_, place) = View::around(bytes.buf_ptr() as usize, bytes.len_bytes()).filter(|_| bytes.len_bytes() > 0)?;
    Some(parts_of(&place))
}

/// The bytes of a contiguous buffer that a message has brought, or that lie in memory that is shared on purpose, as a memoryview that
/// can be written to; nobody else sees what is. None for any other memory.
#[pyfunction]
fn own_memory<'py>(py: Python<'py>, buffer: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
    let bytes = PyBuffer::<u8>::get(buffer)?;
    let found = View::own(bytes.buf_ptr() as usize, bytes.len_bytes()).map_err(raised)?;
    found.map(|(view, offset)| Buffer::memory(py, view, offset, bytes.len_bytes())).transpose()
}

/// Adds the class, and what is called before each fork.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Buffer>()?;
    module.add_function(wrap_pyfunction!(share_memory, module)?)?;
    module.add_function(wrap_pyfunction!(attach_shared, module)?)?;
    module.add_function(wrap_pyfunction!(has_shared, module)?)?;
    module.add_function(wrap_pyfunction!(find_shared, module)?)?;
    module.add_function(wrap_pyfunction!(place_of, module)?)?;
    module.add_function(wrap_pyfunction!(own_memory, module)?)?;
    module.add_function(wrap_pyfunction!(before_fork, module)?)?;
    let options = pyo3::types::PyDict::new(module.py());
    options.set_item("before", module.getattr("before_fork")?)?;
    module.py().import("os")?.call_method("register_at_fork", (), Some(&options))?;
    Ok(())
}
