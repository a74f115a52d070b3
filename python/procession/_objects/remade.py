"""Classes that travel by value and come to be in ways of their own: of metaclasses, of enums, of C structures.

What a program's own metaclasses, `__init_subclass__` and the constructors of enum members did when a class was made is
in its contents already: they do not run again where it is made anew.
"""

import operator
import sys
import threading
import types

import cloudpickle.cloudpickle as by_cloud

from procession._objects import annotations

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["ctypes_type", "enum_parts", "fill_ctypes", "make_class", "struct_parts"]

_HEAP = 1 << 9  # a flag of classes that Python code has made
_DATA = (int, str, bytes, float, complex, tuple)  # what members of enums may be, too: by `__getnewargs__`

_alone = threading.RLock()


def make_class(is_made, meta, name, bases, names, token, extra=None):
    """Return a new class without contents; `is_made` says which classes were made here by value."""
    native = next(cls for cls in meta.__mro__ if not is_made(cls))
    resolved = types.resolve_bases(bases)
    makers = [base for base in _ancestors(resolved) if is_made(base) and "__init_subclass__" in vars(base)]
    if native is meta and not makers:
        return by_cloud._make_skeleton_class(meta, name, bases, names, token, extra)
    contents = {sys.intern(key): value for key, value in names.items()}
    if resolved is not bases:
        contents["__orig_bases__"] = bases
    with _alone:
        before = [(base, vars(base)["__init_subclass__"]) for base in makers]
        try:
            for base in makers:
                type.__setattr__(base, "__init_subclass__", classmethod(_nothing))
            made = native.__new__(meta, name, resolved, contents)
            native.__init__(made, name, resolved, contents)
        finally:
            for base, hook in before:
                type.__setattr__(base, "__init_subclass__", hook)
    return by_cloud._lookup_class_or_track(token, made)


def _ancestors(bases):
    return dict.fromkeys(cls for base in bases for cls in getattr(base, "__mro__", ()))


def _nothing(cls, /, **options):
    pass


# -- enums -----------------------------------------------------------------------------------------------------------

_OF_ENUM = ("_value_", "_name_", "__objclass__", "_sort_order_")


def enum_parts(cls):
    """Return how an enum is made anew, with the members that its own `__new__` and `__init__` have made; None when
    these are of another built-in class as well."""
    data = next((base for base in cls.__mro__ if not base.__flags__ & _HEAP and base is not object), None)
    if data is not None and data not in _DATA:
        return None
    members = {
        name: (member._value_, () if data is None else data.__getnewargs__(member))
        for name, member in cls.__members__.items()
    }
    contents, _ = by_cloud._enum_getstate(cls)
    annotations.into(contents, cls)
    contents = {name: value for name, value in contents.items() if name not in members}
    own = {
        name: {key: value for key, value in vars(member).items() if key not in _OF_ENUM}
        for name, member in cls.__members__.items()
    }
    token = by_cloud._get_or_create_tracker_id(cls)
    arguments = cls.__bases__, cls.__name__, cls.__qualname__, members, cls.__module__, token, data
    return _make_enum, arguments, (contents, own), None, None, _fill_enum


def _make_enum(bases, name, qualname, members, module, token, data):
    import enum

    waiting = iter(members.values())

    def make(cls, *_):
        value, arguments = next(waiting)
        member = (object if data is None else data).__new__(cls, *arguments)
        member._value_ = value
        return member

    metaclass = type(bases[-1])
    contents: Any = metaclass.__prepare__(name, bases)
    contents["__new__"], contents["__init__"] = make, lambda *_: None
    for key, (value, _) in members.items():
        contents[key] = enum.member(value)
    made = metaclass.__new__(metaclass, name, bases, contents)
    for key in ("__init__", "__new_member__"):
        if key in vars(made):
            type.__delattr__(made, key)
    made.__module__, made.__qualname__ = module, qualname
    return by_cloud._lookup_class_or_track(token, made)


def _fill_enum(cls, state):
    contents, own = state
    by_cloud._class_setstate(cls, (contents, {}))
    for name, attributes in own.items():
        vars(cls.__members__[name]).update(attributes)


# -- structures -------------------------------------------------------------------------------------------------------


