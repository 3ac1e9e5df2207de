"""A plugin whose lookups ask SQLite, once for all tuples of a call, and note what they were asked."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.resource import Resource
from heddle.core.statements import parameter_names, with_placeholders
from heddle.core.step import StepConfig, StepContext, Transient
from heddle.core.table import Table
from heddle.sdk import LOOKUP_KEY, LookupCacheConfig, Plugin, RowText, Statement

plugin = Plugin(namespace="lite")


class FileConfig(LookupCacheConfig):
    path: str


class QueryConfig(StepConfig[FileConfig]):
    query: Statement
    schema: RowText
    fail: str = ""


class File(Resource):
    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def ask(self, sql: str, tuples: list[dict[str, ConfigValue]]) -> list[dict[str, ConfigValue]]:
        """The rows for every tuple, with the tuple's number."""
        with sqlite3.connect(self.path) as db, (self.path.parent / "log.jsonl").open("a") as log:
            db.row_factory = sqlite3.Row
            log.write(json.dumps([sql, tuples]) + "\n")
            return [
                dict(row) | {LOOKUP_KEY: n}
                for n, values in enumerate(tuples)
                for row in db.execute(sql, values)
            ]


@plugin.resource(name="file")
def file(config: FileConfig) -> File:
    return File(config.path)


@plugin.step(
    name="query",
    resource="file",
    rows="flat",
    effect=False,
    idempotent=True,
    lookup=True,
    sql="sqlite",
    infer=lambda config: config.schema,
)
def query(config: QueryConfig, input: Table | None, context: StepContext) -> Table:
    names = parameter_names(config.query)
    asked = [dict(context.parameters)] if input is None else input.to_pylist()
    if input is not None:
        assert set(input.column_names) <= set(names)
        asked = [dict(context.parameters) | row for row in asked]
        if config.fail == "once" and context.attempt == 1:
            raise Transient("not yet")
        if config.fail == "always":
            raise ValueError("no such luck")
    rows = config.resource.ask(with_placeholders(config.query, lambda name: f":{name}"), asked)
    columns = [*config.schema, LOOKUP_KEY] if input is not None else list(config.schema)
    return Table.from_arrow(pa.table({name: [row[name] for row in rows] for name in columns}))


class Buyer(Table):
    user_id: int


class Score(Table):
    score: int


class Scored(Table):
    user_id: int
    score: int


class Pair(Table):
    user_id: int
    day: int


@plugin.step(name="score", rows="map", deterministic=True)
def score(input: Buyer, context: StepContext) -> Score:
    """Row i of what it gives belongs to row i of what it gets; nothing else tells."""
    context.metric("scored", len(input))
    return Score.from_pylist([{"score": row["user_id"] * 10} for row in input.to_pylist()])


@plugin.step(name="choosy", rows="map", deterministic=True)
def choosy(input: Buyer, context: StepContext) -> Score:
    rows = input.to_pylist()
    context.reject([row["user_id"] > 5 for row in rows], "too high")
    return Score.from_pylist([{"score": row["user_id"] * 10} for row in rows])


@plugin.step(name="pair_score", rows="map", deterministic=True)
def pair_score(input: Pair) -> Score:
    return Score.from_pylist([{"score": row["user_id"] + row["day"]} for row in input.to_pylist()])


@plugin.step(name="twice", rows="table", deterministic=True)
def twice(input: Buyer) -> Scored:
    rows = input.to_pylist()
    return Scored.from_pylist([{**row, "score": n} for row in rows for n in (1, 2) if row["user_id"] < 5])


@plugin.step(name="lost", rows="flat", deterministic=True)
def lost(input: Pair) -> Scored:
    return Scored.from_pylist([{"user_id": row["user_id"], "score": 1} for row in input.to_pylist()])
