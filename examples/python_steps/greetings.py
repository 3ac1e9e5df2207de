"""A plain module: any annotated function that takes and returns a `Table` is a step."""

from typing import TypedDict

import pyarrow.compute as pc

from heddle.core import Table


class GreetConfig(TypedDict):
    word: str


def greet(config: GreetConfig, input: Table) -> Table:
    people = input.to_arrow()
    greeting = pc.binary_join_element_wise(config["word"], people["name"], " ")
    return Table.from_arrow(people.append_column("greeting", greeting))
