"""Functions and classes that a receiver cannot look up by name: how they travel by value, and arrive.

All pickles that this package makes come here, from the engine's `Reducers`, for what has no name or one that the
receiver does not know. What is pickled then is a definition, in a pickle of its own, by cloudpickle; all around it
stays with the C pickler. A receiver that has the very same function or class, such as a forked child, or the process
where a class comes from, uses that and leaves the definition alone.

In children that have no main module its functions share one namespace, as they do where they come from: what an
initializer stores in a global variable is there for the tasks.
"""

import _pickle as pickle  # without what `pickle` loads
import copy
import copyreg
import functools
import io
import types
from collections import ChainMap

import cloudpickle.cloudpickle as by_cloud

from procession import _procession as engine, process
from procession._objects import annotations, decorated, main_module, reducers, remade, singletons
from procession._objects.buffers import NOT_BY_NAME, PROTOCOL

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["build", "fill", "reduce", "restore"]

_NOT_IMPLEMENTED = type(NotImplemented)
_IMMUTABLE, _HEAP = 1 << 8, 1 << 9  # flags of classes

_names: dict = {}  # the namespace of the functions of a main module that is not here
_came: dict = {}  # what came last under each name
_MANY = 256
_filled: dict = {}  # the classes that were made here, by their tokens: which definition they have


# -- where they come from --------------------------------------------------------------------------------------------


def reduce(obj):
    """Return how to pickle a function, a class or a cached function that the receiver does not find by its name.

    Raises:
        PicklingError, TypeError, AttributeError: it cannot be pickled by value either; as plain pickling raises it.
    """
    refused = _refusal(obj)
    if refused is None and not _is_sent_anyway(obj):
        return NotImplemented
    simple = _known_type(obj)
    if simple is not None:
        return simple
    if isinstance(obj, type) and remade.ctypes_type(obj) is not None:  # arrays and pointers of ctypes refuse
        raise refused or _unknown(obj)
    try:
        definition, buffers = _define(obj)
    except NOT_BY_NAME as error:
        raise (refused or _unknown(obj)) from error
    return restore, (_identity(obj), definition, buffers, *_kin(obj))


def _refusal(obj):
    """Return what plain pickling of a function or class raises; None when it does not."""
    try:
        pickle.dumps(obj, PROTOCOL)
    except NOT_BY_NAME as error:
        return error.with_traceback(None)
    return None


def _is_sent_anyway(obj):
    """Return whether a function or class goes by value although this process finds it by its name."""
    module = getattr(obj, "__module__", None)
    return main_module.is_of_main(obj) or isinstance(module, str) and engine.goes_by_value(module)


def _unknown(obj):
    return pickle.PicklingError(f"Can't pickle {obj!r}: who receives it does not find it in its main module")


def _known_type(obj):
    """Return how the interpreter's own classes without a name are pickled, None for all others."""
    if not isinstance(obj, type):
        return None
    if obj in (type(None), type(...), _NOT_IMPLEMENTED):
        return NotImplemented
    if obj in by_cloud._BUILTIN_TYPE_NAMES:
        return by_cloud._class_reduce(obj)
    return None


def _identity(obj):
    """Return what tells a function or class from all others: a token, a path in `__main__`, the snapshots that have it
    so, and whether children that import `__main__` do."""
    token = by_cloud._get_or_create_tracker_id(obj) if isinstance(obj, type) else None
    if not main_module.is_of_main(obj):
        return token, None, (), False
    path = obj.__qualname__
    return token, path, tuple(main_module.known_as(obj)), main_module.imports(obj)


def _kin(obj):
    """Return by what a receiver may find that it has a class like this one: a base and its name; nothing for others."""
    base = getattr(obj, "__base__", None)
    if not isinstance(base, type) or _is_sent_anyway(base) or _refusal(base) is not None:
        return ()
    return base, obj.__module__, obj.__qualname__


def _define(obj):
    """Return the pickle of a function's or class's definition, and the buffers that it is made without."""
    file, buffers = io.BytesIO(), []
    pickler = _Definer(file, buffers.append)
    try:
        pickler.dump(obj)
    finally:
        pickler.close()
    return file.getvalue(), buffers


class _Registered:
    """The reducers that somebody registered, as they are now."""

    def __getitem__(self, cls):
        reducer = engine.registered_reducer(cls)
        if reducer is None or cls is types.MethodType:  # which may be one of a class that has no contents yet
            raise KeyError(cls)
        return reducer


# The classes whose objects cloudpickle makes something else of.
_UNFAITHFUL = ("TextIOWrapper", "WeakSet", "memoryview")


