"""Cold start: from the start of a process to the result of three trivial steps, against other orchestrators.

`python -m benchmarks.cold [--repeats N] [--peers dagster,kedro]` runs `heddle run hello.he`, a script that
does the same with pyarrow, prqlc and DataFusion (the floor), and the same three steps in Hamilton, Kedro,
Dagster, Prefect and dbt with DuckDB. Each has an environment of its own; a peer's is made under
`.cache/peers` at its first use. In each round each of them starts twice, and the second start counts: what
is cold is the process, not the disk. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack

from benchmarks import hello
from benchmarks.harness import Side, interleaved
from benchmarks.peers import BY_NAME, NotInstalled, Peer, python_of
from benchmarks.sheet import Goal, Sheet, arguments, picked

REPEATS = 5
FLOOR_ROUNDS = 3
"""The floor is near, so it takes more rounds; a round with all peers takes half a minute."""
FLOOR = "by hand"
GOALS = {FLOOR: Goal(1.6), "dagster": Goal(6, at_least=True), "prefect": Goal(25, at_least=True)}


def main() -> None:
    parser = arguments(__doc__, repeats=REPEATS)
    names = tuple(BY_NAME)
    parser.add_argument(
        "--peers", type=picked(*names), default=names, help=f"some of {','.join(names)} (all)"
    )
    options = parser.parse_args()
    sheet = Sheet()
    with ExitStack() as stack:
        heddle, by_hand = map(second_of_two, stack.enter_context(hello.sides()))
        sides: dict[str, Side] = {"heddle": heddle}
        for name in options.peers:
            try:
                sides[name] = second_of_two(peer_side(BY_NAME[name]))
            except NotInstalled as reason:
                sheet.skip(name, str(reason))
        floor = interleaved({"heddle": heddle, FLOOR: by_hand}, repeats=FLOOR_ROUNDS * options.repeats)
        seconds = interleaved(sides, repeats=options.repeats, warm_ups=0)
    title = "time over the floor's"
    sheet.ratio("floor", title, floor["heddle"], floor[FLOOR], named=FLOOR, goal=GOALS[FLOOR])
    heddle_s = seconds.pop("heddle")
    for name, taken in seconds.items():
        sheet.speed_up(name, f"times as fast as {name}", heddle_s, taken, named=name, goal=GOALS.get(name))
    sheet.show()


def second_of_two(side: Side) -> Side:
    """A round takes half a minute, in which a machine may take the pages of a side's libraries back."""

    def second() -> float:
        side()
        return side()

    return second


def peer_side(peer: Peer) -> Side:
    """Raises `NotInstalled`. Each run gets an empty folder, which only dbt has a use for."""
    python = python_of(peer)

    def side() -> float:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(python), str(peer.hello), folder]
            return hello.first_row(command, {"DO_NOT_TRACK": "1", **peer.environ})()

    return side


if __name__ == "__main__":
    main()