def ctypes_type(cls):
    """Return how a class of `ctypes` is pickled within a definition: metaclasses, arrays, pointers and those of another
    byte order have no names; None for all others."""
    module = sys.modules.get("_ctypes")
    if module is None:
        return None
    if cls.__module__ == "_ctypes":
        names = "Structure", "Union", "Array", "_Pointer", "_SimpleCData", "CFuncPtr"
        named = next((base for base in (getattr(module, name) for name in names) if type(base) is cls), None)
        return None if named is None else (type, (named,))
    if issubclass(cls, module.Array) and "_length_" in vars(cls) and cls.__name__.endswith(f"_Array_{cls._length_}"):
        return operator.mul, (cls._type_, cls._length_)
    if issubclass(cls, module._Pointer) and cls.__name__.startswith("LP_"):
        return sys.modules["ctypes"].POINTER, (cls._type_,)
    if issubclass(cls, module._SimpleCData):
        for order, other in (("__ctype_be__", "__ctype_le__"), ("__ctype_le__", "__ctype_be__")):
            plain = vars(cls).get(order)
            if plain is not None and plain is not cls and vars(plain).get(other) is cls:
                return (
                    (getattr, (plain, other))
                    if getattr(sys.modules.get(plain.__module__), plain.__name__, None) is plain
                    else None
                )
    return None


def fill_ctypes(cls, state):
    """Give a class of `ctypes` its contents; how it is laid out is final."""
    contents, slots = state
    if "_fields_" in vars(cls):
        contents = {name: value for name, value in contents.items() if name not in _LAYOUT}
    by_cloud._class_setstate(cls, (contents, slots))


_LAYOUT = ("_fields_", "_pack_", "_anonymous_", "_align_", "_layout_")


def struct_parts(cls):
    """Return how a `msgspec.Struct` is made anew, by what its metaclass is told of fields; None for all others."""
    meta = type(cls)
    if (meta.__module__, meta.__name__) != ("msgspec._core", "StructMeta"):
        return None
    contents, slots = by_cloud._class_getstate(cls)
    fields, defaults = cls.__struct_fields__, cls.__struct_defaults__
    known = dict(zip(reversed(fields), reversed(defaults), strict=False))
    annotated = annotations.of_class(cls)
    own = {name: _default(known[name]) for name in fields if name in known and name in annotated}
    config = {name: getattr(cls.__struct_config__, name) for name in _CONFIG if hasattr(cls.__struct_config__, name)}
    config["rename"] = dict(zip(fields, cls.__struct_encode_fields__, strict=True))
    made = {
        *fields,
        "__annotations__",
        "__annotations_cache__",
        "__match_args__",
        "__slots__",
        "__dict__",
        "__weakref__",
    }
    contents = {
        name: value for name, value in contents.items() if name not in made and not name.startswith("__struct_")
    }
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    names["__annotations__"] = annotated
    token = by_cloud._get_or_create_tracker_id(cls)
    arguments = meta, cls.__name__, by_cloud._get_bases(cls), names, own, config, _keywords(cls), token
    return _make_struct, arguments, (contents, slots), None, None, by_cloud._class_setstate


_CONFIG = (
    "frozen", "eq", "order", "array_like", "gc", "repr_omit_defaults", "omit_defaults", "forbid_unknown_fields",
    "weakref", "dict", "cache_hash", "tag", "tag_field",
)  # fmt: skip


def _default(value):
    """Return a default value of a field, and whether it is a factory; None if there is none."""
    if type(value).__name__ == "Factory":
        return value.factory, True
    return None if type(value).__name__ == "NODEFAULT" or repr(value) == "NODEFAULT" else (value, False)


def _keywords(cls):
    """Return whether the fields of a structure itself are given by name only."""
    from inspect import signature

    own = annotations.of_class(cls)
    kinds = {field.kind for name, field in signature(cls).parameters.items() if name in own}
    return {field.name for field in kinds} == {"KEYWORD_ONLY"}


def _make_struct(meta, name, bases, names, defaults, config, keywords, token):
    from msgspec import field

    contents = dict(names)
    for key, default in defaults.items():
        if default is not None:
            value, is_factory = default
            contents[key] = field(default_factory=value) if is_factory else field(default=value)
    resolved = types.resolve_bases(bases)
    if resolved is not bases:
        contents["__orig_bases__"] = bases
    made = meta(name, resolved, contents, kw_only=keywords, **config)
    return by_cloud._lookup_class_or_track(token, made)
