//! How objects are pickled that the C pickler does not know by itself: the `reducer_override` of all picklers.
//!
//! A long file: all who may know how an object is reduced are asked here, in their order.

use std::cell::RefCell;
use std::ffi::CStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::PyTypeInfo;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFrozenSet, PyFunction, PyInt, PyModule, PyString, PyType};
use rustc_hash::FxHashMap;

use crate::fast::{CallArguments, Method, add_method};
use crate::objects::naming::{is_enumeration, is_named};
use crate::objects::numpy::{is_array, is_large_array, is_plain_array};
use crate::objects::small;
use crate::objects::unsettled::{Lately, is_settled, moment, note_code};
use crate::package::loaded_module;

/// How many objects had a reducer that somebody registered: it may give another pickle each time.
pub(crate) static SPECIAL: AtomicUsize = AtomicUsize::new(0);
/// How many functions and classes went by value: another pickle may have others of their contents.
static BY_VALUE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What a pickler of this thread was given last: the culprit, should it fail.
    static LAST: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
    static CULPRIT: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
    /// What objects, by address, have said of how they are reduced: they are not asked once more if they are pickled after all.
    static ASKED: RefCell<Vec<(usize, Answer)>> = const { RefCell::new(Vec::new()) };
    /// Classes that nobody has registered a reducer for.
    static UNREGISTERED: Lately = const { Lately::new() };
    /// Classes that are left to the pickler, which runs no code of the program for their objects.
    static LEFT: Lately = const { Lately::new() };
}

/// How many functions and classes went by value so far.
pub(crate) fn by_value_count() -> usize {
    BY_VALUE.load(Ordering::Relaxed)
}

/// A pickler is done: what it was given last is forgotten, or is the culprit.
pub(crate) fn note_culprit(failed: bool) {
    let last = LAST.take();
    drop(if failed { CULPRIT.replace(last) } else { last });
}

/// Tells that a pickler is done, and whether it failed.
#[pyfunction]
fn pickled(failed: bool) {
    note_culprit(failed);
}

/// What this thread last tried to pickle in vain, once; None if there is nothing.
#[pyfunction]
fn culprit() -> Option<Py<PyAny>> {
    CULPRIT.take()
}

/// What an object has said of how it is reduced.
pub(crate) enum Answer {
    Said(Py<PyAny>),
    /// The same, its iterators run through.
    Read(Make),
}

/// Makes what the pickler wants of that.
type Make = Box<dyn Fn(Python<'_>) -> PyResult<Py<PyAny>>>;

/// Notes what an object has said, which lives as long as that is wanted.
pub(crate) fn note_answer(object: &Bound<'_, PyAny>, answer: Answer) {
    ASKED.with_borrow_mut(|asked| asked.push((object.as_ptr() as usize, answer)));
}

/// Forgets what objects have said.
pub(crate) fn forget_answers() {
    let before = ASKED.take();
    drop(before);
}

/// Whether any object has said how it is reduced.
fn has_answers() -> bool {
    ASKED.with_borrow(|asked| !asked.is_empty())
}

/// The reduction that an object has given when it was asked; given away once.
fn answer_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (address, py) = (object.as_ptr() as usize, object.py());
    let answer = ASKED.with_borrow_mut(|asked| {
        let at = asked.iter().position(|(known, _)| *known == address)?;
        Some(asked.swap_remove(at).1)
    });
    Ok(match answer {
        None => None,
        Some(Answer::Said(said)) => Some(said.into_bound(py)),
        Some(Answer::Read(said)) => Some(said(py)?.into_bound(py)),
    })
}

/// Whether only the pickler and the objects themselves know how those of a class are reduced that nobody has registered.
pub(crate) fn is_asked_alone(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let name = class.name()?;
    let name = name.to_str()?;
    Ok(!OTHERS.contains(&name)
        && !LIBRARIES.contains(&name)
        && !is_of_arrow(class, name)
        && !class.is_subclass_of::<PyType>()?
        && !is_array(class))
}

/// Whether a class of a name is one of the arrays of pyarrow.
fn is_of_arrow(class: &Bound<'_, PyType>, name: &str) -> bool {
    let module = || class.module().is_ok_and(|module| module.to_str().is_ok_and(|module| module == ARROW));
    name.ends_with(ARROW_SUFFIX) && module()
}

/// Who has registered a reducer. A class may be in several tables: those that come first count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// With our `ForkingPickler`.
    Ours,
    /// With that of the standard library, as its libraries do, wherever it is kept while ours stands in for it.
    Standard,
    /// With `copyreg`, which the pickler knows.
    Everybody,
}

