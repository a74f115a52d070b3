//! Instances of classes whose pickles can be read off: the class and the attributes, or what a harmless reducer says.
//!
//! A pickle names the class by its module and its name, which are looked up on both sides; that takes longer than all the rest
//! of a small instance. In results that share what they can, the class is sent once.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyList, PyModule, PyString, PyTuple, PyType};
use rustc_hash::FxHashMap;

use crate::objects::entries::entries_of;
use crate::objects::forms::{Form, form_of};
use crate::objects::naming::is_named;
use crate::objects::reducers::{has_reducer, note_answer};

/// The most items of a tuple, list or dict that is not pickled.
pub(crate) const TUPLE_ITEMS: usize = 16;
/// The most classes that are remembered.
const MOST: usize = 256;
/// The protocol that reducers are asked for.
const PROTOCOL: u8 = 5;
/// After so many instances of a class that had to be pickled after all no more are asked.
const MISFITS: u32 = 8;

/// What an instance is made of.
pub(crate) enum Parts<'py> {
    /// A tuple of the class and the names of the attributes, which stays the same for all with these names, and the values.
    Attributes(Bound<'py, PyTuple>, Vec<Bound<'py, PyAny>>),
    /// The class and the fields.
    Fields(Bound<'py, PyType>, Bound<'py, PyTuple>),
    /// What the reducer says.
    Reduced(Reduction<'py>),
}

/// What a reducer says.
pub(crate) struct Reduction<'py> {
    /// A class, or a function that has a name.
    pub callable: Bound<'py, PyAny>,
    pub arguments: Bound<'py, PyTuple>,
    pub state: Option<Bound<'py, PyAny>>,
    /// The items that the object is extended by, and the keys and values that are set, one behind the other.
    pub items: Option<Bound<'py, PyList>>,
    pub entries: Option<Bound<'py, PyList>>,
}

/// The classes of objects that came, and how their instances are pickled.
#[derive(Default)]
pub(crate) struct Classes(FxHashMap<usize, Known>);

struct Known {
    /// Held, so that no other class gets its address.
    _class: Py<PyType>,
    form: Form,
    /// The class and the names of the attributes of the instance that came last.
    names: Option<Py<PyTuple>>,
    /// The callable that made the instance that came last.
    callable: Option<Py<PyAny>>,
    /// How many instances had to be pickled after all.
    misfits: u32,
}

impl Classes {
    /// The attributes of an instance that has nothing else; none if it is pickled in another way.
    pub(crate) fn attributes<'py>(&mut self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
        let class = value.get_type();
        if self.known(&class).form != Form::Attributes || has_reducer(&class) {
            return None;
        }
        value.getattr(intern!(value.py(), "__dict__")).ok()?.cast_into_exact::<PyDict>().ok()
    }

    /// The fields of a named tuple.
    pub(crate) fn fields<'py>(&mut self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
        let tuple = value.cast::<PyTuple>().ok()?;
        let class = value.get_type();
        (self.known(&class).form == Form::Fields && !has_reducer(&class)).then(|| tuple.clone())
    }

    /// Whether an object is a member of an enumeration, or a time zone.
    pub(crate) fn is_member(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let class = value.get_type();
        self.known(&class).form == Form::Member && !has_reducer(&class)
    }

    /// What an instance is made of; none if it is to be pickled. Its reducer may be asked if `asks`.
    pub(crate) fn parts<'py>(&mut self, value: &Bound<'py, PyAny>, asks: bool) -> PyResult<Option<Parts<'py>>> {
        let class = value.get_type();
        let form = self.known(&class).form;
        if form == Form::Other || has_reducer(&class) {
            return Ok(None);
        }
        Ok(match form {
            Form::Attributes => {
                let attributes = value.getattr(intern!(value.py(), "__dict__"));
                let attributes = attributes.ok().and_then(|found| found.cast_into_exact::<PyDict>().ok());
                attributes.filter(|attributes| attributes.len() <= TUPLE_ITEMS).and_then(|attributes| {
                    let (names, values): (Vec<_>, Vec<_>) = entries_of(&attributes).into_iter().unzip();
                    Some(Parts::Attributes(self.names(&class, &names)?, values))
                })
            }
            Form::Fields => {
                let fields = value.cast::<PyTuple>()?;
                (fields.len() <= TUPLE_ITEMS).then(|| Parts::Fields(class, fields.clone()))
            }
            Form::Reduced | Form::Asked => {
                let is_harmless = form == Form::Reduced;
                if !asks && !is_harmless {
                    return Ok(None);
                }
                // The pickler says what fails, and where.
                let Ok(said) = value.call_method1(intern!(value.py(), "__reduce_ex__"), (PROTOCOL,)) else {
                    return Ok(None);
                };
                let parts = self.reduction(&class, &said)?;
                if !is_harmless {
                    // Its iterators have run through.
                    let ran = parts.as_ref().filter(|parts| parts.items.is_some() || parts.entries.is_some());
                    note_answer(value, ran.map_or(Ok(said), Reduction::said)?);
                }
                parts.map(Parts::Reduced)
            }
            Form::Member | Form::Other => None,
        })
    }

    /// An instance has been asked, and had to be pickled after all, because of its parts.
    pub(crate) fn note_misfit(&mut self, value: &Bound<'_, PyAny>) {
        let known = self.known(&value.get_type());
        if known.form == Form::Asked {
            known.misfits += 3; // one that fits takes one back
            if known.misfits > MISFITS {
                known.form = Form::Other;
            }
        }
    }

    /// What a reducer has said; none if that does not go part by part.
    fn reduction<'py>(
        &mut self,
        class: &Bound<'py, PyType>,
        said: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Reduction<'py>>> {
        let callable = said.cast_exact::<PyTuple>().ok().and_then(|said| said.get_item(0).ok());
        let last = self.known(class).callable.as_ref().map(|last| last.bind(said.py()).clone());
        let fits = match (&callable, last) {
            (Some(callable), Some(last)) if callable.is(&last) => true,
            (Some(callable), _) => callable.is_instance_of::<PyType>() || has_name(callable)?,
            (None, _) => false,
        };
        // Looked at last, as it runs iterators through.
        let read = if fits { read(said)? } else { None };
        let known = self.known(class);
        if read.is_some() {
            known.misfits = known.misfits.saturating_sub(1);
            let before = std::mem::replace(&mut known.callable, callable.map(Bound::unbind));
            drop(before);
            return Ok(read);
        }
        known.misfits += 1;
        if known.misfits > MISFITS {
            known.form = Form::Other;
        }
        Ok(None)
    }

    /// The tuple of a class and these names.
    fn names<'py>(&mut self, class: &Bound<'py, PyType>, names: &[Bound<'py, PyAny>]) -> Option<Bound<'py, PyTuple>> {
        let py = class.py();
        let known = self.known(class);
        if let Some(last) = &known.names {
            let last = last.bind(py);
            if last.len() == names.len() + 1
                && names.iter().zip(last.iter_borrowed().skip(1)).all(|(name, last)| name.is(&*last))
            {
                return Some(last.clone());
            }
        }
        if !names.iter().all(|name| name.is_exact_instance_of::<PyString>()) {
            return None;
        }
        let all = std::iter::once(class.as_any().clone()).chain(names.iter().cloned()).collect::<Vec<_>>();
        let made = PyTuple::new(py, all).ok()?;
        let before = known.names.replace(made.clone().unbind());
        drop(before);
        Some(made)
    }

    fn known(&mut self, class: &Bound<'_, PyType>) -> &mut Known {
        let address = class.as_ptr() as usize;
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            self.0.clear();
        }
        let known = self.0.entry(address);
        known.or_insert_with(|| Known {
            _class: class.clone().unbind(),
            form: form_of(class).unwrap_or(Form::Other),
            names: None,
            callable: None,
            misfits: 0,
        })
    }
}

