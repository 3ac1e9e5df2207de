"""What users read about queries that are wrong: code, place, message and cure, each reviewed by hand."""

from __future__ import annotations

import pytest

from heddle.diagnostics import Diagnostic
from tests.frontend.prql.queries import compile_one, failed

CASES: list[tuple[str, str, str, str, str | None]] = [
    (
        "filter prize > 10",
        "HD0601",
        "prize",
        "there is no column `prize` here",
        "available columns: id, user_id, amount, pieces, note, paid, day, at",
    ),
    (
        "select {id, amout}",
        "HD0601",
        "amout",
        "there is no column `amout` here",
        "did you mean `amount`? available columns: id, user_id, amount, pieces, note, paid, day, at",
    ),
    ("from order | take 3", "HD0602", "order", "there is no relation `order`", "did you mean `orders`?"),
    (
        'join users (==user_id) | filter note == "x"',
        "HD0603",
        "note",
        "`note` could be a column of more than one relation",
        "say which: `input.note` or `users.note`",
    ),
    (
        "join users (==user_id) | select {users_note}",
        "HD0601",
        "users_note",
        "there is no column `users_note` here",
        "did you mean `users.note`? available columns: id, user_id, amount, pieces, input.note, paid, day, "
        "at, users.note, Country",
    ),
    (
        "join users (==nope)",
        "HD0601",
        "==nope",
        "there is no column `input.nope` here",
        "did you mean `input.note`? available columns: id, input.user_id, amount, pieces, input.note, paid, "
        "day, at, users.user_id, users.note, Country",
    ),
    (
        'filter amount > 3 + "a"',
        "HD0605",
        '3 + "a"',
        "`+` cannot take int and string",
        'join texts with `f"{a}{b}"`; to calculate, convert first: `(x | as int)`',
    ),
    (
        "filter note > 3",
        "HD0623",
        "note > 3",
        "`>` mixes string and int",
        "convert one of them: `(x | as int)`, `(x | as text)`",
    ),
    (
        "filter pieces",
        "HD0606",
        "pieces",
        "`filter` needs a condition, and this is int",
        "compare it with something, such as `x > 0`",
    ),
    (
        "join users (pieces)",
        "HD0606",
        "pieces",
        "`join` needs a condition, and this is int",
        "compare it with something, such as `x > 0`",
    ),
    (
        "derive {x = text.lower pieces}",
        "HD0605",
        "text.lower pieces",
        "`text.lower` cannot take int",
        "convert first, such as `(x | as int)` or `(x | as text)`",
    ),
    (
        "aggregate {s = sum note}",
        "HD0605",
        "sum note",
        "`sum` cannot take string",
        "convert first, such as `(x | as int)` or `(x | as text)`",
    ),
    (
        "derive {x = note ?? 0}",
        "HD0623",
        "note ?? 0",
        "`??` mixes string and int",
        "convert one of them: `(x | as int)`, `(x | as text)`",
    ),
    (
        'derive {x = case [paid => "a", true => 1]}',
        "HD0623",
        'case [paid => "a", true => 1]',
        "`case` mixes string and int",
        "convert one of them: `(x | as int)`, `(x | as text)`",
    ),
    (
        "derive {x = (pieces | as money)}",
        "HD0605",
        "money",
        "`money` is not a type that `as` knows",
        "it knows int, float, text, bool, date, time and timestamp",
    ),
    (
        "derive {x = date.year note}",
        "HD0605",
        "note",
        "`date.year` needs a date or a timestamp, and this is a string",
        "convert first: `(x | as date)`",
    ),
    (
        "derive {x = date.day id day}",
        "HD0608",
        "date.day id day",
        "`date.day` is given more arguments than it takes",
        "put an argument that is itself a call into parentheses: `sum (math.abs x)`",
    ),
    (
        "derive {x = year day}",
        "HD0607",
        "year",
        "there is no function or transform `year`",
        "in PRQL this is `date.year`",
    ),
    (
        "derive {x = date.diff fortnight day day}",
        "HD0605",
        "fortnight",
        "`fortnight` is not a unit of time that `date.diff` knows",
        "it knows year, quarter, month, week, day, hour, minute, second, millisecond",
    ),
    (
        "select {pieces, note} | append (from users | select {user_id, user_id})",
        "HD0605",
        "select {pieces, note} | append (from users | select {user_id, user_id})",
        "the types of columns in this query do not fit together",
        "check the columns on both sides of each `append` and `join`, or try it in smaller steps",
    ),
    (
        "select {pieces} | append users",
        "HD0620",
        "select {pieces}",
        "the two relations have different numbers of columns",
        "select the same columns on both sides first, or use `append by:name`",
    ),
    (
        "from input | where pieces > 3",
        "HD0607",
        "where",
        "there is no function or transform `where`",
        "in PRQL this is `filter`",
    ),
    (
        "derive {m = avg pieces}",
        "HD0607",
        "avg",
        "there is no function or transform `avg`",
        "in PRQL this is `average`",
    ),
    (
        "derive {m = round 1 amount}",
        "HD0607",
        "round",
        "there is no function or transform `round`",
        "in PRQL this is `math.round`",
    ),
    (
        "derive {s = summ pieces}",
        "HD0607",
        "summ",
        "there is no function or transform `summ`",
        "did you mean `sum`?",
    ),
    ("take", "HD0608", "take", "`take` lacks an argument", "write `take 10`"),
    (
        "take -3",
        "HD0608",
        "take -3",
        "`take` needs a whole number from 1 on",
        "write `take 10` or `take 11..20`",
    ),
    (
        "take 2.5",
        "HD0608",
        "2.5",
        "`take` needs a whole number from 1 on, or a range of them, not `2.5`",
        "write `take 10` or `take 11..20`",
    ),
    (
        "group user_id",
        "HD0608",
        "group user_id",
        "`group` lacks an argument",
        "write `group country (aggregate {total = sum amount})`",
    ),
    ("sort", "HD0608", "sort", "`sort` lacks an argument", "write `sort {-amount, name}`"),
    (
        "select {id, pieces",
        "HD0604",
        "(select {id, pieces)",
        "the query ends too early",
        "something is missing at its end",
    ),
    ("select id)", "HD0604", ")", "`)` does not fit here", "something is missing before `)`"),
    (
        "filter pieces > | take 3",
        "HD0604",
        "|",
        "`|` does not fit here",
        "transforms are separated by `|` or a line break",
    ),
    (
        "filter pieces == 'a",
        "HD0604",
        "'",
        "`'` does not fit here",
        "a string is closed with the quote that opened it",
    ),
    (
        "select *",
        "HD0608",
        "*",
        "`*` needs the name of a relation in front",
        "all columns are there without a `select`; `select {t.*}` keeps those of one relation",
    ),
    (
        "select {n = count(*)}",
        "HD0608",
        "*",
        "`*` is not an argument of `count`",
        "count rows with `count this`",
    ),
    (
        'filter note like "a%"',
        "HD0608",
        'filter note like "a%"',
        "`like` is a word of SQL, not of PRQL",
        'write `name ~= "^a"` with a regular expression, or `text.starts_with "a" name`',
    ),
    (
        "filter pieces between 1 and 3",
        "HD0608",
        "filter pieces between 1 and 3",
        "`between` is a word of SQL, not of PRQL",
        "write `x | in 1..10`",
    ),
    (
        "filter sum pieces > 3",
        "HD0608",
        "pieces",
        "`pieces` cannot be read here: it stands outside of the call it belongs to",
        "put the call that takes `pieces` into parentheses: `(sum pieces)`",
    ),
    (
        "derive {x = sum pieces / count this}",
        "HD0608",
        "sum pieces / count this",
        "`sum` is given more arguments than it takes",
        "put an argument that is itself a call into parentheses: `sum (math.abs x)`",
    ),
    (
        'derive {x = f"{pieces + 1}"}',
        "HD0604",
        " ",
        'only names of columns stand in the braces of `f"…{name}…"`',
        "compute the value with `derive` first, then put its name there",
    ),
    (
        "derive {x = id pieces}",
        "HD0607",
        "id",
        "`id` is not a function, so it takes no arguments",
        'join two values with an operator, or with `f"{a}-{b}"`; `f x` calls the function `f`',
    ),
    (
        "join side:outer users (==user_id)",
        "HD0608",
        "outer",
        "`outer` is not a side of a join",
        "it is `inner`, `left`, `right` or `full`",
    ),
    (
        "from loose | join stream2=stream",
        "HD0615",
        "join stream2=stream",
        "this join has no condition, and no column is known to be on both sides to join `stream2` on",
        "say what must be equal: `join stream2 (==id)` or `join stream2 (input.id == stream2.user_id)`",
    ),
    (
        "from loose | join users",
        "HD0615",
        "join users",
        "this join has no condition, and no column is known to be on both sides to join `users` on",
        "say what must be equal: `join users (==id)` or `join users (input.id == users.user_id)`",
    ),
    (
        'filter s"pieces > 1"',
        "HD0609",
        's"pieces > 1"',
        'raw SQL (`s"…"`) is not allowed in a query',
        "use PRQL's functions; for a database's own SQL, make it a step, such as `pg.query`",
    ),
    (
        "prql target:sql.mssql\nfrom input",
        "HD0610",
        "prql target:sql.mssql\n",
        "a query has no `prql` header: where it runs is the engine's choice",
        "take the line out",
    ),
    (
        'from (read_csv "x.csv")',
        "HD0611",
        'read_csv "x.csv"',
        "`read_csv` is not allowed in a query: a query reaches only its inputs",
        'read the file at the head of a statement: `io.csv { path: "…" }`',
    ),
    (
        "from [{a = 1}]",
        "HD0618",
        "from [{a = 1}]",
        "rows cannot be written inside a query",
        "write them as a table at the head of the statement: `[ { a: 1 } ] | (from input | …)`",
    ),
    (
        'from_text "a,b"',
        "HD0618",
        'from_text "a,b"',
        "rows cannot be written inside a query",
        "write them as a table at the head of the statement: `[ { a: 1 } ] | (from input | …)`",
    ),
    (
        "module m { let a = 1 }\nfrom input",
        "HD0612",
        "module m { let a = 1 }",
        "a query has no modules of its own",
        "declare functions with `let` right in the query",
    ),
    (
        "from input | into b",
        "HD0612",
        "from input | into b",
        "`into b` names nothing outside of the query",
        "write `> b` behind the query's `)`",
    ),
    (
        "filter pieces > $1",
        "HD0613",
        "$1",
        "`$1` is a parameter of SQL, and a query in a program has none",
        "compare with a column, or write the value",
    ),
    (
        "filter pieces > 3; take 2",
        "HD0624",
        ";",
        "`;` has no meaning in a query",
        "transforms are separated by `|` or a line break",
    ),
    ("filter note == “gift”", "HD0624", "“", "`“` has no meaning in a query", 'write `"`'),
    (
        "# nothing",
        "HD0622",
        "(# nothing)",
        "the query is empty",
        "write what it does, such as `(from input | filter amount > 0)`",
    ),
    (
        "let f = x -> x + 1",
        "HD0622",
        "let f = x -> x + 1",
        "the query declares things and then ends without using them",
        "end it with a pipeline, such as `from input | …`",
    ),
    (
        "filter day > @2024-13-01",
        "HD0604",
        "@2024-13-01",
        "`@2024-13-01` is not a date",
        "write `@2026-01-31` or `@2026-01-31T10:00:00`",
    ),
    (
        "filter pieces == [1, 2]",
        "HD0605",
        "[1, 2]",
        "a list of values can only stand behind `in`",
        "write `(x | in [1, 2, 3])`",
    ),
    (
        "derive {x = 1e400}",
        "HD0604",
        "derive {x = 1e400}",
        "a number in this query is too big",
        "the largest is about 1.8e308",
    ),
    (
        "derive {x = (from users | aggregate {n = max user_id})}",
        "HD0621",
        "from users",
        "rows of another relation cannot stand where a value stands",
        "make it a query of its own, or `join` its result",
    ),
    (
        "window rolling:pieces (derive {s = sum amount})",
        "HD0608",
        "pieces",
        "`rolling` needs a whole number, not `pieces`",
        "`rolling` and `expanding` take fixed values: `window rolling:3 (…)`, `window expanding:true (…)`",
    ),
    (
        "group user_id { aggregate {n = count this} }",
        "HD0605",
        "{ aggregate {n = count this} }",
        "`group` needs transform here, and this is several columns",
        "write `group country (aggregate {total = sum amount})`",
    ),
    (
        "group user_id (aggregate {n = sum prize})",
        "HD0601",
        "prize",
        "there is no column `prize` here",
        "available columns: id, amount, pieces, note, paid, day, at",
    ),
    (
        "intersect users",
        "HD0620",
        "intersect users",
        "columns in the same place have different types on the two sides: int and string",
        "select the same columns on both sides first, in the same order",
    ),
    (
        "from loose | append by:name users",
        "HD0620",
        "append by:name users",
        "`append by:name` needs to know the columns of both sides, and one of them is open",
        "select the columns on both sides first",
    ),
    (
        "derive {größe = 1} | select {grosse}",
        "HD0601",
        "grosse",
        "there is no column `grosse` here",
        "available columns: id, user_id, amount, pieces, note, paid, day, at, größe",
    ),
    (
        'derive {x = "größe" + 1}',
        "HD0605",
        '"größe" + 1',
        "`+` cannot take string and int",
        'join texts with `f"{a}{b}"`; to calculate, convert first: `(x | as int)`',
    ),
    (
        "from nothing.here | take 1",
        "HD0602",
        "nothing.here",
        "there is no relation `nothing.here`",
        "name an assigned result, a step, or `Workflow.output`",
    ),
    (
        "aggregate {sum}",
        "HD0608",
        "sum",
        "`sum` lacks its argument",
        "write `sum amount`, or `sum this` for whole rows",
    ),
    (
        "from input from users",
        "HD0608",
        "(from input from users)",
        "`from` is given more arguments than it takes",
        "transforms are separated by `|`, a list stands in braces, a call inside in parentheses",
    ),
    ("filter\n  prize > 10", "HD0608", "filter", "`filter` lacks an argument", "write `filter amount > 0`"),
    (
        "join users (user_id == user_id)",
        "HD0603",
        "user_id",
        "`user_id` could be a column of more than one relation",
        "say which: `input.user_id` or `users.user_id`",
    ),
    (
        'derive {x = day + "a"}',
        "HD0605",
        'day + "a"',
        "`+` cannot take date and string",
        'join texts with `f"{a}{b}"`; to calculate, convert first: `(x | as int)`',
    ),
    (
        "sort {-nope}",
        "HD0601",
        "nope",
        "there is no column `nope` here",
        "did you mean `note`? available columns: id, user_id, amount, pieces, note, paid, day, at",
    ),
]


