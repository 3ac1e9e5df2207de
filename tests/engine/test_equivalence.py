"""For random programs over random data: optimizing, engines and the size of batches never change an answer.

The steps declare as much or as little of what holds for them as Hypothesis likes. A program's outputs are
compared, and what its handler was given. `pytest --timeout 0 --hypothesis-profile nightly` tries many more.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from heddle.engine import Engine, RunOptions
from heddle.frontend.typed import TypedProgram
from heddle.physical.cancel import CancelToken
from heddle.std.sinks import Streams

CASES = 500
DEFAULT_EXAMPLES = 100

SHOP = """
import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")


class Keyed(Table):
    id: int


class Priced(Table):
    price: float | None


class Sure(Table):
    price: float


class Line(Table):
    id: int
    kind: str | None
    price: float | None


class Doubled(Table):
    twice: float | None


class Odd(Table):
    odd: bool


def twice(table):
    return table.append_column("twice", pc.multiply(table["price"], 2.0))


@plugin.step(name="double", {double}, passthrough=True)
def double(input: Priced) -> Doubled:
    return Doubled.from_arrow(twice(input.to_arrow()))


@plugin.step(name="double_open", {double_open}, passthrough=True)
def double_open(input: Table) -> Doubled:
    return Doubled.from_arrow(twice(input.to_arrow()))


@plugin.step(name="cheaper", {cheaper}, passthrough=True)
def cheaper(input: Priced) -> Priced:
    table = input.to_arrow()
    column = pc.subtract(table["price"], 1.0)
    return Priced.from_arrow(table.set_column(table.schema.get_field_index("price"), "price", column))


@plugin.step(name="odd", {odd}, passthrough=True)
def odd(input: Keyed) -> Odd:
    table = input.to_arrow()
    return Odd.from_arrow(table.append_column("odd", pc.equal(pc.bit_wise_and(table["id"], 1), 1)))


@plugin.step(name="whole", {whole})
def whole(input: Line) -> Line:
    table = input.to_arrow()
    return Line.from_arrow(table.set_column(2, "price", pc.round(table["price"])))


@plugin.step(name="even", {even}, passthrough=True)
def even(input: Keyed) -> Keyed:
    table = input.to_arrow()
    return Keyed.from_arrow(table.filter(pc.equal(pc.bit_wise_and(table["id"], 1), 0)))


@plugin.step(name="even_open", {even_open}, passthrough=True)
def even_open(input: Table) -> Table:
    table = input.to_arrow()
    return Table.from_arrow(table.filter(pc.equal(pc.bit_wise_and(table["id"], 1), 0)))


@plugin.step(name="again", {again}, passthrough=True)
def again(input: Keyed) -> Keyed:
    table = input.to_arrow()
    return Keyed.from_arrow(pa.concat_tables([table, table.filter(pc.greater(table["id"], 4))]))


@plugin.step(name="all", rows="table", passthrough=True, deterministic=True)
def all_rows(input: Table) -> Table:
    return input


@plugin.step(name="sure", rows="map", {sure}, passthrough=True)
def sure(input: Sure) -> Doubled:
    return Doubled.from_arrow(twice(input.to_arrow()))
"""

PROPERTIES = ("deterministic=True", "effect=False", "effect=False, deterministic=True", "idempotent=True")
MAP = ("map", "map", "map", "flat", "table")
FILTER = ("filter", "filter", "filter", "flat", "table")
ROWS = {
    "double": MAP,
    "double_open": MAP,
    "cheaper": MAP,
    "odd": MAP,
    "whole": MAP,
    "even": FILTER,
    "even_open": FILTER,
    "again": ("flat", "table"),
}
"""What each step may declare, what lets the optimizer do most more often than the rest; all of it holds."""

BACK = "(from input | select {{id, kind, price}})"
QUERIES = (
    "(from input | filter price > {n})",
    "shop.cheaper | (from input | filter price < {n})",
    "(from input | filter id > {n} || price == null)",
    "(from input | filter id % 3 == 1 && kind == 'a')",
    "shop.double | (from input | filter twice > {n} | select {{id, kind, price = twice}})",
    "shop.cheaper | (from input | filter !(price == 0 || price == 1 || price == 2 || price == 3 || "
    "price == {n}))",
    "(from input | derive price = price + {n})",
    "(from input | select {{id, kind, price}} | sort {{id, kind, price}} | take {m})",
    "(from input | group {{id, kind}} (aggregate {{price = sum price}}))",
    "shop.even | (from input | filter id > {n})",
    "shop.again",
    "shop.cheaper",
    "shop.whole",
    f"shop.even_open | {BACK}",
    f"shop.odd | (from input | filter odd && id > {{n}}) | {BACK}",
    f"shop.odd | shop.double | (from input | filter id < {{n}} && twice > 0) | {BACK}",
    "shop.double | (from input | derive price = twice | select {{id, kind, price}})",
    "shop.double_open | (from input | filter kind != 'b' | select {{id, kind, price = twice}})",
    "shop.double | shop.even | shop.cheaper | (from input | filter kind == 'a' && id != {n} && price < {n} | "
    "select {{id, kind, price = twice}})",
    "(from input | sort {{id, kind, price}}) | shop.double | (from input | filter id > {n}) | "
    "(from input | select {{id, kind, price = twice}})",
    "shop.all",
    f"shop.sure ? park | (from input | filter id > {{n}} && kind != null) | {BACK}",
)

SOURCES = (
    'io.parquet { path: "orders.parquet" }',
    'io.csv { path: "orders.csv", schema: { id: "int", kind: "string", price: "float" } }',
)
"""Of one of them the number of rows is known, and so few that no plan is worth its time."""

TOPS = (
    "{{id, kind, price}}",
    "{{-price, id, kind}}",
    "{{kind, -id, -price}}",
)
"""Orders in which only equal rows have the same place."""

OTHERS = {
    "sizes": ("kind", "size"),
    "few": ("id", "size"),
    "each": ("id", "size"),
    "both": ("kind", "size"),
}
"""What is joined, by which column, and what it has beside; `both` can be joined by two columns."""

MADE = {
    "few": """\
  sizes
    | (from input | filter size > {limit})
    | (from input | select {{id = size, size}})
    > few
