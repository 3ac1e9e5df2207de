"""Steps inside this process: what they are given, what they may return, what failures become."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heddle.core import Resource, ResourceConfig, StepConfig, StepContext, Table
from heddle.core.config import ConfigValue
from heddle.sdk import Plugin, Transient
from heddle.sdk.loader import LoadedModule
from heddle.udf_bridge.inline import InlineTransport
from heddle.udf_bridge.transport import (
    CallContext,
    CallResult,
    ResourceBinding,
    StepBinding,
    StepContractError,
    StepFailure,
    StepSession,
)

CONTEXT = CallContext("run1", "W", "p.s", 2, "key", 30.0, lambda: False, lambda wake: lambda: None)


class In(Table):
    a: int


class Scored(Table):
    score: float


class Bank:
    """One plugin with one step, and a transport for it."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.plugin = Plugin(namespace="p")
        self.plugin.step(name="s", **options)(function)

    def open(
        self,
        output: pa.Schema | None = None,
        config: Mapping[str, ConfigValue] | None = None,
        resources: Mapping[str, ResourceBinding] | None = None,
    ) -> StepSession:
        module = self.plugin.signature("p")
        self.transport = InlineTransport(
            lambda _: LoadedModule(module, self.plugin.steps, self.plugin.resources, {})
        )
        binding = StepBinding("W/1", module, module.steps["s"], config or {}, resources or {}, ".", output)
        return self.transport.open(binding, lambda told: None)

    def call(self, table: pa.Table, output: pa.Schema | None = None) -> CallResult:
        session = self.open(output)
        try:
            return session.invoke(table, CONTEXT)
        finally:
            self.transport.close()


def rows_of(result: CallResult) -> list[dict[str, Any]]:
    assert result.output is not None
    rows: list[dict[str, Any]] = result.output.to_pylist()
    return rows


EVERY_TYPE = pa.table(
    {
        "i8": pa.array([1, None, 3], pa.int8()),
        "u64": pa.array([1, None, 2**63], pa.uint64()),
        "f32": pa.array([0.5, None, float("nan")], pa.float32()),
        "text": pa.array(["a", None, ""], pa.string_view()),
        "large": pa.array(["a", None, ""], pa.large_string()),
        "bytes": pa.array([b"a", None, b""], pa.binary_view()),
        "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
        "bool": pa.array([True, None, False]),
        "date": pa.array([dt.date(2024, 1, 1), None, None]),
        "time": pa.array([dt.time(1), None, None]),
        "took": pa.array([dt.timedelta(seconds=1), None, None]),
        "at": pa.array([dt.datetime(2024, 1, 1), None, None], pa.timestamp("us", "UTC")),
        "zone": pa.array([dt.datetime(2024, 1, 1), None, None], pa.timestamp("ms", "Europe/Berlin")),
        "naive": pa.array([dt.datetime(2024, 1, 1), None, None], pa.timestamp("s")),
        "dec": pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal128(10, 2)),
        "dec256": pa.array([Decimal("1.5"), None, None], pa.decimal256(50, 3)),
        "list": pa.array([[1, None], None, []], pa.list_(pa.int32())),
        "struct": pa.array(
            [{"a": 1, "b": [{"c": "x"}]}, None, {"a": None, "b": []}],
            pa.struct([("a", pa.int64()), ("b", pa.list_(pa.struct([("c", pa.string_view())])))]),
        ),
        "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "dict": pa.array(["x", None, "y"]).dictionary_encode(),
        "nothing": pa.nulls(3),
    }
)


@pytest.mark.parametrize("part", [(0, 3), (1, 2), (2, 1), (0, 0)])
def test_every_type_goes_through_a_step(part: tuple[int, int]) -> None:
    def same(input: Table) -> Table:
        return input

    data = EVERY_TYPE.slice(*part)
    result = Bank(same).call(data)
    assert result.output is not None
    assert str(result.output.to_pylist()) == str(data.to_pylist())
    assert "view" not in str(result.output.schema)


@pytest.mark.parametrize("rows", [0, 3])
def test_tables_without_columns(rows: int) -> None:
    def same(input: Table) -> Table:
        assert input.num_rows == rows
        return input

    data = pa.table({"x": pa.nulls(rows)}).select([])
    assert Bank(same, rows="map").call(data).output.num_rows == rows  # type: ignore[union-attr]


