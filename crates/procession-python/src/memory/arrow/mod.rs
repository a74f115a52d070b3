//! Tables and columns by Arrow's C interface: taken apart into descriptions and buffers, and put together again on buffers
//! that lie wherever they arrived.
//!
//! The third place of the binding with unsafe code: the interface is two structures of pointers, and the only way into and out of
//! libraries such as polars that neither copies nor needs one more library. What somebody holds of an array is freed by
//! whichever thread drops it last, attached to the interpreter or not: so nothing that is held here is an object of Python.
#![allow(unsafe_code)]

mod apart;
mod layout;
mod whole;

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use pyo3::prelude::*;

use self::apart::arrow_parts;
use self::whole::arrow_whole;

/// Describes the type of an array, as the interface defines it.
#[repr(C)]
pub(super) struct Schema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *mut *mut Schema,
    pub dictionary: *mut Schema,
    pub release: Option<unsafe extern "C" fn(*mut Schema)>,
    pub private_data: *mut c_void,
}

/// The buffers of an array, as the interface defines it.
#[repr(C)]
pub(super) struct Array {
    pub length: i64,
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *mut *const c_void,
    pub children: *mut *mut Array,
    pub dictionary: *mut Array,
    pub release: Option<unsafe extern "C" fn(*mut Array)>,
    pub private_data: *mut c_void,
}

/// Gives arrays of one type, as the interface defines it.
#[repr(C)]
pub(super) struct ArrowStream {
    pub get_schema: Option<unsafe extern "C" fn(*mut ArrowStream, *mut Schema) -> c_int>,
    pub get_next: Option<unsafe extern "C" fn(*mut ArrowStream, *mut Array) -> c_int>,
    pub get_last_error: Option<unsafe extern "C" fn(*mut ArrowStream) -> *const c_char>,
    pub release: Option<unsafe extern "C" fn(*mut ArrowStream)>,
    pub private_data: *mut c_void,
}

impl Schema {
    pub(super) const fn empty() -> Schema {
        Schema {
            format: null(),
            name: null(),
            metadata: null(),
            flags: 0,
            n_children: 0,
            children: null_mut(),
            dictionary: null_mut(),
            release: None,
            private_data: null_mut(),
        }
    }
}

impl Array {
    pub(super) const fn empty() -> Array {
        Array {
            length: 0,
            null_count: 0,
            offset: 0,
            n_buffers: 0,
            n_children: 0,
            buffers: null_mut(),
            children: null_mut(),
            dictionary: null_mut(),
            release: None,
            private_data: null_mut(),
        }
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: whoever has set `release` wants it called once with the structure, and sets it to null then.
            unsafe { release(self) }
        }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: as of a schema.
            unsafe { release(self) }
        }
    }
}

// SAFETY: the interface lets any thread use and release these structures, one at a time.
unsafe impl Send for Schema {}
// SAFETY: as above.
unsafe impl Send for Array {}
// SAFETY: nothing is changed through a shared reference.
unsafe impl Sync for Array {}

/// Adds the functions to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(arrow_parts, module)?)?;
    module.add_function(wrap_pyfunction!(arrow_whole, module)?)
}
