//! What is in an object, to see later whether it has changed.

use pyo3::prelude::*;
use pyo3::types::{PyComplex, PyDict, PyList, PySet, PyString, PyTuple};
use rustc_hash::FxHashSet;

use crate::fast::has_exactly;
use crate::objects::entries::{each_entry, items_of};
use crate::objects::instances::{self, Classes};
use crate::values;

/// A larger object is not looked through, but pickled again to see whether it is the same.
const MOST_WALKED: usize = 1 << 20;
/// How deep objects are looked through.
const MOST_DEEP: usize = 64;

/// The lists, dicts and instances within an object, and what each of them has.
///
/// All else that is in it cannot change, so an object is what it was if all of these are. What they had
/// is held, so that nothing else gets its address.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// Each with the end of its part of `children`.
    containers: Vec<(Py<PyAny>, usize)>,
    children: Vec<Py<PyAny>>,
}

impl Snapshot {
    /// The snapshot of an object but for what is in the objects `without`; none if it has anything that could change in
    /// other ways.
    pub(crate) fn of(value: &Bound<'_, PyAny>, without: &[usize], classes: &mut Classes) -> Option<Snapshot> {
        let mut walk = Walk { snapshot: Snapshot::default(), visited: FxHashSet::default(), without, classes };
        walk.look(value, 0).then_some(walk.snapshot)
    }

    /// The addresses of its lists, dicts and instances.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = usize> {
        self.containers.iter().map(|(container, _)| container.as_ptr() as usize)
    }

    /// Whether all of them have that still.
    pub(crate) fn holds(&self, py: Python<'_>) -> bool {
        let mut start = 0;
        self.containers.iter().all(|(container, end)| {
            let children = &self.children[start..*end];
            start = *end;
            let container = container.bind(py);
            match container.cast_exact::<PySet>() {
                Ok(set) => {
                    let items = items_of(set);
                    items.len() == children.len() && items.iter().zip(children).all(|(item, child)| item.is(child))
                }
                Err(_) => has_exactly(container, children) || instances::has_exactly(container, children),
            }
        })
    }
}

/// Looks through an object.
struct Walk<'a> {
    snapshot: Snapshot,
    visited: FxHashSet<usize>,
    /// An object that is not looked into.
    without: &'a [usize],
    classes: &'a mut Classes,
}

impl Walk<'_> {
    fn look<'py>(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> bool {
        let address = value.as_ptr() as usize;
        if is_atom(value) || self.without.contains(&address) {
            return true;
        }
        let start = self.snapshot.children.len();
        let mut more = Vec::new();
        if depth == MOST_DEEP || start > MOST_WALKED {
            return false;
        }
        if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            more.extend(tuple.iter_borrowed().filter(|item| !is_atom(item)).map(|item| item.to_owned()));
            return more.is_empty() || !self.visited.insert(address) || self.all(&more, depth);
        }
        if let Some(fields) = self.classes.fields(value) {
            more.extend(fields.iter_borrowed().map(|item| item.to_owned()));
            return !self.visited.insert(address) || self.all(&more, depth);
        }
        let children = &mut self.snapshot.children;
        let mut add = |child: Bound<'py, PyAny>| {
            if !is_atom(&child) {
                more.push(child.clone());
            }
            children.push(child.unbind());
        };
        if let Ok(list) = value.cast_exact::<PyList>() {
            if !self.visited.insert(address) {
                return true;
            }
            list.iter().for_each(&mut add);
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            if !self.visited.insert(address) {
                return true;
            }
            each_entry(dict, |(key, item)| {
                add(key);
                add(item);
            });
        } else if let Ok(set) = value.cast_exact::<PySet>() {
            if !self.visited.insert(address) {
                return true;
            }
            items_of(set).into_iter().for_each(&mut add);
        } else {
            let Some(attributes) = self.classes.attributes(value) else { return false };
            if !self.visited.insert(address) {
                return true;
            }
            self.snapshot.children.push(value.get_type().into_any().unbind());
            self.snapshot.children.push(attributes.clone().into_any().unbind());
            more.push(attributes.into_any());
        }
        let end = self.snapshot.children.len();
        self.snapshot.containers.push((value.clone().unbind(), end));
        self.all(&more, depth)
    }

    fn all(&mut self, values: &[Bound<'_, PyAny>], depth: usize) -> bool {
        values.iter().all(|value| self.look(value, depth + 1))
    }
}

/// Whether an object has no parts and stays as it is.
pub(crate) fn is_atom(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || !value.is_exact_instance_of::<PyTuple>() && values::is_lasting(value, 0)
        || value.is_exact_instance_of::<PyComplex>()
}
