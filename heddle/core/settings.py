"""Settings: the classes by which a step or a resource says what it accepts in its `{…}`.

`class HashConfig(StepConfig): algorithm: str; rounds: int = 1` names its settings by annotations; a value
makes one optional. An instance has them as attributes. `heddle/core/annotations.py` reads the class.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from heddle.core.record import record

T = TypeVar("T")


@record(frozen=True, slots=True)
class SettingMark:
    """Metadata of an annotation that says more of a setting than its Python type does."""

    kind: Literal["secret", "statement", "row"]


Secret: TypeAlias = Annotated[T, SettingMark("secret")]
"""`password: Secret[str]`: the value never reaches a log, a plan or an error text."""

Statement: TypeAlias = Annotated[str, SettingMark("statement")]
"""`query: Statement`: a text whose `@name` parts are bound parameters."""

RowText: TypeAlias = Annotated[dict[str, str], SettingMark("row")]
"""`schema: RowText`: a row type written as `{column: "type"}`."""


class Settings:
    """Values of the annotated settings, given by name. Raises `TypeError` for a missing or unknown one."""

    def __init__(self, **values: Any) -> None:
        name = type(self).__name__
        known = type(self).setting_annotations()
        for key in values:
            if key not in known:
                raise TypeError(f"{name} has no setting `{key}`; it has {_listed(known)}")
        for key in known:
            if key in values:
                setattr(self, key, values[key])
            elif key in vars_of(type(self)):
                setattr(self, key, deepcopy(getattr(type(self), key)))
            else:
                raise TypeError(f"{name} needs the setting `{key}`")

    @classmethod
    def setting_annotations(cls) -> dict[str, Any]:
        """The annotation of each setting, base classes first."""
        hints = get_type_hints(cls, include_extras=True)
        return {
            key: hint for key, hint in hints.items() if key[0] != "_" and get_origin(hint) is not ClassVar
        }

    def __repr__(self) -> str:
        parts = [
            f"{key}={'…' if is_secret(hint) else repr(getattr(self, key))}"
            for key, hint in self.setting_annotations().items()
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, key) == getattr(other, key) for key in self.setting_annotations())

    __hash__ = None  # type: ignore[assignment]  # settings may hold lists and dicts


def vars_of(cls: type) -> dict[str, Any]:
    """The class attributes of `cls`, those of base classes included."""
    result: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        result.update(vars(base))
    return result


def is_secret(hint: Any) -> bool:
    """Whether an annotation is marked as `Secret`."""
    if get_origin(hint) is Annotated:
        return SettingMark("secret") in get_args(hint)[1:]
    return any(is_secret(part) for part in get_args(hint))


def _listed(names: dict[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
