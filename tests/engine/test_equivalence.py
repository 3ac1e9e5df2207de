"""For random programs over random data: optimizing and the size of batches never change an answer.

The steps declare as much or as little of what holds for them as Hypothesis likes. A program's outputs are
compared, and what its handler was given. `pytest --hypothesis-profile nightly` tries many more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Ran, run

CASES = 60
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
    "(from input | derive price = price + {n})",
    "(from input | select {{id, kind, price}} | sort {{id, kind, price}} | take {m})",
    "(from input | group {{id, kind}} (aggregate {{price = sum price}}))",
    "(from input | join sizes (==kind) | select {{id, kind, price}})",
    "(from input | join side:left sizes (==kind) | derive p = price + size | select {{id, kind, price = p}})",
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
    "(from input | sort {{id, kind, price}}) | shop.odd | shop.double | (from input | take {m}) | "
    "(from input | select {{id, kind, price = twice}})",
    "shop.all",
    f"shop.sure ? park | (from input | filter id > {{n}} && kind != null) | {BACK}",
)

stage = st.builds(
    lambda text, n, m: text.format(n=n, m=m),
    st.sampled_from(QUERIES),
    st.integers(-3, 9),
    st.integers(1, 9),
)
rows = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(["a", "b", None]),
        st.one_of(st.none(), st.integers(-4, 9).map(float)),
    ),
    min_size=8,
    max_size=40,
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Two to four assignments, each a chain over an earlier one, so that some are shared and some unused."""
    names = ["orders"]
    lines = []
    for index in range(draw(st.integers(2, 4))):
        source = draw(st.sampled_from(names))
        chain = draw(st.lists(stage, min_size=1, max_size=4))
        name = f"t{index}"
        lines += [f"  {source}", *(f"    | {s}" for s in chain), f"    > {name}", ""]
        names.append(name)
    body = "\n".join(lines)
    return f"""import "shop" shop

step sizes = io.csv {{ path: "sizes.csv" }}

handler park {{
  *
    | (from input | select {{error_msg, error_type, step, payload}})
    | io.csv {{ path: "parked.csv" }}
}}

workflow W {{
  io.parquet {{ path: "orders.parquet" }}
    > orders

{body}}}
"""


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
    return sorted((tuple(row[n] for n in names) for row in table.to_pylist()), key=repr)


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
        (folder / "sizes.csv").write_text("kind,size\na,1\nb,2\nb,3\n")
        columns = list(zip(*data, strict=True)) or [(), (), ()]
        schema = pa.schema([("id", pa.int64()), ("kind", pa.string()), ("price", pa.float64())])
        table = pa.Table.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
        )
        pq.write_table(table, folder / "orders.parquet", row_group_size=16)
        (folder / "program.he").write_text(text)
        outputs = [f"t{i}" for i in range(text.count("    > t"))]
        plain, parked = _ran(folder, outputs, optimize=False, batch_rows=1000)
        fast, fast_parked = _ran(folder, outputs, optimize=True, batch_rows=batch_rows)
        assert plain.result.status in {"succeeded", "handled"}, plain.result.error
        assert fast.result.status == plain.result.status, fast.result.error
        assert fast_parked == parked
        for output in outputs:
            assert canonical(fast.outputs[output]) == canonical(plain.outputs[output]), output


def _ran(folder: Path, outputs: Sequence[str], *, optimize: bool, batch_rows: int) -> tuple[Ran, list[str]]:
    """A run, and the lines that its handler wrote, in any order."""
    ran = run(folder / "program.he", outputs, optimize=optimize, batch_rows=batch_rows, inline=True)
    parked = folder / "parked.csv"
    lines = sorted(parked.read_text().splitlines()) if parked.exists() else []
    parked.unlink(missing_ok=True)
    return ran, lines