const TABLES: [By; 3] = [By::Ours, By::Standard, By::Everybody];

/// The tables of reducers that anybody may fill at any time, once their modules are loaded.
static REGISTERED: [PyOnceLock<Py<PyDict>>; 3] = [const { PyOnceLock::new() }; 3];

/// The reducer that somebody has registered for the objects of a class: all that is pickled asks here.
fn registered<'py>(class: &Bound<'py, PyType>) -> PyResult<Option<(By, Bound<'py, PyAny>)>> {
    for (by, known) in TABLES.into_iter().zip(&REGISTERED) {
        let Some(table) = table(class.py(), by, known) else { continue };
        if let Some(reducer) = table.get_item(class)?
            && !(by == By::Standard && is_own(class, &reducer))
        {
            return Ok(Some((by, reducer)));
        }
    }
    Ok(None)
}

/// Whether somebody has registered how objects of a class are pickled.
pub(crate) fn has_reducer(class: &Bound<'_, PyType>) -> bool {
    let (address, now) = (class.as_ptr() as usize, moment());
    if UNREGISTERED.with(|known| known.has(address, now)) {
        return false;
    }
    let has = registered(class).is_ok_and(|found| found.is_some());
    if !has {
        UNREGISTERED.with(|known| known.note(address, now));
    }
    has
}

/// The same, but for a reducer of the interpreter or of a library, which gives the same each time.
pub(crate) fn has_new_reducer(class: &Bound<'_, PyType>) -> bool {
    has_reducer(class)
        && !registered(class)
            .is_ok_and(|found| found.is_some_and(|(by, reducer)| by == By::Everybody && is_known(&reducer)))
}

/// The reducer that somebody has registered for a class, in whichever table; None if nobody has.
#[pyfunction]
fn registered_reducer<'py>(class: &Bound<'py, PyType>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(registered(class)?.map(|(_, reducer)| reducer))
}

/// All reducers that somebody has registered, by class.
#[pyfunction]
fn registered_reducers(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    for (by, known) in TABLES.into_iter().zip(&REGISTERED).rev() {
        for (class, reducer) in table(py, by, known).into_iter().flatten() {
            if by != By::Standard || !class.cast::<PyType>().is_ok_and(|class| is_own(class, &reducer)) {
                all.set_item(class, reducer)?;
            }
        }
    }
    Ok(all)
}

/// The names of the classes that are asked about: of the interpreter, and of libraries.
#[pyfunction]
fn asked_names() -> (Vec<&'static str>, Vec<&'static str>) {
    (OTHERS.to_vec(), LIBRARIES.to_vec())
}

fn table<'a, 'py>(py: Python<'py>, by: By, known: &'a PyOnceLock<Py<PyDict>>) -> Option<&'a Bound<'py, PyDict>> {
    match known.get(py) {
        Some(table) => Some(table.bind(py)),
        None => found_table(py, by).map(|table| known.get_or_init(py, || table.unbind()).bind(py)),
    }
}

