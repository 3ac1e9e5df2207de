"""Annotations as column types and config types."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NotRequired, Optional, TypedDict

import pytest

from heddle.core import ResourceConfig, StepConfig, Table
from heddle.core.annotations import AnnotationError, config_fields, instantiate, row_of_class
from heddle.core.config import ConfigError, convert_fields
from heddle.sdk import RowText, Secret, Statement


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Retry(TypedDict):
    attempts: int
    wait: NotRequired[float]


@dataclass
class Tls:
    verify: bool = True
    names: list[str] = field(default_factory=list)


class Full(StepConfig[ResourceConfig]):
    name: str
    level: Level = Level.LOW
    mode: Literal["a", "b"] = "a"
    ratio: float = 1
    limit: Optional[int] = None  # noqa: UP045 - the older spelling must work too
    tags: list[str] = []  # noqa: RUF012
    labels: dict[str, int] = {}  # noqa: RUF012
    retry: Retry | None = None
    tls: Tls = Tls()
    password: Secret[str] | None = None
    query: Statement = ""
    row: RowText | None = None
    anything: Any = None


def test_config_fields_of_a_class() -> None:
    shown = {f.name: (str(f.type), f.required, f.default) for f in config_fields(Full)}
    assert shown == {
        "name": ("string", True, None),
        "level": ('"low" or "high"', False, "low"),
        "mode": ('"a" or "b"', False, "a"),
        "ratio": ("float", False, 1),
        "limit": ("int or null", False, None),
        "tags": ("list of string", False, []),
        "labels": ("map to int", False, {}),
        "retry": ("{attempts: int, wait: float} or null", False, None),
        "tls": ("{verify: bool, names: list of string}", False, {"verify": True, "names": []}),
        "password": ("string or null", False, None),
        "query": ("string", False, ""),
        "row": ('{column: "type", …} or null', False, None),
        "anything": ("any or null", False, None),
    }
    assert [f.name for f in config_fields(Full) if f.secret] == ["password"]
    assert [f.name for f in config_fields(Full) if f.type.kind == "statement"] == ["query"]


def test_instantiate_makes_nested_classes_and_own_copies() -> None:
    values = convert_fields(
        {"name": "x", "level": "high", "retry": {"attempts": 2}, "tls": {"verify": False}},
        config_fields(Full),
    )
    first, second = instantiate(Full, values), instantiate(Full, values)
    assert first.level is Level.HIGH
    assert first.retry == {"attempts": 2}
    assert first.tls == Tls(verify=False)
    assert first.ratio == 1.0
    first.tags.append("changed")
    assert second.tags == []
    assert Full(name="y").tags == []


def test_typed_dicts_keep_what_was_given() -> None:
    fields = config_fields(Retry)
    assert instantiate(Retry, convert_fields({"attempts": 1}, fields)) == {"attempts": 1}
    assert instantiate(Retry, convert_fields({"attempts": 1, "wait": 2}, fields)) == {
        "attempts": 1,
        "wait": 2.0,
    }
    with pytest.raises(ConfigError, match="the setting `attempts`"):
        convert_fields({}, fields)


def test_settings_in_user_code() -> None:
    config = Full(name="x", password="hush", resource="vault")
    assert config.resource == "vault"
    assert "hush" not in repr(config)
    with pytest.raises(TypeError, match="Full needs the setting `name`"):
        Full()
    with pytest.raises(TypeError, match="Full has no setting `nme`; it has `name`"):
        Full(nme="x")
    with pytest.raises(AttributeError, match="this step was given none"):
        _ = Full(name="x").resource


class BareDecimal(Table):
    amount: Decimal


class NoType(Table):
    thing: object


class WrongText(StepConfig[ResourceConfig]):
    when: complex


def test_errors_name_class_and_cure() -> None:
    with pytest.raises(AnnotationError) as caught:
        row_of_class(BareDecimal)
    assert str(caught.value) == (
        "BareDecimal.amount: a decimal needs its digits: write Annotated[Decimal, (10, 2)]"
    )
    with pytest.raises(
        AnnotationError, match=r"NoType\.thing: `object` is not a column type; use int, float"
    ):
        row_of_class(NoType)
    with pytest.raises(AnnotationError, match=r"WrongText\.when: `complex` is not a setting's type; use str"):
        config_fields(WrongText)


def test_unresolved_names_are_explained() -> None:
    class Lost(Table):
        a: Nowhere  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(AnnotationError, match="the annotations of Lost name `Nowhere`"):
        row_of_class(Lost)