impl<'py> Reduction<'py> {
    /// The reduction as the pickler wants it.
    fn said(&self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.callable.py();
        let items = self.items.as_ref().map(|items| items.try_iter()).transpose()?;
        let pairs = self.entries.as_ref().map(|entries| -> PyResult<_> {
            let all: Vec<_> = entries.iter().collect();
            let pairs = all.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
            PyList::new(py, pairs)?.try_iter()
        });
        let said = (&self.callable, &self.arguments, &self.state, items, pairs.transpose()?);
        Ok(said.into_pyobject(py)?.into_any())
    }
}

/// What a reducer has said, its iterators run through; none, and nothing run, if it is of another kind or large.
fn read<'py>(said: &Bound<'py, PyAny>) -> PyResult<Option<Reduction<'py>>> {
    let Ok(parts) = said.cast_exact::<PyTuple>() else { return Ok(None) };
    if !(2..=5).contains(&parts.len()) {
        return Ok(None);
    }
    let part = |at: usize| parts.get_item(at).ok().filter(|part| !part.is_none());
    let Some(Ok(arguments)) = part(1).map(Bound::cast_into_exact::<PyTuple>) else { return Ok(None) };
    let Some(callable) = part(0) else { return Ok(None) };
    if arguments.len() > TUPLE_ITEMS || part(3).or_else(|| part(4)).is_some_and(|all| is_long(&all)) {
        return Ok(None);
    }
    let all = |at: usize| part(at).map(|all| all.try_iter()?.collect::<PyResult<Vec<_>>>()).transpose();
    let py = said.py();
    let items = all(3)?.map(|items| PyList::new(py, items)).transpose()?;
    let entries = all(4)?.map(|pairs| -> PyResult<_> {
        let entries = PyList::empty(py);
        for pair in pairs {
            let (key, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            entries.append(key)?;
            entries.append(value)?;
        }
        Ok(entries)
    });
    Ok(Some(Reduction { callable, arguments, state: part(2), items, entries: entries.transpose()? }))
}

/// Whether an iterator does not say that it has few items.
fn is_long(all: &Bound<'_, PyAny>) -> bool {
    let left = all.call_method0(intern!(all.py(), "__length_hint__")).and_then(|left| left.extract::<usize>());
    left.map_or(true, |left| left > TUPLE_ITEMS)
}

/// Whether an object is a class or a function that others find by its name.
pub(crate) fn has_name(callable: &Bound<'_, PyAny>) -> PyResult<bool> {
    let class = callable.get_type();
    Ok(may_have_name(callable) && !has_reducer(&class) && is_named(callable)?)
}

/// Whether an object is a class or a function.
pub(crate) fn may_have_name(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyType>() || object.is_exact_instance_of::<PyFunction>() || is_function_of_a_module(object)
}

fn is_function_of_a_module(callable: &Bound<'_, PyAny>) -> bool {
    let of =
        callable.is_exact_instance_of::<PyCFunction>().then(|| callable.getattr(intern!(callable.py(), "__self__")));
    of.is_some_and(|of| of.is_ok_and(|of| of.is_instance_of::<PyModule>()))
}

/// Whether an instance is of the class and has the attributes that it had.
pub(crate) fn has_exactly(instance: &Bound<'_, PyAny>, children: &[Py<PyAny>]) -> bool {
    let [class, attributes] = children else { return false };
    !instance.is_exact_instance_of::<PyDict>()
        && !instance.is_exact_instance_of::<PyList>()
        && instance.get_type().is(class)
        && instance.getattr(intern!(instance.py(), "__dict__")).is_ok_and(|now| now.is(attributes))
}