class _Definer(by_cloud.Pickler):
    """Pickles definitions: cloudpickle's pickler, which takes by name what the receiver finds."""

    def __init__(self, file, keep):
        table = by_cloud.Pickler._dispatch_table
        known = {cls: reduce for cls, reduce in table.items() if cls.__name__ not in _UNFAITHFUL}
        known[functools.cached_property] = decorated.cached_property
        known[types.CodeType] = _code_parts
        known.update(annotations.forward_reducers())
        registered: Any = _Registered()
        # The C half takes it over when it is initialized.
        self.dispatch_table = ChainMap(registered, known, copyreg.dispatch_table)
        super().__init__(file, PROTOCOL, buffer_callback=keep)
        self._reduce = reducers.finder(self._inline).reduce

    def close(self):
        """Let go of all that was pickled, now."""
        self.clear_memo()
        self.globals_ref.clear()
        del self._reduce

    def reducer_override(self, obj):
        reduced = self._reduce(obj)
        if reduced is not NotImplemented or isinstance(obj, main_module.BY_NAME):
            return reduced
        return singletons.reduced(obj)

    def _inline(self, obj):
        refused = _refusal(obj)
        if refused is None and not _is_sent_anyway(obj):
            return NotImplemented
        simple = _known_type(obj) or (remade.ctypes_type(obj) if isinstance(obj, type) else None)
        if simple is not None:
            return simple
        if not isinstance(obj, main_module.BY_NAME):
            return decorated.cached_function(obj)
        if isinstance(obj, type):
            parts = _class_parts(obj, refused)
        else:
            parts = decorated.generic_function(obj) or self._function_parts(obj)
        make, arguments, state, _, _, set_state = parts
        return build, (_identity(obj), make, arguments), (set_state, state), None, None, fill

    def _function_parts(self, function):
        used, namespace = by_cloud._extract_code_globals(function.__code__), function.__globals__
        singletons.settle(namespace, used)
        make, arguments, state, *others = self._dynamic_function_reduce(annotations.resolved(function))
        variables = state[1]["__globals__"]
        state[1]["__globals__"] = {name: value for name, value in variables.items() if not singletons.is_promise(value)}
        return make, arguments, state, *others


def _class_parts(cls, refused):
    """Return how cloudpickle makes a class anew, with its slots, and without what is made of other contents."""
    if cls.__flags__ & _IMMUTABLE or not cls.__flags__ & _HEAP:
        raise refused or _unknown(cls)
    parts = remade.struct_parts(cls) or (remade.enum_parts(cls) if singletons.is_enum(cls) else None)
    if parts is not None:
        return parts
    make, arguments, (contents, slots), _, _, set_state = by_cloud._dynamic_class_reduce(cls)
    annotations.into(contents, cls)
    # cloudpickle sorts them; programs read fields off a class in its own order.
    places = {name: place for place, name in enumerate(vars(cls))}
    contents = dict(sorted(contents.items(), key=lambda item: places.get(item[0], len(places))))
    made = {"__slots__", "__slotnames__"}
    made.update(name for name, value in contents.items() if _is_slot(value, cls))
    if type(cls).__module__ in ("_ctypes", "ctypes._endian"):
        set_state = remade.fill_ctypes
        if not hasattr(cls, "_fields_"):
            raise refused or _unknown(cls)
        made.update(name for name, *_ in vars(cls).get("_fields_", ()))
        if "_fields_" in contents:
            contents["_fields_"] = contents.pop("_fields_")  # once it is known how they are laid out
    if make is by_cloud._make_skeleton_class:
        constructor, name, bases, names, *others = arguments
        named = vars(cls).get("__slots__")
        if named is not None and (named or "__orig_bases__" not in vars(cls)):
            names = {**names, "__slots__": named}
        arguments = constructor, name, bases, {**names, "__qualname__": cls.__qualname__}, *others
    contents = {name: value for name, value in contents.items() if name not in made}
    return make, arguments, (contents, slots), None, None, set_state


def _is_slot(value, cls):
    return isinstance(value, types.MemberDescriptorType) and value.__objclass__ is cls


def _code_parts(code):
    """Return how cloudpickle makes a code object anew, with the file that it comes from: tracebacks, debuggers,
    coverage and `inspect` look for the lines there."""
    make, arguments = by_cloud._code_reduce(code)
    # A string of its own each time: what is pickled may not depend on who else has this one.
    file = "".join(code.co_filename)
    return make, tuple(file if isinstance(part, str) and part == "<dynamic-code>" else part for part in arguments)


# -- where they arrive ------------------------------------------------------------------------------------------------


