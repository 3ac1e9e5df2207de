"""For random programs over random data: optimizing and the size of batches never change an answer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import run

SHOP = """
import pyarrow as pa
import pyarrow.compute as pc

from heddle.core import Table
from heddle.sdk.plugin import Plugin

plugin = Plugin(namespace="shop")


class Priced(Table):
    id: int
    price: float | None


class Taxed(Table):
    id: int
    price: float | None
    tax: float | None


@plugin.step(name="tax", rows="map", deterministic=True)
def tax(input: Priced) -> Taxed:
    table = input.to_arrow()
    return Taxed.from_arrow(table.append_column("tax", pc.multiply(table["price"], 0.25)))


class Doubled(Table):
    twice: float | None


@plugin.step(name="double", rows="map", passthrough=True, deterministic=True)
def double(input: Table) -> Doubled:
    return Doubled.from_arrow(pa.table({"twice": pc.multiply(input.to_arrow()["price"], 2.0)}))


@plugin.step(name="even", rows="filter", passthrough=True, deterministic=True)
def even(input: Table) -> Table:
    table = input.to_arrow()
    return Table.from_arrow(table.filter(pc.equal(pc.bit_wise_and(table["id"], 1), 0)))


@plugin.step(name="all", rows="table", passthrough=True, deterministic=True)
def all_rows(input: Table) -> Table:
    return input
"""

QUERIES = (
    "(from input | filter price > {n})",
    "(from input | filter id > {n} || price == null)",
    "(from input | derive price = price + {n})",
    "(from input | select {{id, kind, price}} | sort {{id, kind, price}} | take {m})",
    "(from input | group {{id, kind}} (aggregate {{price = sum price}}))",
    "(from input | join sizes (==kind) | select {{id, kind, price}})",
    "(from input | join side:left sizes (==kind) | derive p = price + size | select {{id, kind, price = p}})",
    "shop.even",
    "shop.double | (from input | derive price = twice | select {{id, kind, price}})",
    "shop.all",
)

stage = st.builds(
    lambda text, n, m: text.format(n=n, m=m),
    st.sampled_from(QUERIES),
    st.integers(-5, 40),
    st.integers(1, 30),
)
rows = st.lists(
    st.tuples(
        st.integers(0, 50),
        st.sampled_from(["a", "b", "c", None]),
        st.one_of(st.none(), st.integers(-100, 100).map(float)),
    ),
    max_size=60,
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

workflow W {{
  io.parquet {{ path: "orders.parquet" }}
    > orders

{body}}}
"""


def canonical(table: pa.Table) -> list[tuple[object, ...]]:
    names = sorted(table.column_names)
    return sorted((tuple(row[n] for n in names) for row in table.to_pylist()), key=repr)


@given(text=programs(), data=rows, batch_rows=st.sampled_from([1, 3, 1000]))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_optimized_is_unoptimized_and_batches_do_not_matter(
    text: str, data: list[tuple[int, str | None, float | None]], batch_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "heddle.toml").write_text('[plugins]\n"shop" = "shop.py"\n')
        (folder / "shop.py").write_text(SHOP)
        (folder / "sizes.csv").write_text("kind,size\na,1\nb,2\nb,3\n")
        columns = list(zip(*data, strict=True)) or [(), (), ()]
        schema = pa.schema([("id", pa.int64()), ("kind", pa.string()), ("price", pa.float64())])
        table = pa.Table.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
        )
        pq.write_table(table, folder / "orders.parquet", row_group_size=16)
        (folder / "program.he").write_text(text)
        outputs = [f"t{i}" for i in range(text.count("    > t"))]
        plain = run(folder / "program.he", outputs, optimize=False)
        fast = run(folder / "program.he", outputs, optimize=True, batch_rows=batch_rows)
        assert plain.result.status == fast.result.status == "succeeded", plain.result.error
        for output in outputs:
            assert canonical(fast.outputs[output]) == canonical(plain.outputs[output]), output
