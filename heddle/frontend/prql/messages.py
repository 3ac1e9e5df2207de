"""What prqlc says about a query, in Heddle's words and at the program's place.

Each kind of error that prqlc has is a pattern over its reason with a function that makes the diagnostic.
What no pattern knows becomes HD0699, which still names the place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from heddle.core.record import record
from heddle.diagnostics import Diagnostic, Fix, Span, did_you_mean
from heddle.frontend.prql.edited import EditedText, unspelled
from heddle.frontend.prql.expressions import DATE_PARTS
from heddle.frontend.prql.native import PrqlError, PrqlFailure
from heddle.frontend.prql.request import QueryRequest
from heddle.frontend.prql.tree import HIDDEN
from heddle.frontend.prql.words import TRANSFORMS, USAGE, scan

FUNCTIONS: Final = (
    *("min", "max", "sum", "average", "stddev", "all", "any", "count", "count_distinct", "concat_array"),
    *("lag", "lead", "first", "last", "rank", "rank_dense", "row_number", "as", "in", "concat"),
    *(
        f"math.{f}"
        for f in ("abs", "floor", "ceil", "pi", "exp", "ln", "log10", "log", "sqrt", "pow", "round")
    ),
    *(f"math.{f}" for f in ("degrees", "radians", "cos", "acos", "sin", "asin", "tan", "atan")),
    *(f"text.{f}" for f in ("lower", "upper", "ltrim", "rtrim", "trim", "length", "extract", "replace")),
    *(f"text.{f}" for f in ("starts_with", "contains", "ends_with")),
    *(f"date.{f}" for f in ("now", "to_text", "diff", "trunc", *DATE_PARTS)),
)

SQL_WORDS: Final = {
    "avg": "average", "mean": "average", "lower": "text.lower", "upper": "text.upper", "trim": "text.trim",
    "length": "text.length", "len": "text.length", "substring": "text.extract", "substr": "text.extract",
    "replace": "text.replace", "round": "math.round", "abs": "math.abs", "floor": "math.floor",
    "ceil": "math.ceil", "sqrt": "math.sqrt", "pow": "math.pow", "power": "math.pow", "now": "date.now",
    "where": "filter", "limit": "take", "order": "sort", "orderby": "sort", "order_by": "sort",
    "groupby": "group", "group_by": "group", "union": "append", "having": "filter", "with": "derive",
    "except": "remove", "distinct": "group", "head": "take", "top": "take", "project": "select",
    "mutate": "derive", "summarize": "aggregate", "coalesce": "??", "if": "case", "ifnull": "??",
    "year": "date.year", "quarter": "date.quarter", "month": "date.month", "week": "date.week",
    "day": "date.day", "hour": "date.hour", "minute": "date.minute", "second": "date.second",
    "dayofweek": "date.weekday", "dayofyear": "date.day_of_year", "std": "stddev",
    "nunique": "count_distinct", "strlen": "text.length", "contains": "text.contains",
}  # fmt: skip
"""What people know from elsewhere, and what it is called in PRQL."""

_SHOWN_MAX: Final = 20


@record(frozen=True, slots=True)
class _Found:
    code: str
    message: str
    help: str | None = None
    fix: Fix | None = None


@record(frozen=True, slots=True)
class Messages:
    """`columns` are the names that the query's inputs are known to have."""

    request: QueryRequest
    text: EditedText
    columns: Sequence[str]

    def of_failure(self, failure: PrqlFailure) -> tuple[Diagnostic, ...]:
        return (self._of(failure.first),)

    def _of(self, error: PrqlError) -> Diagnostic:
        span = self._span(error)
        for pattern, translate in _TRANSLATIONS:
            if match := pattern.search(error.reason):
                found = translate(self, error, match, span)
                break
        else:
            found = _Found(
                "HD0699",
                "this part of the query cannot be compiled",
                "try it in smaller steps, with a `derive` or a `filter` for each",
            )
        return Diagnostic(
            found.code, "error", found.message, self.request.source, span, found.help, found.fix
        )

    def _span(self, error: PrqlError) -> Span:
        body = self.request.query.body
        if error.end <= error.start:
            return body
        if error.end - error.start >= len(self.text.text):
            return self.request.query.span
        span = self.text.span(error.start, error.end)
        return span if span.end > span.start else Span(span.start, min(span.start + 1, body.end))

    def written(self, error: PrqlError) -> str:
        return unspelled(self.text.text[error.start : error.end]).strip()

    # --- names ------------------------------------------------------------------------------

    def unknown_name(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        name = _visible(unspelled(match["name"]))
        if name.startswith("default_db."):
            name = name.removeprefix("default_db.")
            return _Found("HD0602", f"there is no relation `{name}`", "name an assigned result or a step")
        called = self._calls(error)
        if called is not None:
            return self._unknown_function(called, span)
        if name in FUNCTIONS:
            help = f"write `{name} amount`, or `{name} this` for whole rows"
            return _Found("HD0608", f"`{name}` lacks its argument", help)
        known = self._available(error)
        if name in known:
            help = f"put the call that takes `{name}` into parentheses: `(sum {name})`"
            return _Found(
                "HD0608", f"`{name}` cannot be read here: it stands outside of the call it belongs to", help
            )
        last = name.rsplit(".", 1)[-1]
        near = self._near(name, last, known)
        shown = _shown(known)
        help = " ".join(
            part
            for part in (
                f"did you mean `{near}`?" if near else "",
                f"available columns: {shown}" if shown else "",
            )
            if part
        )
        fix = Fix(f"write `{near}`", ((span, near),)) if near else None
        return _Found("HD0601", f"there is no column `{name}` here", help or None, fix)

    def unknown_relation(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        help = "a relation's name is what stands behind `from` or `join`, or its alias in `t=orders`"
        return _Found("HD0602", f"this query reads no relation `{_visible(match['name'])}`", help)

    def pattern(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        return _Found(
            "HD0608", "`in` needs a range or a list", "write `(x | in 1..10)` or `(x | in [1, 2, 3])`"
        )

    def _near(self, name: str, last: str, known: Sequence[str]) -> str | None:
        """The known name that was meant; `users_name` behind a join is `users.name`."""
        joined = next((k for k in known if k.replace(".", "_", 1) == name), None)
        if joined is not None:
            return joined
        short = {k.rsplit(".", 1)[-1]: k for k in reversed(known)}
        near = did_you_mean(last, list(short))
        if near is None:
            return None
        counts = sum(1 for k in known if k.rsplit(".", 1)[-1] == near)
        return near if counts == 1 and "." not in name else short[near]

    def _calls(self, error: PrqlError) -> str | None:
        """The function's name when the error is at a name that is called with arguments."""
        words = [w for w in scan(self.text.text) if w.kind != "line"]
        at = next((i for i, w in enumerate(words) if w.start == error.start), None)
        if at is None:
            return None
        end = next((i for i in range(at, len(words)) if words[i].end >= error.end), at)
        name = self.written(error)
        if name in SQL_WORDS and name not in self.columns:
            return name
        after = words[end + 1] if end + 1 < len(words) else None
        if after is None or self._on_new_line(words[end].end, after.start):
            return None
        opens = after.kind in ("name", "number", "string", "fstring") or after.is_mark("(", "{", "[")
        return name if opens and after.text not in TRANSFORMS | {"and", "or", "is"} else None

    def _on_new_line(self, start: int, end: int) -> bool:
        return "\n" in self.text.text[start:end]

    def _unknown_function(self, name: str, span: Span) -> _Found:
        in_prql = SQL_WORDS.get(name.lower())
        near = in_prql or did_you_mean(name, [*FUNCTIONS, *TRANSFORMS])
        if near is None:
            near = next((f for f in FUNCTIONS if f.rsplit(".", 1)[-1] == name), None)
        help = (
            f"did you mean `{near}`?"
            if near
            else "functions are `sum`, `text.lower`, `math.round` and others"
        )
        if in_prql:
            help = f"in PRQL this is `{in_prql}`"
        return _Found("HD0607", f"there is no function or transform `{name}`", help)

    def ambiguous(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        name = self.written(error)
        hint = next((h for h in error.hints if h.startswith("could be any of: ")), "")
        choices = [_visible(c) for c in unspelled(hint).removeprefix("could be any of: ").split(", ") if c]
        choices = [c for c in sorted(set(choices)) if not c.startswith(HIDDEN) and "_param." not in c]
        options = " or ".join(f"`{c}`" for c in choices)
        help = f"say which: {options}" if options else "put the relation's name in front"
        return _Found("HD0603", f"`{name}` could be a column of more than one relation", help)

    def _available(self, error: PrqlError) -> list[str]:
        hint = next((h for h in error.hints if h.startswith("available columns: ")), None)
        if hint is None:
            return list(self.columns)
        names = [_visible(n) for n in unspelled(hint).removeprefix("available columns: ").split(", ")]
        names = [n for n in names if HIDDEN not in n]
        short = [n.rsplit(".", 1)[-1] for n in names]
        return [s if short.count(s) == 1 else n for s, n in zip(short, names, strict=True)]

    # --- syntax -----------------------------------------------------------------------------

    def syntax(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        written = unspelled(self.text.text[error.start : error.end]).strip()
        if "before the end" in error.reason or error.end - error.start >= len(self.text.text):
            return _Found("HD0604", "the query ends too early", "something is missing at its end")
        if "':', or '}'" in error.reason:
            message = 'only names of columns stand in the braces of `f"…{name}…"`'
            return _Found("HD0604", message, "compute the value with `derive` first, then put its name there")
        if written == ",":
            help = "a list stands in braces, `select {a, b}`; arguments are separated by spaces, `f a b`"
        elif written in ("'", '"'):
            help = "a string is closed with the quote that opened it"
        elif written == "=":
            help = "compare with `==`; `name = value` gives a name"
        elif written == "@":
            help = "a date is written `@2026-01-31`"
        elif written in (")", "}", "]"):
            help = f"something is missing before `{written}`"
        else:
            help = "transforms are separated by `|` or a line break"
        shown = f"`{written}` does not fit here" if written else "the query is not complete here"
        return _Found("HD0604", shown, help)

    # --- functions --------------------------------------------------------------------------

    def too_many(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        name = match["name"].removeprefix("std.")
        name = f"date.{name}" if name in DATE_PARTS else name
        sql = re.search(r"\b(like|between|in|is)\b", self.written(error))
        if sql and name == "filter":
            return _Found("HD0608", f"`{sql[1]}` is a word of SQL, not of PRQL", _CONDITIONS[sql[1]])
        help = "put an argument that is itself a call into parentheses: `sum (math.abs x)`"
        if name in TRANSFORMS:
            help = "transforms are separated by `|`, a list stands in braces, a call inside in parentheses"
        return _Found("HD0608", f"`{name}` is given more arguments than it takes", help)

    def missing_argument(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        hint = next((h for h in error.hints if h.startswith("Argument might be missing")), "")
        named = re.search(r"function ([\w.]+)\?", hint)
        if named is None:
            return _Found(
                "HD0608", "a function in this query lacks an argument", "write `sum amount`, not `sum`"
            )
        name = named[1].removeprefix("std.")
        return _Found("HD0608", f"`{name}` lacks an argument", USAGE.get(name))

    def lacking(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        written = self.written(error)
        if written in FUNCTIONS:
            help = f"write `{written} amount`, or `{written} this` for whole rows"
            return _Found("HD0608", f"`{written}` lacks its argument", help)
        if written.startswith("aggregate"):
            help = "make it a query of its own, or `join` its result"
            return _Found("HD0621", "rows of another relation cannot stand where a value stands", help)
        return _Found("HD0699", f"`{written}` cannot stand here", "try it in smaller steps")

    def wildcard(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        if "count" in self.text.text[: error.start].rsplit("{", 1)[-1]:
            return _Found("HD0608", "`*` is not an argument of `count`", "count rows with `count this`")
        help = "all columns are there without a `select`; `select {t.*}` keeps those of one relation"
        return _Found("HD0608", "`*` needs the name of a relation in front", help)

    def too_big(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        return _Found("HD0604", "a number in this query is too big", "the largest is about 1.8e308")

    def rows_wanted(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        help = (
            "`rolling` and `expanding` take fixed values: `window rolling:3 (…)`, `window expanding:true (…)`"
        )
        return _Found("HD0608", f"`{match['name']}` needs a whole number, not `{self.written(error)}`", help)

    def not_a_function(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        written = self.written(error)
        help = 'join two values with an operator, or with `f"{a}-{b}"`; `f x` calls the function `f`'
        if re.search(rf"\blet +{re.escape(written)}\b", self.text.text):
            help = f"a column is called `{written}` too; give the function another name"
        return _Found("HD0607", f"`{written}` is not a function, so it takes no arguments", help)

    def take(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        written = self.written(error).removeprefix("take").strip()
        message = f"`take` needs a whole number from 1 on, or a range of them, not `{written}`"
        return _Found("HD0608", message, "write `take 10` or `take 11..20`")

    def append(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        help = "select the same columns on both sides first, or use `append by:name`"
        return _Found("HD0620", "the two relations have different numbers of columns", help)

    def wrong_type(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        function = match["function"].removeprefix("std.")
        expected, found = _type_word(match["expected"]), _type_word(match["found"])
        function = _OPERATORS.get(function, function)
        if function == "main":
            return _Found("HD0608", f"the query gives {found}, and not rows", "start with `from`")
        message = f"`{function}` needs {expected} here, and this is {found}"
        return _Found("HD0605", message, USAGE.get(function))

    def assignment(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        help = "compare with `==`; to name a column, write `derive {name = value}`"
        return _Found("HD0604", f"`{unspelled(match['name'])} = …` names nothing here", help)

    def self_equality(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        help = "write `(==id)`, or `(input.id == users.id)` for columns with different names"
        return _Found("HD0604", "`==` without a left side needs the plain name of a column", help)

    def side(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        help = "it is `inner`, `left`, `right` or `full`"
        return _Found("HD0608", f"`{self.written(error)}` is not a side of a join", help)

    def named_argument(self, error: PrqlError, match: re.Match[str], span: Span) -> _Found:
        return _Found("HD0608", f"`{_visible(match['name'])}:` is not an argument of this function", None)


Translation: TypeAlias = Callable[[Messages, PrqlError, "re.Match[str]", Span], _Found]

_TRANSLATIONS: Final[tuple[tuple[re.Pattern[str], Translation], ...]] = (
    (re.compile(r"^Unknown name `(?P<name>inner|left|right|full|cross|outer|anti|semi)`$"), Messages.side),
    (re.compile(r"^Unknown name `(?P<name>.+)`"), Messages.unknown_name),
    (re.compile(r"^Unknown relation (?P<name>\S+)"), Messages.unknown_relation),
    (re.compile(r"^std\.in expected a pattern"), Messages.pattern),
    (re.compile(r"^Ambiguous name"), Messages.ambiguous),
    (re.compile(r"^Too many arguments to function `(?P<name>[^`]+)`"), Messages.too_many),
    (re.compile(r"expected type `[^`]+`, but found type `func "), Messages.missing_argument),
    (
        re.compile(
            r"^(?:function )?(?P<function>[\w.]+),?(?: .*)? expected type `(?P<expected>[^`]+)`,"
            r" but found type `(?P<found>[^`]+)`"
        ),
        Messages.wrong_type,
    ),
    (re.compile(r"^`?take`? expected"), Messages.take),
    (re.compile(r"^Column wildcard"), Messages.wildcard),
    (re.compile(r"^parameter `(?P<name>\w+)` expected a number"), Messages.rows_wanted),
    (re.compile(r"invalid type: null, expected f64"), Messages.too_big),
    (re.compile(r"^unexpected `.*(?:func |\(Aggregate|\(Transform|internal )"), Messages.lacking),
    (re.compile(r"number of columns|numbers of columns"), Messages.append),
    (re.compile(r"^expected a function, but found"), Messages.not_a_function),
    (re.compile(r"^unexpected assign to `(?P<name>[^`]+)`"), Messages.assignment),
    (re.compile(r"self-equality|EqSelf"), Messages.self_equality),
    (re.compile(r"named (?:argument|parameter)s? [^`]*`(?P<name>[^`]+)`"), Messages.named_argument),
    (re.compile(r"^(?:unexpected|[Ee]xpected)"), Messages.syntax),
)

_CONDITIONS: Final = {
    "like": 'write `name ~= "^a"` with a regular expression, or `text.starts_with "a" name`',
    "between": "write `x | in 1..10`",
    "in": "write `x | in [1, 2, 3]`",
    "is": "compare with `== null`",
}

_OPERATORS: Final = {"and": "&&", "or": "||", "not": "!"}


def _visible(name: str) -> str:
    for prefix in ("this.", "that.", *(f"{HIDDEN}{kind}_" for kind in ("parameter", "function", "relation"))):
        name = name.removeprefix(prefix)
    return name.strip("`")


def _shown(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - _SHOWN_MAX} more" if len(unique) > _SHOWN_MAX else ""
    return ", ".join(unique[:_SHOWN_MAX]) + more


def _type_word(text: str) -> str:
    if text.startswith("["):
        return "rows"
    if text.startswith("{"):
        return "several columns"
    words = {"bool": "a condition", "relation": "rows", "text": "a string", "array": "a column"}
    return words.get(text, text)