""",
    "each": """\
  orders
    | (from input | group id (aggregate {{size = count this}}) | filter size > 1)
    > each
""",
    "both": """\
  orders
    | shop.double
    | (from input | filter price > {limit} | select {{id, kind, size = twice}})
    > both
""",
}
"""The rows of a file, sums, and rows that a step made."""

join = st.builds(
    lambda side, other, n, end: (
        f"(from input | join {side}other={other} (this.{OTHERS[other][0]} == that.{OTHERS[other][0]}) | "
        f"derive more = (other.size ?? {n}) | {end}"
    ),
    st.sampled_from(("", "", "", "side:left ", "side:right ")),
    st.sampled_from(sorted(OTHERS)),
    st.integers(0, 9),
    st.sampled_from(
        (
            "select {{id = input.id ?? 0, input.kind, input.price}})",
            "filter more > 1 | select {{id = input.id ?? 0, input.kind, price = input.price + more}})",
            "group {{input.kind}} (aggregate {{id = max input.id, price = sum (more * 1.0)}}) | "
            "select {{id = id ?? 0, kind, price}})",
        )
    ),
)
both = st.just(
    "(from input | join other=both (this.kind == that.kind && this.id == that.id) | "
    "select {{input.id, input.kind, price = other.size + input.price}})"
)
before_join = st.sampled_from(
    (
        "shop.double | ",
        "shop.odd | shop.double | ",
        "shop.cheaper | ",
        "shop.even | shop.double | ",
        "shop.double | (from input | filter id > {n}) | ",
        "shop.double | (from input | derive {{low = price - 1}} | filter kind != 'b') | ",
        "shop.sure ? park | ",
    )
)
joined = st.builds(lambda steps, text: steps + text, before_join, join | both)
top = st.builds(
    lambda steps, only, keys: (
        f"{steps}(from input | {only}sort {keys} | take {{m}} | select {{{{id, kind, price}}}})"
    ),
    st.sampled_from(
        ("shop.double | ", "shop.odd | shop.double | ", "shop.cheaper | ", "shop.double_open | ")
    ),
    st.sampled_from(("", "", "filter id > {n} | ", "filter kind == 'a' && id % 2 == 1 | ")),
    st.sampled_from(TOPS),
)

first = st.builds(
    lambda keys, steps: f"(from input | sort {keys}) | {steps}(from input | take {{m}}) | {BACK}",
    st.sampled_from(TOPS),
    st.sampled_from(("shop.double | ", "shop.odd | shop.double | ", "shop.cheaper | ")),
)

stage = st.builds(
    lambda text, n, m: text.format(n=n, m=m),
    st.one_of(st.sampled_from(QUERIES), joined, joined, top, first),
    st.integers(-3, 9),
    st.integers(1, 9),
)
rows = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(["a", "b", None]),
        st.one_of(st.none(), st.just(math.nan), st.integers(-4, 9).map(float)),
    ),
    min_size=8,
    max_size=40,
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """One to three assignments, each a chain over an earlier one, so that some are shared and some unused, in
    one workflow or two. In two, a chain may stand in both."""
    names = ["orders"]
    chains: list[list[str]] = []
    bodies: list[list[str]] = [[]]
    for index in range(draw(st.integers(1, 3))):
        if index and draw(st.booleans()) and len(bodies) == 1:
            bodies.append([])
            names = ["orders"]
        source = draw(st.sampled_from(names))
        known = st.sampled_from(chains) if chains else st.nothing()
        chain = draw(st.lists(stage, min_size=1, max_size=2) | known)
        chains.append(chain)
        name = f"t{index}"
        bodies[-1] += [f"  {source}", *(f"    | {s}" for s in chain), f"    > {name}", ""]
        names.append(name)
    trap = draw(st.sampled_from(("", "", " ? park")))
    limit = draw(st.integers(0, 5))
    source = draw(st.sampled_from((*SOURCES, SOURCES[-1])))
    workflows = "\n".join(
        _workflow(name, trap if name == "V" else "", source, limit, body)
        for name, body in zip("WV", bodies, strict=False)
    )
    return f"""import "shop" shop