fn found_table(py: Python<'_>, by: By) -> Option<Bound<'_, PyDict>> {
    let (module, name) = match by {
        By::Ours => (loaded_module(py, intern!(py, crate::package::REDUCERS))?, intern!(py, "registered")),
        By::Everybody => (loaded_module(py, intern!(py, "copyreg"))?, intern!(py, "dispatch_table")),
        By::Standard => {
            let name = intern!(py, "multiprocessing.reduction");
            let module = match kept(py).and_then(|kept| kept.get_item(name).ok()?) {
                Some(module) => module.cast_into::<PyModule>().ok()?,
                None => loaded_module(py, name)?,
            };
            (module, intern!(py, "ForkingPickler"))
        }
    };
    // While a module is being loaded it has none yet.
    let found = module.dict().get_item(name).ok()??;
    let table = if by == By::Standard { found.getattr(intern!(py, "_extra_reducers")).ok()? } else { found };
    table.cast_into::<PyDict>().ok()
}

/// The standard library's modules while ours stand in for them.
fn kept(py: Python<'_>) -> Option<&Bound<'_, PyDict>> {
    static KEPT: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    if let Some(kept) = KEPT.get(py) {
        return Some(kept.bind(py));
    }
    let standard = loaded_module(py, intern!(py, crate::package::STANDARD))?;
    let kept = standard.dict().get_item(intern!(py, "kept")).ok()??.cast_into::<PyDict>().ok()?;
    Some(KEPT.get_or_init(py, || kept.unbind()).bind(py))
}

/// Whether a reducer is one that the standard library registers for what the interpreter has: that is known here, too.
fn is_own(class: &Bound<'_, PyType>, reducer: &Bound<'_, PyAny>) -> bool {
    let module = reducer.getattr(intern!(class.py(), "__module__"));
    let Ok(module) = module.and_then(|module| module.extract::<String>()) else { return false };
    module == "multiprocessing.reduction"
        || module == "multiprocessing.managers" && class.name().is_ok_and(|name| name == "array")
}

/// A class of a library, which is held so that no other gets its address, and its reducer.
type Found = (Py<PyType>, Option<Py<PyAny>>);

/// Finds how an object is to be reduced: by the reducers that somebody has registered; by those for objects with buffers of
/// libraries that are loaded; and by value what has no name that the receiver could look up.
#[pyclass(frozen, module = "procession._procession")]
pub(crate) struct Reducers {
    /// Called for classes of few names, as it is Python code: for what the interpreter has.
    others: Py<PyAny>,
    /// The same, for what libraries have, and for subclasses of arrays; none where pickles can have no buffers.
    libraries: Option<Py<PyAny>>,
    by_value: Py<PyAny>,
    /// Classes of objects, by address, that nobody else is asked about; and whether their pickles run no code of the program.
    plain: Mutex<FxHashMap<usize, (Py<PyType>, bool)>>,
    /// Classes of libraries, by address, and the reducers that `libraries` has for them, whatever becomes of the class.
    found: Mutex<FxHashMap<usize, Found>>,
    other_names: Py<PyFrozenSet>,
    library_names: Py<PyFrozenSet>,
}

/// The names of the classes of the interpreter that [`Reducers`] asks Python code about.
const OTHERS: [&str; 10] = [
    "_lru_cache_wrapper",
    "_singledispatchmethod_get",
    "method",
    "module",
    "socket",
    "NewType",
    "ParamSpec",
    "TypeAliasType",
    "TypeVar",
    "TypeVarTuple",
];
/// The names of libraries' classes. Of numpy's arrays all subclasses are asked about.
const LIBRARIES: [&str; 10] =
    ["array", "Array", "ArrayImpl", "Column", "DataFrame", "Image", "MaskedArray", "ndarray", "Quantity", "Series"];
/// The module whose arrays are of many classes, whose names end with [`ARROW_SUFFIX`].
const ARROW: &str = "pyarrow.lib";
const ARROW_SUFFIX: &str = "Array";

/// The packages whose registered reducers run no code of the program.
const KNOWN: [&str; 5] = ["copyreg", "multiprocessing", "numpy", "procession", "re"];
/// The most classes that are remembered.
const MOST_PLAIN: usize = 256;

/// What is known of a class by its name.
enum Kind {
    Plain,
    /// A function with a cache, which has a name as functions have.
    Cached,
    /// A bound method, which is looked up in its object by the name of its function.
    Method,
    /// A class that may have a reducer of ours.
    Other,
    /// An enumeration: a member may be known by its name only.
    Member,
    /// A class whose objects may have buffers.
    Library,
}

#[pymethods]
impl Reducers {
    /// Calls `others(cls)`, which returns a reducer or None, or `libraries(cls)`, which returns that and whether it stays so,
    /// for classes of some names whose reducers nobody has registered; functions and classes without a name are given to
    /// `by_value`. Where pickles can have no buffers, `libraries` is None.
    #[new]
    fn new(py: Python<'_>, others: Py<PyAny>, libraries: Option<Py<PyAny>>, by_value: Py<PyAny>) -> PyResult<Reducers> {
        let other_names = PyFrozenSet::new(py, OTHERS)?.unbind();
        let library_names = PyFrozenSet::new(py, LIBRARIES)?.unbind();
        let (plain, found) = (Mutex::default(), Mutex::default());
        Ok(Reducers { others, libraries, by_value, plain, found, other_names, library_names })
    }
}

/// How an object is reduced, which the pickler asks for each of a class that it has no code for.
struct Reduce;

impl Method for Reduce {
    type Of = Reducers;
    const NAME: &'static CStr = c"reduce";
    const DOC: &'static CStr = c"reduce($self, object, /)\n--\n\n\
        How `object` is reduced, or `NotImplemented` where the pickler knows.";

    #[inline]
    fn call<'py>(py: Python<'py>, this: &Reducers, given: CallArguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let [object] = given.exactly("reduce")?;
        let before = LAST.replace(Some(object.to_owned().unbind()));
        drop(before.map(|before| before.into_bound(py)));
        let class = object.get_type_ptr() as usize;
        if LEFT.with(|left| left.has(class, moment())) && !has_answers() {
            return Ok(not_implemented(py));
        }
        Python::attach(|_| this.reduce(&object))
    }
}

impl Reducers {
    /// How `object` is reduced, or `NotImplemented` where the pickler knows.
    fn reduce<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        if let Some(answer) = answer_of(object)? {
            note_code();
            return Ok(answer);
        }
        let class = object.get_type();
        if object.is_exact_instance_of::<PyFunction>() || class.is(PyType::type_object(py)) {
            return self.global(object);
        }
        if let Some((by, reducer)) = registered(&class)? {
            if !is_known(&reducer) {
                note_code();
            }
            if by == By::Everybody {
                return Ok(not_implemented(py));
            }
            SPECIAL.fetch_add(1, Ordering::Relaxed);
            return reducer.call1((object,));
        }
        if let Some(is_settled) = self.plain_and_settled(&class) {
            if is_settled {
                LEFT.with(|left| left.note(class.as_ptr() as usize, moment()));
            } else {
                note_code();
            }
            return Ok(not_implemented(py));
        }
        if is_plain_array(&class) {
            return self.library(object, &class);
        }
        if object.is_instance_of::<PyType>() {
            return self.global(object);
        }
        let kind = self.kind_of(object, &class)?;
        let reducer = match kind {
            Kind::Plain => {
                if !self.note_plain(&class) {
                    note_code();
                }
                return Ok(not_implemented(py));
            }
            Kind::Cached => return self.global(object),
            Kind::Method if has_method(object) => return Ok(not_implemented(py)),
            // One that is known by its name alone is reduced by ours.
            Kind::Member if has_plain_value(object)? && is_enumeration(&class)? => return Ok(not_implemented(py)),
            Kind::Member if !is_enumeration(&class)? => return Ok(own_way(&class)),
            Kind::Library => return self.library(object, &class),
            Kind::Method | Kind::Other | Kind::Member => self.others.bind(py).call1((&class,))?,
        };
        if !matches!(kind, Kind::Member) || reducer.is_none() && !is_settled(&class) {
            note_code();
        }
        if reducer.is_none() {
            return Ok(not_implemented(py));
        }
        // What has a name is a value like any other: it can be sent to several at once.
        SPECIAL.fetch_add(usize::from(!matches!(kind, Kind::Member)), Ordering::Relaxed);
        reducer.call1((object,))
    }
}

