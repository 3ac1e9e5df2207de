"""Hypothesis strategies for programs that are right by grammar, in any layout that the grammar allows.

`programs()` gives texts that parse without an error; names in them refer to nothing. Comments stand in
all places where a program may have them, and each is different from the others.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

KEYWORDS = ("import", "resource", "step", "handler", "workflow", "policy", "test", "on", "input", "max")
WORDS = ("orders", "io", "a", "_x", "user-id", "Big2", "until", "match", "loop", "expect", "env", *KEYWORDS)
RESERVED = ("true", "false", "null")
STRINGS = (
    '""',
    '"a b"',
    '"// no comment"',
    '"/* nor this */"',
    r'"\"\\\n\t\r\0A"',
    '"é – 漢"',
    '"{[(<"',
    '""""""',
    '"""one"""',
    '"""\n    SELECT *\n      FROM t -- "quoted"\n    """',
    '"""\n  a\n\n    b \\"""\n  c"""',
)
NUMBERS = ("0", "-1", "+2", ".5", "5.", "1e5", "1_000", "-2.5e-3", "9223372036854775807", "1_0.0_1")
ONE_LINE_QUERIES = (
    "(from input)",
    "( from input | filter total > 100 )",
    "(from input select {a, b})",
    "(filter x == ')' && y == \"(\")",
    '(derive z = f"{a}-(b" )',
    "(derive q = r'c:\\' | take 5)",
    "(join t (==k) | sort {-a, `b)c`})",
    "(derive half = total // 2)",
    '(derive m = """a"b)""" )',
)
LONG_QUERIES = (
    "(\n  from input\n  filter a > 1 # it's (\n\n\n    select {\n      b,\n    c\n  }\n)",
    "(from input\n   filter a\n     | select b)",
    '(\n\tfrom input\n\tderive t = "two\n lines)"\n\t)',
    "(from x # why\n)",
    "(\r\n  from x\r\n  take 1\r\n)",
)
TYPES = ("int", "decimal(10,2)", "list< string >", "{a: int, b: {c: float?}}", "timestamp?")

Draw = Callable[[st.SearchStrategy[str]], str]


