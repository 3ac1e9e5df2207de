"""`dataclass(frozen=True, slots=True)`, made four times as fast.

The standard library compiles six methods for every frozen class; a short command spends a fifth of its
time on that. Here the classes share one `__eq__`, `__hash__` and `__repr__`, and only `__init__` is
compiled. To the type checker it is the standard decorator: that nothing assigns to a field is checked
there, not at run time.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool):
        """Both are always true; they are written so that the class reads as what it is."""
        assert frozen and slots

        def make(cls: type) -> type:
            cls.__doc__ = cls.__doc__ or cls.__name__
            made = dataclasses.dataclass(slots=True, eq=False, repr=False)(cls)
            for name, method in _SHARED.items():
                if name not in cls.__dict__:
                    setattr(made, name, method)
            return made

        return make


def _values(self: object) -> tuple[object, ...]:
    return tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.compare)  # type: ignore[arg-type]


def _equal(self: object, other: object) -> bool:
    return self is other or (other.__class__ is self.__class__ and _values(self) == _values(other))


def _hash(self: object) -> int:
    return hash((self.__class__, _values(self)))


def _represent(self: object) -> str:
    fields = dataclasses.fields(self)  # type: ignore[arg-type]
    shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields if f.repr)
    return f"{type(self).__qualname__}({shown})"


_SHARED = {"__eq__": _equal, "__hash__": _hash, "__repr__": _represent}