impl Reducers {
    /// Whether objects of a class, which is known to be left to the pickler, are pickled without code of the program.
    fn plain_and_settled(&self, class: &Bound<'_, PyType>) -> Option<bool> {
        let plain = self.plain.lock().expect("no panic while locked");
        plain.get(&(class.as_ptr() as usize)).map(|(_, is_settled)| *is_settled)
    }

    /// Notes that objects of a class are left to the pickler, unless somebody registers a reducer; says whether they are pickled
    /// without code of the program.
    fn note_plain(&self, class: &Bound<'_, PyType>) -> bool {
        let is_settled = is_settled(class);
        if is_array(class) {
            return is_settled; // how large they are decides
        }
        let mut plain = self.plain.lock().expect("no panic while locked");
        let before = if plain.len() == MOST_PLAIN { std::mem::take(&mut *plain) } else { FxHashMap::default() };
        plain.insert(class.as_ptr() as usize, (class.clone().unbind(), is_settled));
        drop(plain);
        drop(before);
        is_settled
    }

    /// How an object of a class of some library is reduced.
    fn library<'py>(&self, object: &Bound<'py, PyAny>, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        let Some(libraries) = &self.libraries else { return Ok(own_way(class)) };
        if let Some(said) = small::reduced(object, class)? {
            return Ok(said);
        }
        match self.found(class, libraries)? {
            Some(reducer) => reducer.call1((object,)),
            None => Ok(own_way(class)),
        }
    }

    /// The reducer of a class of some library.
    fn found<'py>(&self, class: &Bound<'py, PyType>, libraries: &Py<PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, address) = (class.py(), class.as_ptr() as usize);
        if let Some((_, reducer)) = self.found.lock().expect("no panic while locked").get(&address) {
            return Ok(reducer.as_ref().map(|reducer| reducer.bind(py).clone()));
        }
        let (reducer, stays) = libraries.bind(py).call1((class,))?.extract::<(Bound<'_, PyAny>, bool)>()?;
        let reducer = (!reducer.is_none()).then_some(reducer);
        if stays {
            let mut found = self.found.lock().expect("no panic while locked");
            let before = if found.len() == MOST_PLAIN { std::mem::take(&mut *found) } else { FxHashMap::default() };
            found.insert(address, (class.clone().unbind(), reducer.clone().map(Bound::unbind)));
            drop(found);
            drop(before);
        }
        Ok(reducer)
    }

    fn global<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        if is_named(object)? {
            return Ok(not_implemented(py));
        }
        BY_VALUE.fetch_add(1, Ordering::Relaxed);
        note_code();
        self.by_value.bind(py).call1((object,))
    }

    /// Whether `others` or `libraries` may know a reducer of a class: they are Python code, which most objects need not pay for.
    fn kind_of(&self, object: &Bound<'_, PyAny>, class: &Bound<'_, PyType>) -> PyResult<Kind> {
        let py = class.py();
        let name = class.getattr(intern!(py, "__name__"))?;
        if self.other_names.bind(py).contains(&name)? {
            let name = name.cast::<PyString>()?.to_str();
            return Ok(match name {
                Ok("_lru_cache_wrapper") => Kind::Cached,
                Ok("method") => Kind::Method,
                _ => Kind::Other,
            });
        }
        let is_of_library = self.library_names.bind(py).contains(&name)?
            || is_large_array(object, class)
            || name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(|name| is_of_arrow(class, name)));
        if is_of_library {
            return Ok(Kind::Library);
        }
        // Most classes have the plain metaclass.
        let is_enum =
            !class.get_type().is(PyType::type_object(py)) && class.getattr_opt(intern!(py, "_member_map_"))?.is_some();
        Ok(if is_enum { Kind::Member } else { Kind::Plain })
    }
}