def restore(identity, definition, buffers, *kin):
    """Return the function or class behind what `reduce` made."""
    token = identity[0]
    found = _find(identity)
    if found is None and kin:
        found = _find_like(token, definition, *kin)
    mark = hash(definition)
    if found is not None and (token not in _filled or _filled[token] == mark):
        return found
    try:
        made = pickle.loads(definition, buffers=buffers)
    except (ImportError, MemoryError) as error:
        error.add_note(_unmade(identity, *kin))
        raise
    except Exception as error:
        raise pickle.UnpicklingError(_unmade(identity, *kin) + f" ({type(error).__name__}: {error})") from error
    if token in _filled:
        _filled[token] = mark
    return made


def _unmade(identity, _base=None, module="__main__", path=None):
    """Return what to say of a function or class that cannot be made here, and of what to do."""
    name = path or identity[1]
    unnamed = "a function" if identity[0] is None else "a class"
    return (
        f"{f'{name} of {module}' if name else unnamed}, which is not found here by its name and so was sent by value, "
        f"cannot be made. Define it at the top of a module that can be imported, see to it that what it holds can "
        "be pickled and unpickled, or say by copyreg.pickle how its objects are pickled"
    )


def _find(identity):
    """Return the function or class that has an identity here, or None."""
    token, path, snapshots, is_imported = identity
    found = None if token is None else by_cloud._DYNAMIC_CLASS_TRACKER_BY_ID.get(token)
    if found is None and path is not None:
        names = path.split(".")
        found = main_module.find(snapshots, names)
        if found is None and is_imported and process.main_names is not None and names[0] in process.main_names:
            found = main_module.found_at(names)
        if found is not None and token is not None:
            by_cloud._lookup_class_or_track(token, found)
    return found


def _find_like(token, definition, base, module, path):
    """Return the only class of this process that has the same definition, as where it was forked from, or None."""
    found = None
    for cls in type.__subclasses__(base):
        if cls.__qualname__ == path and cls.__module__ == module:
            own = by_cloud._get_or_create_tracker_id(cls)
            try:
                same = own not in _filled and _define(cls)[0] == definition.replace(token.encode(), own.encode())
            except Exception:  # it may not be made for that
                same = False
            if same and found is not None:
                return None
            found = cls if same else found
    if found is not None:
        by_cloud._DYNAMIC_CLASS_TRACKER_BY_ID[token] = found
    return found


def build(identity, make, arguments):
    """Return the function or class of an identity, or a new one without contents."""
    found = _find(identity)
    if found is not None:
        return found
    token, path = identity[:2]
    if isinstance(arguments[0], types.CodeType) and path is not None and process.lacks_main:
        code, names, *others = arguments
        for name, value in names.items():
            _names.setdefault(name, value)
        arguments = (code, _names, *others)
    made = remade.make_class(_is_made, *arguments) if make is by_cloud._make_skeleton_class else make(*arguments)
    if token is not None:
        _filled[token] = None
        if len(_filled) % _MANY == 0:
            # Classes that nobody uses any more are gone: their tokens go, too.
            for gone in _filled.keys() - by_cloud._DYNAMIC_CLASS_TRACKER_BY_ID.keys():
                _filled.pop(gone, None)
    return made


def _is_made(cls):
    return by_cloud._DYNAMIC_CLASS_TRACKER_BY_CLASS.get(cls) in _filled


def fill(obj, contents):
    """Give a new function or class its contents, and a class that came before those that it has now."""
    set_state, state = contents
    if isinstance(obj, type):
        token = by_cloud._DYNAMIC_CLASS_TRACKER_BY_CLASS.get(obj)
        if token in _filled and (_filled[token] is None or not singletons.is_enum(obj)):
            set_state(obj, state)
        return
    if main_module.is_of_main(obj) and main_module.found_at(obj.__qualname__.split(".")) is obj:
        return
    if isinstance(obj, types.FunctionType) and obj.__globals__ is _names:
        attributes, slots = state
        slots["__globals__"] = {name: value for name, value in slots["__globals__"].items() if _follows(name, value)}
        state = attributes, slots
    set_state(obj, state)


def _follows(name, value):
    """Return whether a variable is to have what came for it: not when this process has given it another value since, or
    has changed what it holds while it stayed the same where it comes from."""
    before, as_it_came = _came.get(name, (None, None))
    _came[name] = value, copy.copy(value) if type(value) in _CHANGING else value
    if name not in _names:
        return True
    follows = name in _names and _names[name] is before
    if follows and type(value) in _CHANGING and type(before) is type(value):
        try:
            follows = bool(value != as_it_came)
        except Exception:  # such as that of arrays, which are neither equal nor not
            pass
        if not follows:
            _came[name] = before, as_it_came
    return follows


_CHANGING = (list, dict, set)