def _text_at(diagnostic: Diagnostic) -> str:
    return diagnostic.source.text[diagnostic.span.start : diagnostic.span.end]


@pytest.mark.parametrize(
    ("text", "code", "place", "message", "help"), CASES, ids=[case[0].replace("\n", " ") for case in CASES]
)
def test_message(text: str, code: str, place: str, message: str, help: str | None) -> None:
    first = failed(text).diagnostics[0]
    assert (first.code, _text_at(first), first.message, first.help) == (code, place, message, help)


@pytest.mark.parametrize("text", [case[0] for case in CASES])
def test_no_engine_speaks(text: str) -> None:
    """No box drawings, no names of libraries or of what Heddle put into the query, no Rust or SQL types."""
    for diagnostic in failed(text).diagnostics:
        words = f"{diagnostic.message} {diagnostic.help}"
        for foreign in (
            "_heddle_",
            "default_db",
            "Utf8",
            "Int64",
            "Error",
            "std.",
            "_expr",
            "\u2502",
            "\u256d",
        ):
            assert foreign not in words


def test_several_mistakes_are_told_at_once() -> None:
    found = failed('filter s"a" | filter s"b" | take $1').diagnostics
    assert [d.code for d in found] == ["HD0609", "HD0609", "HD0613"]


def test_a_place_behind_a_line_break_and_after_letters_beyond_ascii() -> None:
    (found,) = failed("derive {größe = 1, 漢 = 2}\nfilter größe > 漢\nselect {größe, nope}").diagnostics
    assert _text_at(found) == "nope"


def test_a_place_in_a_text_that_was_normalised() -> None:
    (found,) = failed("from input filter prize > 10 select id, amount").diagnostics
    assert (found.code, _text_at(found)) == ("HD0601", "prize")


def test_a_near_name_comes_with_a_fix() -> None:
    (found,) = failed("select {id, amout}").diagnostics
    assert found.fix is not None
    assert found.fix.edits == ((found.span, "amount"),)


def test_a_column_without_a_name_gets_one_with_a_warning() -> None:
    result = compile_one("aggregate {sum pieces, count this, n = count this}")
    assert [(d.code, d.severity, _text_at(d)) for d in result.diagnostics] == [
        ("HD0617", "warning", "sum pieces"),
        ("HD0617", "warning", "count this"),
    ]