class _Author:
    """Writes one program; every choice comes from `draw`."""

    def __init__(self, draw: Draw, *, comments: bool) -> None:
        self._draw = draw
        self._comments = comments
        self._comment_count = 0

    def pick(self, *choices: str) -> str:
        return self._draw(st.sampled_from(choices))

    def times(self, most: int, least: int = 0) -> range:
        return range(int(self.pick(*(str(n) for n in range(least, most + 1)))))

    def maybe(self, text: Callable[[], str]) -> str:
        return text() if self.pick("", "", "x") else ""

    # --- space ------------------------------------------------------------------------------

    def comment(self, kind: str) -> str:
        if not self._comments:
            return "\n" if kind == "line" else " "
        self._comment_count += 1
        words = f"c{self._comment_count} " + self.pick("", "(", "it's \"", "| > }")
        if kind == "line":
            return f"//{self.pick('', ' ', '  ')}{words}\n"
        return f"/*{words}{self.pick('', chr(10)) if kind == 'long' else ''}*/"

    def gap(self) -> str:
        """Space inside a line."""
        kind = self.pick("", "", "", "", "wide", "comment")
        return {"": " ", "wide": " \t ", "comment": f" {self.comment('block')} "}[kind]

    def free(self) -> str:
        """Space where line breaks mean nothing."""
        kind = self.pick("", "", "", "", "", "gap", "break", "line", "long")
        match kind:
            case "gap":
                return self.gap()
            case "break":
                return "\n\n  "
            case "line":
                return f" {self.comment('line')}"
            case "long":
                return f" {self.comment('long')} "
            case _:
                return ""

    def new_line(self) -> str:
        """At least one line break, perhaps with comments around it."""
        end = self.maybe(lambda: " " + self.comment("line"))
        own = "".join(self.indent() + self.comment(self.pick("line", "long")) + "\n" for _ in self.times(2))
        return f"{end}{self.pick('', chr(10), chr(10) * 3)}\n{own}{self.indent()}"

    def indent(self) -> str:
        return self.pick("  ", "", "    ")

    def separator(self, *, last: bool) -> str:
        if last:
            return self.free() + self.maybe(lambda: "," + self.free())
        return self.pick(",", self.new_line(), "," + self.new_line()) + self.free()

    # --- values -----------------------------------------------------------------------------

    def name(self) -> str:
        return self.pick(*WORDS)

    def scalar(self) -> str:
        return self.pick("true", "false", "null", *NUMBERS, *STRINGS)

    def value(self, depth: int) -> str:
        kind = self.pick("scalar", "scalar", "scalar", "dict", "list", "outside")
        if kind == "outside":
            return f'{self.pick("env", "secret")}({self.free()}"NAME_1"{self.free()})'
        if kind == "scalar" or depth == 0:
            return self.scalar()
        return self.dict(depth - 1) if kind == "dict" else self.list(depth - 1)

    def dict(self, depth: int, *, scalars: bool = False) -> str:
        def pair() -> str:
            key = self.pick(*WORDS, *RESERVED, '"a key"', '"k"')
            value = self.scalar() if scalars else self.value(depth)
            return f"{key}{self.free()}:{self.free() or ' '}{value}"

        return self.elements("{", "}", pair)

    def list(self, depth: int) -> str:
        return self.elements("[", "]", lambda: self.value(depth))

    def table(self) -> str:
        return self.elements("[", "]", lambda: self.dict(0, scalars=True))

    def elements(self, opener: str, closer: str, element: Callable[[], str]) -> str:
        texts = [element() for _ in self.times(3)]
        body = "".join(t + self.separator(last=i == len(texts) - 1) for i, t in enumerate(texts))
        return f"{opener}{self.free()}{body}{closer}"

    # --- pipelines --------------------------------------------------------------------------

    def ref(self) -> str:
        binding = f"{self.name()}{self.free()}={self.free()}{self.name()}"
        more = f",{self.free()}{self.name()}={self.name()}"
        return f"<{self.free()}{binding}{self.maybe(lambda: more)}{self.free()}>"

    def call(self) -> str:
        callee = self.name() + self.maybe(lambda: f".{self.name()}")
        if callee in ("match", "loop", "atomic", "expect"):
            callee = "io." + callee
        ref = self.maybe(self.ref)
        if ref and self.pick("leading", "trailing") == "leading":
            callee = f"{ref}{self.pick(' ', '', chr(10) + '  ')}{callee}"
        elif ref:
            callee = f"{callee}{self.gap()}{ref}"
        return callee + self.maybe(lambda: self.gap() + self.dict(2))

    def query(self) -> str:
        return self.pick(*ONE_LINE_QUERIES, *LONG_QUERIES)

    def policy(self) -> str:
        return f"!{self.gap()}{self.pick(self.name(), self.dict(1))}"

    def suffixes(self) -> str:
        texts = [self.maybe(lambda: f"?{self.gap()}{self.name()}"), self.maybe(self.policy)]
        if self.pick("", "swap"):
            texts.reverse()
        return "".join(self.pick(" ", self.new_line()) + text for text in texts if text)

    def operation(self, depth: int) -> str:
        match self.pick("query", "call", "call", "match", "loop", "atomic", "expect"):
            case "query":
                return self.query()
            case "match" if depth:
                return self.match(depth - 1)
            case "loop" if depth:
                turns = self.maybe(lambda: f"max {self.pick('3', '1_0')} ")
                return f"loop {turns}until{self.gap()}{self.query()} {self.block(depth - 1)}"
            case "atomic" if depth:
                return f"atomic {self.block(depth - 1)}"
            case "expect":
                return f"expect {self.table()}"
            case _:
                return self.call()

    def block(self, depth: int) -> str:
        chain = self.chain(depth)
        return f"{{{chain if chain else self.free()}{self.pick(' ', self.new_line())}}}"

    def match(self, depth: int) -> str:
        arms = [f"{self.pick('_', self.query())}{self.chain(depth)}" for _ in self.times(2)]
        lines = "".join(f"{self.new_line()}{arm}" for arm in arms)
        return f"match {{{lines}{self.new_line()}}}"

    def chain(self, depth: int) -> str:
        def stage() -> str:
            before = self.pick(self.new_line(), self.new_line(), " ")
            return f"{before}|{self.pick(self.gap(), '')}{self.operation(depth)}{self.suffixes()}"

        return "".join(stage() for _ in self.times(2))

    def statement(self) -> str:
        head = self.pick("query", "call", "table", "*")
        match head:
            case "query":
                head = self.query()
            case "call":
                head = self.call()
            case "table":
                head = self.table()
        return f"{head}{self.suffixes()}{self.chain(2)}{self.maybe(self.result)}"

    def result(self) -> str:
        properties = self.maybe(lambda: self.pick("", self.gap()) + self.dict(2))
        return f"{self.pick(' ', self.new_line())}>{self.gap()}{self.name()}{properties}"

    def statements(self) -> str:
        if self.pick("", "", "", "one line"):
            return f"{{ {self.statement()} }}"
        lines = "".join(f"{self.new_line()}{self.statement()}" for _ in self.times(3))
        return f"{{{lines}{self.new_line()}}}"

    # --- items ------------------------------------------------------------------------------

    def params(self) -> str:
        def param() -> str:
            default = self.maybe(lambda: f" = {self.value(1)}")
            return f"{self.name()}{self.free()}: {self.pick(*TYPES)}{default}"

        texts = [param() for _ in self.times(2, least=1)]
        return f"({self.free()}{', '.join(texts)}{self.free()})"

    def item(self) -> str:
        name = self.name()
        match self.pick("import", "resource", "step", "policy", "handler", "workflow", "test"):
            case "import":
                path = self.pick('"std/io"', '"./a b"', '"fraud-score/detect"')
                return f"import {path}{self.maybe(lambda: self.gap() + self.name())}"
            case "resource":
                call = self.pick(" " + self.call(), "\n  pg.connection {}")
                return f"resource{self.gap()}{name} ={call}"
            case "step":
                return f"step {name}{self.gap()}= {self.call()}{self.suffixes()}"
            case "policy":
                return f"policy {name} {self.dict(2)}"
            case "handler":
                return f"handler {name}{self.maybe(lambda: ' ? h')}{self.gap()}{self.statements()}"
            case "test":
                return f"test {self.pick(*STRINGS)} {self.statements()}"
            case _:
                trigger = self.maybe(lambda: f" on {self.call_with_settings()}")
                header = f"{self.maybe(self.params)}{trigger}{self.suffixes()}"
                return f"workflow {name}{header} {self.statements()}"

    def call_with_settings(self) -> str:
        return f"cron.at {self.dict(1)}{self.maybe(lambda: ', http.post {}')}"

    def program(self) -> str:
        lead = self.maybe(self.new_line)
        return lead + "".join(self.item() + self.new_line() for _ in self.times(4))


@st.composite
def programs(draw: st.DrawFn, *, comments: bool = True) -> str:
    """Texts that parse without an error."""
    return _Author(draw, comments=comments).program()


@st.composite
def broken_programs(draw: st.DrawFn) -> str:
    """Texts that are a program but for some places where something was removed, doubled or put in."""
    text = draw(programs())
    pieces = st.sampled_from(
        [*"{}[]()<>|?!=:,.*\"'#/\\\n;@`", '"""', "/*", "//", "workflow ", "step x", "\0", "é"]
    )
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        size = draw(st.sampled_from([0, 0, 1, 1, 2, 10]))
        text = text[:at] + draw(st.one_of(st.just(""), pieces)) + text[at + size :]
    return text