def test_closed_inputs_get_exactly_their_columns_cast() -> None:
    seen: list[pa.Schema] = []

    def step(input: In) -> Scored:
        assert isinstance(input, In)
        seen.append(input.schema)
        return Scored.from_arrow(pa.table({"score": pc.cast(input["a"], pa.float64())}))

    result = Bank(step, rows="map").call(pa.table({"z": ["x"], "a": pa.array([1], pa.int16())}))
    assert seen == [pa.schema([("a", pa.int64())])]
    assert rows_of(result) == [{"score": 1.0}]
    assert result.kept is None


def test_map_passthrough_puts_other_columns_beside() -> None:
    def step(input: In) -> Scored:
        return Scored.from_arrow(pa.table({"score": [0.5] * len(input), "a": input["a"]}))

    wanted = pa.schema([("z", pa.string()), ("a", pa.int32()), ("score", pa.float64())])
    data = pa.table({"z": ["x", "y"], "a": pa.array([1, 2], pa.int32())})
    result = Bank(step, rows="map", passthrough=True).call(data, wanted)
    assert result.output is not None
    assert result.output.schema == wanted
    assert rows_of(result) == [{"z": "x", "a": 1, "score": 0.5}, {"z": "y", "a": 2, "score": 0.5}]


def test_a_changed_column_that_should_travel_past_is_found() -> None:
    def step(input: In) -> Scored:
        return Scored.from_arrow(pa.table({"score": [0.5] * len(input), "a": pc.add(input["a"], 1)}))

    with pytest.raises(StepContractError) as caught:
        Bank(step, rows="map", passthrough=True).call(pa.table({"a": [1, 2]}))
    assert caught.value.message == (
        "`p.s` changed the column `a`, which travels past it; name `a` in the class that it returns if it "
        "is meant to change"
    )


@pytest.mark.parametrize("return_all", [True, False])
def test_rejected_rows_are_left_out(return_all: bool) -> None:
    def step(input: In, context: StepContext) -> Scored:
        bad = pc.less(input["a"], 0)
        context.reject(bad, "negative")
        context.reject([0, 3], "unlucky")
        kept = input.to_arrow()
        if not return_all:
            keep = pc.and_(pc.invert(bad), pa.array([False, True, True, False, True]))
            kept = kept.filter(keep)
        return Scored.from_arrow(pa.table({"score": pc.cast(kept["a"], pa.float64())}))

    data = pa.table({"a": [1, -2, 3, -4, 5], "z": list("abcde")})
    result = Bank(step, rows="map", passthrough=True).call(data)
    assert rows_of(result) == [{"a": 3, "z": "c", "score": 3.0}, {"a": 5, "z": "e", "score": 5.0}]
    assert result.kept is not None
    assert result.kept.to_pylist() == [2, 4]
    found = [(r.rows.to_pylist(), r.reason, r.error_type) for r in result.rejections]
    assert found == [([1, 3], "negative", "Rejected"), ([0], "unlucky", "Rejected")]


def test_nulls_where_none_are_wanted_are_rejected_in_map_steps() -> None:
    def step(input: In) -> Scored:
        score = [None if a == 3 else float(a) for a in input["a"].to_pylist()]
        return Scored.from_arrow(pa.table({"score": pa.array(score, pa.float64())}))

    result = Bank(step, rows="map", passthrough=True).call(
        pa.table({"a": [1, None, 3, 4], "z": list("abcd")})
    )
    assert rows_of(result) == [{"a": 1, "z": "a", "score": 1.0}, {"a": 4, "z": "d", "score": 4.0}]
    found = [(r.rows.to_pylist(), r.reason, r.error_type) for r in result.rejections]
    assert found == [
        ([1], "`a` is null, and `p.s` needs int", "NullValue"),
        ([2], "`p.s` returned no `score`, which is float", "NullValue"),
    ]


def test_a_map_step_without_rows_is_not_called() -> None:
    def step(input: In) -> Scored:
        raise AssertionError("called")

    result = Bank(step, rows="map", passthrough=True).call(
        pa.table({"a": pa.array([None, None], pa.int64())})
    )
    assert rows_of(result) == []
    assert result.output is not None
    assert result.output.column_names == ["a", "score"]
    assert result.kept is not None