/// Whether a reducer that somebody has registered is known to write nowhere, as those that every array meets.
fn is_known(reducer: &Bound<'_, PyAny>) -> bool {
    let module = reducer.getattr(intern!(reducer.py(), "__module__"));
    let module = module.and_then(|module| Ok(module.cast_into::<PyString>()?));
    let name = module.as_ref().ok().and_then(|module| module.to_str().ok());
    name.and_then(|name| name.split('.').next()).is_some_and(|package| KNOWN.contains(&package))
}

/// Whether the value of a member of an enumeration is one that copies are equal to.
fn has_plain_value(member: &Bound<'_, PyAny>) -> PyResult<bool> {
    let value = member.getattr_opt(intern!(member.py(), "_value_"))?;
    Ok(value.is_some_and(|value| {
        value.is_none()
            || value.is_exact_instance_of::<PyInt>()
            || value.is_exact_instance_of::<PyString>()
            || value.is_exact_instance_of::<PyBytes>()
            || value.is_exact_instance_of::<PyBool>()
    }))
}

/// The answer for an object that is reduced as its class says.
fn own_way<'py>(class: &Bound<'py, PyType>) -> Bound<'py, PyAny> {
    if !is_settled(class) {
        note_code();
    }
    not_implemented(class.py())
}

/// Whether an object has a bound method of it under the name of the method's function: not so a private method, nor one
/// that was made of a lambda.
fn has_method(method: &Bound<'_, PyAny>) -> bool {
    let py = method.py();
    let found = || {
        let name = method.getattr(intern!(py, "__name__"))?.cast_into::<PyString>()?;
        method.getattr(intern!(py, "__self__"))?.getattr(name)?.eq(method)
    };
    found().unwrap_or(false)
}

fn not_implemented(py: Python<'_>) -> Bound<'_, PyAny> {
    py.NotImplemented().into_bound(py)
}

/// Adds the functions and classes to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Reducers>()?;
    add_method::<Reduce>(module.py())?;
    module.add_class::<crate::objects::naming::Receiver>()?;
    module.add_class::<crate::objects::naming::Definitions>()?;
    module.add_function(wrap_pyfunction!(pickled, module)?)?;
    module.add_function(wrap_pyfunction!(crate::objects::naming::goes_by_value, module)?)?;
    module.add_function(wrap_pyfunction!(crate::objects::naming::pickling_for, module)?)?;
    module.add_function(wrap_pyfunction!(asked_names, module)?)?;
    module.add_function(wrap_pyfunction!(registered_reducer, module)?)?;
    module.add_function(wrap_pyfunction!(registered_reducers, module)?)?;
    module.add_function(wrap_pyfunction!(culprit, module)?)
}
