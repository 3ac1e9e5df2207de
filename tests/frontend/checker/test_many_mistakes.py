"""Independent mistakes in one program are all reported, each once, and nothing follows from them."""

from __future__ import annotations

from heddle.diagnostics import Diagnostic
from tests.frontend.checker.checked import check

TEN_MISTAKES = """\
import "./stepps" gone
import "./steps" steps
import "team/shop" shop

resource desk = shop.till { drawer: 3 }

handler park {
  *
    | io.stderr
}

workflow Orders ? pork {
  [
    { id: 1, amount: 2.5 }
    { id: 2, amount: "free" }
  ]
    > orders

  orders
    | gone.clean
    | (from input | select {id, amount, anything})
    | shop.price { rate: 2 } ! { retyr: 3 }
    > priced

  (from ordrs | filter id > 1 | select {id, name})
    | (from input | filter name == "x")
    > some

  (from orders | select {id, amuont})
    | (from input | sort amuont)
    > columns

  [
    { id: "one", amount: 2.5 }
  ]
    | shop.price { rate: 2 }
    | (from input | select {price})
    > typed

  orders
    | shop.add_price { rate: 3 }
    | <till=dask> shop.ship

  orders
    | <till=desk> shop.ship

  orders
    | steps.same ? park
    > priced

  (from priced | join some (==id))
    | io.print
}
"""

TEN_PLACES = [
    ("HD0401", '"./stepps"'),
    ("HD0702", "3"),
    ("HD0304", "pork"),
    ("HD0503", '"free"'),
    ("HD0705", "retyr"),
    ("HD0301", "ordrs"),
    ("HD0601", "amuont"),
    ("HD0502", "shop.price { rate: 2 }"),
    ("HD0303", "dask"),
    ("HD0307", "priced"),
]


def places(text: str) -> list[tuple[str, str]]:
    return [(d.code, at(d)) for d in check(text).diagnostics]


def at(diagnostic: Diagnostic) -> str:
    return diagnostic.source.text[diagnostic.span.start : diagnostic.span.end]


def test_ten_independent_mistakes_are_reported_each_once() -> None:
    assert len(TEN_PLACES) == 10
    assert places(TEN_MISTAKES) == TEN_PLACES


def test_without_the_mistakes_there_is_no_finding() -> None:
    text = TEN_MISTAKES
    for wrong, right in (
        ("./stepps", "./steps"),
        ("gone.clean", "gone.same"),
        ("drawer: 3", 'drawer: "top"'),
        ("? pork", "? park"),
        ('"free"', "0"),
        ("select {id, amount, anything}", "select {id = s_id, amount = s_amount}"),
        ("retyr: 3", "retry: 3"),
        ("ordrs | filter id > 1 | select {id, name}", "orders | filter id > 1 | select {id, name = 'x'}"),
        ("amuont", "amount"),
        ('"one"', "1"),
        ("dask", "desk"),
        ("steps.same ? park\n    > priced", "steps.same ? park\n    > again"),
    ):
        assert wrong in text
        text = text.replace(wrong, right)
    assert places(text) == []


def test_what_a_syntax_error_hides_is_no_second_mistake() -> None:
    text = """\
import "./steps" steps
import "team/shop" shop

resource desk = shop.till { drawer "top" }

workflow A {
  [
    { id: 1 }
  ]
    | steps.same {{ }
    > rows

  rows
    | <till=desk> shop.ship
}

workflow B {
  A.rows
    | io.print

  (from A.rows | take 1)
    | io.print
}
"""
    found = check(text).diagnostics
    assert found
    assert {d.code[:4] for d in found} == {"HD01"}


def test_an_unknown_module_is_reported_at_its_import_only() -> None:
    text = """\
import "fhub/postgresqll" pg

resource db = pg.connection { host: "db" }
policy careful { retry: 3 }
step users = <connection=db> pg.query { query: "SELECT id FROM users WHERE id = @id" }

workflow W {
  users ! careful
    | (from input | select {id})
    | io.print

  [
    { id: 1 }
  ]
    | (from input | join users (==id))
    | pg.insert { table: "t" }
}
"""
    assert places(text) == [("HD0401", '"fhub/postgresqll"')]
