"""The step that the fraud program calls: scores amounts, round ones higher; fails for negative ones."""

import pyarrow.compute as pc

from heddle.core.step import StepConfig
from heddle.core.table import Table
from heddle.sdk.plugin import Plugin


class Transactions(Table):
    user_id: int
    amount: float


class Scored(Table):
    user_id: int
    amount: float
    score: float


plugin = Plugin(namespace="fraud-score/detect")


@plugin.step(name="process", rows="map", deterministic=True)
def process(config: StepConfig, input: Transactions) -> Scored:
    table = input.to_arrow()
    if pc.any(pc.less(table["amount"], 0.0)).as_py():
        raise ValueError("negative amount")
    round_number = pc.equal(pc.round(table["amount"], ndigits=-3), table["amount"])
    score = pc.add(
        pc.divide(pc.min_element_wise(table["amount"], 1e6), 1e6), pc.if_else(round_number, 0.25, 0.0)
    )
    return Scored.from_arrow(table.append_column("score", score))


if __name__ == "__main__":
    plugin.serve()
