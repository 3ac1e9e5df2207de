"""What travels past a chain of steps: columns that none of them takes stay here and come back behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from heddle.core.link import Link
from heddle.core.record import record
from heddle.logical.plan import Member


@record(frozen=True, slots=True)
class Part:
    """Neighbouring members of a chain that go in one call. `sends` are the columns of their input that the
    call needs, `links` are those of the members for what is sent."""

    members: tuple[Member, ...]
    sends: frozenset[str]
    links: tuple[Link, ...]

    def sent(self, table: pa.Table) -> pa.Table:
        columns = {name: table.column(name) for name in table.column_names if name in self.sends}
        return pa.table(columns) if columns else table.select([])

    def behind(self, table: pa.Table, output: pa.Table, done: int) -> pa.Table | None:
        """The table behind the first `done` members, of the part's input and what the call gave; None when
        that is not what their links say."""
        link = self.members[done - 1].link
        travels = all(m.step.call.signature.passthrough for m in self.members[:done])
        columns: list[pa.ChunkedArray] = []
        for field in link.gives:
            own = field.name in output.column_names
            if not own and not (travels and field.name in table.column_names):
                return None
            column = (output if own else table).column(field.name)
            if not column.type.equals(field.type) or len(column) != output.num_rows:
                return None
            columns.append(column)
        if not columns:
            return output.select([])
        return pa.Table.from_arrays(columns, schema=link.gives)


def part_of(members: Sequence[Member]) -> Part:
    """`members` are neighbours. Columns stay here only where the rows are those of the input."""
    sends: set[str] = set()
    travelled = 0
    for member in members:
        sends.update(member.link.takes.names)
        if not member.step.call.signature.passthrough:
            break
        travelled += 1
    there = set(sends)
    links: list[Link] = []
    for member in members[:travelled]:
        there |= member.link.returns
        stays = [field for field in member.link.gives if field.name not in there]
        links.append(_without(member.link, stays) if stays else member.link)
    links += [member.link for member in members[travelled:]]
    return Part(tuple(members), frozenset(sends), tuple(links))


def _without(link: Link, fields: Sequence[pa.Field]) -> Link:
    return replace(link, gives=pa.schema([field for field in link.gives if field not in fields]))
