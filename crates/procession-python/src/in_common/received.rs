//! Objects that several results of a job have, where the results are: see `again`.

use std::sync::{Arc, Mutex, MutexGuard};

use procession::shared_memory::View;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

use crate::in_common::again::PLACES;
use crate::values;

/// In the parent: the objects that have places in the results of a job, of each worker, which is named by a number.
#[derive(Default)]
pub(crate) struct Received(Mutex<FxHashMap<usize, Places>>);

#[derive(Default)]
struct Places {
    scope: u32,
    objects: [Option<Result<Py<PyAny>, PyErr>>; PLACES],
    /// Their pickles, as far as they may be wanted in later scopes.
    pickles: [Option<Arc<View>>; PLACES],
    /// The places that got their objects by the result that came last.
    new: u16,
}

impl Received {
    fn places(&self) -> MutexGuard<'_, FxHashMap<usize, Places>> {
        self.0.lock().expect("no panic while locked")
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let before = std::mem::take(&mut *self.places());
        drop(before);
    }

    /// A result of the worker begins: see `place::Shelf`.
    pub(crate) fn begin(&self, worker: usize, scope: u32, forgotten: u16) {
        let mut all = self.places();
        let places = all.entry(worker).or_default();
        let is_other = places.scope != scope;
        (places.scope, places.new) = (scope, 0);
        if forgotten == 0 && !is_other {
            return;
        }
        let is_gone = |place: &usize| forgotten >> place & 1 == 1;
        let pickles: Vec<_> = (0..PLACES).filter(is_gone).filter_map(|place| places.pickles[place].take()).collect();
        let gone = (0..PLACES).filter(|place| is_other || is_gone(place));
        let before: Vec<_> = gone.filter_map(|place| places.objects[place].take()).collect();
        drop(all);
        drop((before, pickles));
    }

    /// The worker has given an object a place.
    pub(crate) fn keep(&self, py: Python<'_>, worker: usize, place: u8, object: &PyResult<Bound<'_, PyAny>>) {
        let place = usize::from(place);
        if place >= PLACES {
            return;
        }
        let object = match object {
            Ok(object) => Ok(object.clone().unbind()),
            Err(error) => Err(error.clone_ref(py)),
        };
        let mut all = self.places();
        let places = all.entry(worker).or_default();
        places.new |= 1 << place;
        let before = places.objects[place].replace(object);
        drop(all);
        drop(before);
    }

    /// The pickle of the object that a place gets stays there.
    pub(crate) fn keep_pickle(&self, worker: usize, place: u8, view: &Arc<View>) {
        let mut all = self.places();
        let pickles = &mut all.entry(worker).or_default().pickles;
        let before = pickles.get_mut(usize::from(place)).and_then(|kept| kept.replace(view.clone()));
        drop(all);
        drop(before);
    }

    /// The pickle of a place.
    ///
    /// # Errors
    /// The place has no object.
    pub(crate) fn pickle(&self, worker: usize, place: u8) -> PyResult<Arc<View>> {
        let all = self.places();
        let pickle = all.get(&worker).and_then(|places| places.pickles.get(usize::from(place))?.clone());
        pickle.ok_or_else(|| PyValueError::new_err("a result names a pickle that did not arrive"))
    }

    /// Whether a place got its object in the result that came last.
    pub(crate) fn is_kept(&self, worker: usize, place: u8) -> bool {
        let new = self.places().get(&worker).map_or(u16::MAX, |places| places.new);
        usize::from(place) >= PLACES || new >> place & 1 == 1
    }

    /// The objects of a run's results that are the objects of places and nothing else; none if one of them is not.
    pub(crate) fn run<'py>(&self, py: Python<'py>, worker: usize, mut bytes: &[u8]) -> Option<Vec<Bound<'py, PyAny>>> {
        let mut all = self.places();
        let places = all.get_mut(&worker)?;
        let mut objects = Vec::new();
        while !bytes.is_empty() {
            let (_, place) = values::take_again(&mut bytes).filter(|(scope, _)| *scope == places.scope)?;
            let Some(Some(Ok(object))) = places.objects.get(usize::from(place)) else { return None };
            objects.push(object.bind(py).clone());
        }
        places.new = 0;
        Some(objects)
    }

    /// The object in a place.
    ///
    /// # Errors
    /// Why it could not be rebuilt.
    pub(crate) fn again<'py>(&self, py: Python<'py>, worker: usize, place: u8) -> PyResult<Bound<'py, PyAny>> {
        let all = self.places();
        let object = all.get(&worker).and_then(|places| places.objects.get(usize::from(place))?.as_ref());
        match object {
            Some(Ok(object)) => Ok(object.bind(py).clone()),
            Some(Err(error)) => Err(error.clone_ref(py)),
            None => Err(PyValueError::new_err("a result names an object that did not arrive")),
        }
    }
}
