//! What a dict or a set has, as it is at one moment.
//!
//! Without an interpreter lock another thread may change it between two steps of an iteration, which PyO3 takes for a
//! fault of the program and panics. With one, all of this costs nothing.

use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PySet};

/// A key and its value.
pub(crate) type Entry<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Shows all entries of a dict to `see`, which runs no code of Python.
pub(crate) fn each_entry<'py>(dict: &Bound<'py, PyDict>, see: impl FnMut(Entry<'py>)) {
    with_critical_section(dict, || dict.iter().for_each(see));
}

/// All entries of a dict.
pub(crate) fn entries_of<'py>(dict: &Bound<'py, PyDict>) -> Vec<Entry<'py>> {
    with_critical_section(dict, || dict.iter().collect())
}

/// Whether a dict has just these entries, in that order: not equal ones, but the same.
pub(crate) fn has_entries(dict: &Bound<'_, PyDict>, entries: &[Entry<'_>]) -> bool {
    let same = |((key, item), (was_key, was)): (Entry<'_>, &Entry<'_>)| key.is(was_key) && item.is(was);
    with_critical_section(dict, || dict.len() == entries.len() && dict.iter().zip(entries).all(same))
}

/// All items of a set.
pub(crate) fn items_of<'py>(set: &Bound<'py, PySet>) -> Vec<Bound<'py, PyAny>> {
    with_critical_section(set, || set.iter().collect())
}