step sizes = io.csv {{ path: "sizes.csv" }}

handler park {{
  *
    | (from input | select {{error_msg, error_type, step, payload}})
    | io.csv {{ path: "parked.csv" }}
}}

{workflows}"""


def _workflow(name: str, trap: str, source: str, limit: int, body: Sequence[str]) -> str:
    """A workflow over all orders, with those of `OTHERS` that it joins."""
    lines = "\n".join(body)
    others = [text.format(limit=limit) for other, text in MADE.items() if f"={other} " in lines]
    return "\n".join([f"workflow {name}{trap} {{", f"  {source}\n    > orders\n", *others, f"{lines}}}\n"])


@st.composite
def plugins(draw: st.DrawFn) -> str:
    """The steps' module, with declarations that hold."""
    declared = {
        name: f'rows="{draw(st.sampled_from(allowed))}", {draw(st.sampled_from(PROPERTIES))}'
        for name, allowed in ROWS.items()
    }
    return SHOP.format(**declared, sure=draw(st.sampled_from(PROPERTIES)))


def canonical(table: pa.Table) -> list[tuple[object, ...]]:
    names = sorted(table.column_names)
    return sorted((tuple(_itself(row[n]) for n in names) for row in table.to_pylist()), key=repr)


def _itself(value: object) -> object:
    """NaN equals itself."""
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


@given(text=programs(), shop=plugins(), data=rows, batch_rows=st.sampled_from([1, 3, 1000]))
@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
    max_examples=CASES
    if settings.default.max_examples == DEFAULT_EXAMPLES
    else settings.default.max_examples,
)
def test_optimized_is_unoptimized_and_batches_do_not_matter(
    text: str, shop: str, data: list[tuple[int, str | None, float | None]], batch_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n')
        (folder / "shop.py").write_text(shop)
        (folder / "sizes.csv").write_text("kind,size\na,1\nb,2\nb,3\n,4\na,7\n")
        columns = zip(*data, strict=True)
        schema = pa.schema([("id", pa.int64()), ("kind", pa.string()), ("price", pa.float64())])
        table = pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
        # Statistics leave NaN out, and by them engines leave rows out: docs/reference/engines.md.
        kept = ["id", "kind"]
        pq.write_table(table, folder / "orders.parquet", row_group_size=16, write_statistics=kept)
        pa.csv.write_csv(table, folder / "orders.csv")
        (folder / "program.he").write_text(text)
        with Engine.open(folder / "program.he", environ={}) as engine:
            program = engine.check().program
            assert program is not None
            plain = _ran(
                engine, program, folder, RunOptions(optimize=False, batch_rows=1000, engine="datafusion")
            )
            fast = _ran(engine, program, folder, RunOptions(batch_rows=batch_rows))
        assert plain.status in {"succeeded", "handled"}, plain.error
        assert fast.status == plain.status, fast.error
        assert fast.parked == plain.parked
        for output, found in plain.outputs.items():
            assert canonical(fast.outputs[output]) == canonical(found), output


@dataclass(frozen=True, slots=True)
class Answer:
    """`parked` are the lines that the handler wrote, in any order."""

    status: str
    error: object
    outputs: dict[str, pa.Table]
    parked: list[str]


def _ran(engine: Engine, program: TypedProgram, folder: Path, options: RunOptions) -> Answer:
    names = [o.name for w in program.workflows.values() for o in w.outputs if o.name.startswith("t")]
    files = {name: folder / f"{name}.arrow" for name in names}
    wanted = replace(options, inline=True, outputs={name: str(file) for name, file in files.items()})
    streams = Streams(io.StringIO(), io.StringIO())
    result = engine.run(program, wanted, lambda event: None, CancelToken(), streams)
    outputs = {name: feather.read_table(file) for name, file in files.items() if file.exists()}
    for file in files.values():
        file.unlink(missing_ok=True)
    parked = folder / "parked.csv"
    lines = sorted(parked.read_text().splitlines()) if parked.exists() else []
    parked.unlink(missing_ok=True)
    return Answer(result.status, result.error, outputs, lines)
