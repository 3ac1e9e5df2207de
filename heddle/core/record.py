"""`dataclass(frozen=True, slots=True)` and `dataclass(slots=True, eq=False)`, made many times as fast.

The standard library compiles up to six methods for a class when its module is imported; with some two
hundred classes a short command spends a fifth of its time on that. Here the classes share one `__eq__`,
`__hash__` and `__repr__`, and `__init__` is compiled for the first instance: most classes of a run have none.
To the type checker it is the standard decorator: that nothing assigns to a field of a frozen class is
checked there, not at run time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field
from inspect import get_annotations
from operator import attrgetter
from threading import RLock
from types import FunctionType
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, slots: bool, frozen: bool = False, eq: bool = True) -> Callable[[type], type]:
        """Frozen records are equal when their fields are, others when they are the same object.

        The arguments are written so that the class reads as what it is.
        """
        assert slots and frozen is eq
        return _frozen if frozen else _mutable


def _frozen(cls: type) -> type:
    return _with_slots(cls, {"__eq__": _equal, "__hash__": _hash, "__repr__": _represent})


def _mutable(cls: type) -> type:
    return _with_slots(cls, {"__repr__": _represent})


def _with_slots(cls: type, methods: Mapping[str, object]) -> type:
    """The class made anew, since slots cannot be added to a class that exists."""
    own = {name: cls.__dict__.get(name, MISSING) for name in get_annotations(cls)}
    given: dict[str, object] = {**getattr(cls.__base__, "_given", {}), **own}
    fields = {name: value for name, value in given.items() if isinstance(value, Field)}
    left_out = {"__dict__", "__weakref__", *own}
    return type(cls)(
        cls.__name__,
        cls.__bases__,
        {
            **methods,
            **{name: value for name, value in cls.__dict__.items() if name not in left_out},
            "__qualname__": cls.__qualname__,
            "__slots__": tuple(own),
            "__match_args__": tuple(name for name in given if name not in fields or fields[name].init),
            "__init__": _AtFirstUse(lambda: _init(cls, given)),
            "__dataclass_fields__": _AtFirstUse(lambda: _standard(cls).__dataclass_fields__),
            "__dataclass_params__": _AtFirstUse(lambda: _standard(cls).__dataclass_params__),
            "_given": given,
            "_compared": _compared([n for n in given if n not in fields or fields[n].compare]),
        },
    )


class _AtFirstUse:
    """An attribute of a class that is made when it is first asked for, and then replaces this one."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object | None, owner: type) -> Any:
        with _MAKING:
            if self._owner.__dict__[self._name] is self:
                setattr(self._owner, self._name, self._make())
        return getattr(owner if instance is None else instance, self._name)


_MAKING = RLock()


def _init(cls: type, given: Mapping[str, Any]) -> FunctionType:
    """The `__init__` that one would write by hand. `given` are defaults or fields, by name."""
    known: dict[str, Any] = {"_missing": MISSING}
    parameters: list[str] = []
    body: list[str] = []
    for name, value in given.items():
        field: Field[Any] = value if isinstance(value, Field) else dataclasses.field(default=value)
        known[f"_default_{name}"], known[f"_make_{name}"] = field.default, field.default_factory
        made = field.default_factory is not MISSING
        if field.init and made:
            parameters.append(f"{name}=_missing")
            body.append(f"self.{name} = _make_{name}() if {name} is _missing else {name}")
        elif field.init:
            parameters.append(name if field.default is MISSING else f"{name}=_default_{name}")
            body.append(f"self.{name} = {name}")
        elif made or field.default is not MISSING:
            body.append(f"self.{name} = " + (f"_make_{name}()" if made else f"_default_{name}"))
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    lines = "\n ".join(body or ["pass"])
    exec(f"def __init__({', '.join(['self', *parameters])}):\n {lines}", known)
    init: FunctionType = known["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _standard(cls: type) -> Any:
    """The class as it was written, as a dataclass: what that leaves in it, `fields` and `replace` read."""
    if "__dataclass_fields__" not in cls.__dict__:
        cls.__doc__ = cls.__doc__ or cls.__name__  # where there is none the library would work one out
        dataclasses.dataclass(init=False, eq=False, repr=False)(cls)
    return cls


def _compared(names: list[str]) -> Callable[[object], object]:
    """Gives what is compared of a record."""
    return attrgetter(*names) if names else staticmethod(lambda record: ())


def _equal(self: Any, other: Any) -> bool:
    if self is other:
        return True
    return other.__class__ is self.__class__ and bool(self._compared(self) == self._compared(other))


def _hash(self: Any) -> int:
    return hash((self.__class__, self._compared(self)))


def _represent(self: Any) -> str:
    names = [name for name, value in self._given.items() if not isinstance(value, Field) or value.repr]
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
    return f"{type(self).__qualname__}({shown})"