def _returns(value: Any) -> Callable[[In], Scored]:
    def step(input: In) -> Scored:
        return value  # type: ignore[no-any-return]

    return step


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (
            pa.table({"score": ["x", "y"]}),
            {"rows": "map"},
            "`p.s` returned `score` as string, but its signature says float",
        ),
        (
            pa.table({"a": [1, 2]}),
            {"rows": "map"},
            "`p.s` did not return the column `score`, which its signature names; it returned `a`",
        ),
        (
            pa.table({"score": [1.0]}),
            {"rows": "map"},
            '`p.s` has rows="map" and was given 2 rows, so it returns 2 rows, not 1; declare rows="filter", '
            '"flat" or "table" if that is what it does',
        ),
        (
            pa.table({"score": [1.0] * 3}),
            {"rows": "filter"},
            '`p.s` has rows="filter" and was given 2 rows, so it cannot return 3; declare rows="flat" if it '
            "makes rows",
        ),
        (
            pa.table({"score": [1.0, 2.0], "extra": [1, 2]}),
            {"rows": "map"},
            "`p.s` returned the column `extra`, but its signature names `score` only; add it to the class, "
            "or leave it out",
        ),
        (
            pa.table({"score": [1.0, None]}),
            {},
            "`p.s` returned a null in `score`, which is float; annotate it as `score: … | None`, or fill it",
        ),
        (
            pa.table({"score": [1.0, 2.0]}),
            {"passthrough": True},
            "`p.s` is declared with passthrough=True but lost the column `a`; return all columns that it was "
            "given, or drop passthrough",
        ),
        (
            None,
            {},
            "`p.s` returned None where a table is wanted; end it with `return`, or annotate it with "
            "`-> None` if it only writes",
        ),
        (
            [{"score": 1.0}],
            {},
            "`p.s` returned list where a Table is wanted; make one with Table.from_arrow, from_pandas or "
            "from_polars",
        ),
    ],
)
def test_broken_contracts(value: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(StepContractError) as caught:
        Bank(_returns(value), **options).call(pa.table({"a": [1, 2]}))
    assert caught.value.message == message
    assert caught.value.error_type == "ContractError"


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(StepContractError) as caught:
        Bank(_returns(None)).call(pa.table({"b": [1]}))
    assert caught.value.message == "`p.s` needs the column `a`, but it was given `b`"
    with pytest.raises(StepContractError) as caught:
        Bank(_returns(None)).call(pa.table({"a": ["x"]}))
    assert caught.value.message == "`p.s` needs `a` as int, but it was given string"
    with pytest.raises(StepContractError) as caught:
        Bank(_returns(None)).call(pa.table({"a": [1, None]}))
    assert caught.value.message == (
        "`a` is null, and `p.s` needs int; filter the nulls out before it, or let it take `… | None`"
    )


def test_only_map_steps_reject() -> None:
    def step(input: In, context: StepContext) -> Table:
        context.reject([0], "no")
        return input

    with pytest.raises(StepContractError, match='only a step with rows="map" may do; it has rows="table"'):
        Bank(step).call(pa.table({"a": [1]}))


def test_masks_are_checked() -> None:
    def short(input: In, context: StepContext) -> Table:
        context.reject([True], "no")
        return input

    def outside(input: In, context: StepContext) -> Table:
        context.reject([5], "no")
        return input

    def nulls(input: In, context: StepContext) -> Table:
        context.reject(pa.chunked_array([[None, True]]), "no")
        return input

    data = pa.table({"a": [1, 2]})
    with pytest.raises(
        StepFailure, match="the mask given to `reject` has 1 values, but the input has 2 rows"
    ):
        Bank(short, rows="map").call(data)
    with pytest.raises(StepFailure, match="a row number that is not in 0…1"):
        Bank(outside, rows="map").call(data)
    assert rows_of(Bank(nulls, rows="map").call(data)) == [{"a": 1}]


def test_open_outputs_keep_one_schema() -> None:
    def step(input: Table) -> Table:
        values: list[Any] = ["x"] if input["a"][0].as_py() else [1]
        return Table.from_pylist([{"b": v} for v in values])

    session = Bank(step, rows="flat").open()
    assert session.invoke(pa.table({"a": [0]}), CONTEXT).output is not None
    with pytest.raises(
        StepContractError, match="returned `b` as string for one batch and as int for an earlier one"
    ):
        session.invoke(pa.table({"a": [1]}), CONTEXT)


class Wobbly(Exception):
    transient = True


@pytest.mark.parametrize(
    ("error", "name", "message", "transient"),
    [
        (ValueError("no luck today"), "ValueError", "no luck today", False),
        (ConnectionError("down"), "ConnectionError", "down", True),
        (TimeoutError(), "TimeoutError", "TimeoutError", True),
        (Transient("later"), "Transient", "later", True),
        (Wobbly("w"), "Wobbly", "w", True),
        (SystemExit(3), "SystemExit", "it called sys.exit(3)", False),
    ],
)
def test_exceptions_become_failures(error: BaseException, name: str, message: str, transient: bool) -> None:
    def step(input: Table) -> Table:
        raise error

    with pytest.raises(StepFailure) as caught:
        Bank(step).call(pa.table({"a": [1]}))
    found = caught.value
    assert (found.error_type, found.message, found.transient) == (name, message, transient)


def test_stack_traces_show_the_users_frames_only() -> None:
    def inner() -> None:
        raise KeyError("gone")

    def step(input: Table) -> Table:
        try:
            inner()
        except KeyError as error:
            raise ValueError("wrapped") from error
        return input

    with pytest.raises(StepFailure) as caught:
        Bank(step).call(pa.table({"a": [1]}))
    trace = caught.value.stack_trace
    assert "in step" in trace
    assert "in inner" in trace
    assert "KeyError: 'gone'" in trace
    assert trace.endswith("ValueError: wrapped\n")
    assert "heddle/udf_bridge" not in trace


def test_an_interrupt_in_another_thread_is_a_failure() -> None:
    def step(input: Table) -> Table:
        raise KeyboardInterrupt

    bank = Bank(step)
    session = bank.open()
    caught: list[BaseException] = []

    def run() -> None:
        try:
            session.invoke(pa.table({"a": [1]}), CONTEXT)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert isinstance(caught[0], StepFailure)
    with pytest.raises(KeyboardInterrupt):
        session.invoke(pa.table({"a": [1]}), CONTEXT)


def test_print_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def step(input: Table) -> Table:
        print("from the step")
        thread = threading.Thread(target=print, args=("from its thread",))
        thread.start()
        thread.join()
        return input

    Bank(step).call(pa.table({"a": [1]}))
    print("data")
    captured = capsys.readouterr()
    assert captured.out == "data\n"
    assert captured.err == "from the step\nfrom its thread\n"


def test_sources_stream() -> None:
    made: list[int] = []

    def step() -> Iterator[Scored]:
        for i in range(3):
            made.append(i)
            yield Scored.from_pylist([{"score": float(i)}])

    batches = Bank(step).open().batches(CONTEXT)
    assert next(batches).to_pylist() == [{"score": 0.0}]
    assert made == [0]
    assert [b.to_pylist()[0]["score"] for b in batches] == [1.0, 2.0]


def test_sources_that_fail_half_way() -> None:
    def step() -> Iterator[Scored]:
        yield Scored.from_pylist([{"score": 1.0}])
        raise ConnectionError("cut off")

    batches = Bank(step).open().batches(CONTEXT)
    next(batches)
    with pytest.raises(StepFailure, match="cut off") as caught:
        next(batches)
    assert caught.value.transient


def test_sources_without_rows_still_have_columns() -> None:
    def empty() -> Iterator[Scored]:
        yield from ()

    def unknown() -> Iterator[Table]:
        yield from ()

    def whole() -> Scored:
        return Scored.from_arrow(pa.table({"score": pa.array([], pa.float64())}))

    assert [b.schema.names for b in Bank(empty).open().batches(CONTEXT)] == [["score"]]
    assert [b.schema.names for b in Bank(whole).open().batches(CONTEXT)] == [["score"]]
    with pytest.raises(StepContractError, match="yielded no table, so its columns are not known"):
        list(Bank(unknown).open().batches(CONTEXT))


def test_generators_over_an_input_are_put_together() -> None:
    def step(input: In) -> Iterator[Scored]:
        for batch in input.batches(1):
            yield Scored.from_arrow(pa.table({"score": pc.cast(batch.column("a"), pa.float64())}))

    assert rows_of(Bank(step, rows="flat").call(pa.table({"a": [1, 2]}))) == [{"score": 1.0}, {"score": 2.0}]


@pytest.mark.parametrize("kind", ["table", "batch", "polars"])
def test_frames_of_other_libraries_may_be_returned(kind: str) -> None:
    import polars

    values = {
        "table": pa.table({"score": [1.0, 2.0]}),
        "batch": pa.record_batch({"score": [1.0, 2.0]}),
        "polars": polars.DataFrame({"score": [1.0, 2.0]}),
    }
    result = Bank(_returns(values[kind]), rows="map").call(pa.table({"a": [1, 2]}))
    assert rows_of(result) == [{"score": 1.0}, {"score": 2.0}]


class VaultConfig(ResourceConfig):
    key: str


class Vault(Resource):
    opened: int = 0
    closed: int = 0

    def __init__(self, key: str) -> None:
        self.key = key
        Vault.opened += 1

    def close(self) -> None:
        Vault.closed += 1


class HashConfig(StepConfig[VaultConfig]):
    rounds: int


def vault_plugin() -> Bank:
    def step(config: HashConfig, input: In, context: StepContext) -> Table:
        assert config.resource is config.resources["vault"]
        text = f"{config.resource.key}{config.rounds}{context.attempt}{context.workflow}"
        return Table.from_pylist([{"text": text}])

    bank = Bank(step, resource="vault")

    @bank.plugin.resource(name="vault")
    def open_vault(config: VaultConfig) -> Vault:
        if config.key == "bad":
            raise ConnectionError("the vault is away")
        return Vault(config.key)

    return bank


def test_resources_are_opened_once_and_closed_at_the_end() -> None:
    Vault.opened = Vault.closed = 0
    bank = vault_plugin()
    module = bank.plugin.signature("p")
    resources = {"vault": ResourceBinding("v", module, "vault", {"key": "k"})}
    first = bank.open(None, {"rounds": 2}, resources)
    binding = StepBinding("W/2", module, module.steps["s"], {"rounds": 3}, resources, ".", None)
    second = bank.transport.open(binding, lambda told: None)
    assert rows_of(first.invoke(pa.table({"a": [1]}), CONTEXT)) == [{"text": "k22W"}]
    assert rows_of(second.invoke(pa.table({"a": [1]}), CONTEXT)) == [{"text": "k32W"}]
    assert (Vault.opened, Vault.closed) == (1, 0)
    bank.transport.close()
    bank.transport.close()
    assert (Vault.opened, Vault.closed) == (1, 1)


def test_a_resource_that_does_not_open_is_named() -> None:
    bank = vault_plugin()
    module = bank.plugin.signature("p")
    with pytest.raises(StepFailure) as caught:
        bank.open(None, {"rounds": 2}, {"vault": ResourceBinding("v", module, "vault", {"key": "bad"})})
    assert caught.value.message == "the resource `v` (p.vault) could not be opened: the vault is away"
    assert caught.value.transient


def test_declared_steps_do_not_run() -> None:
    bank = Bank(_returns(None))
    bank.plugin.declare("later")
    module = bank.plugin.signature("p")
    bank.open()
    binding = StepBinding("W/1", module, module.steps["later"], {}, {}, ".", None)
    with pytest.raises(StepFailure, match=r"`p.later` is declared but has no body"):
        bank.transport.open(binding, lambda told: None)


def test_sinks_return_nothing(tmp_path: Path) -> None:
    def step(input: In) -> None:
        (tmp_path / "out").write_text(str(len(input)))

    result = Bank(step, rows="map", effect=True).call(pa.table({"a": [1, None]}))
    assert result.output is None
    assert (tmp_path / "out").read_text() == "1"
    assert [r.rows.to_pylist() for r in result.rejections] == [[1]]
