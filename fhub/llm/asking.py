"""The rows of one call as questions to a model, and its answers as rows.

Rows with the same question are one request, unless a temperature above 0 asks for different answers. What is
asked costs: answers stay on the cache's disk where there is one, and in the process when the call fails for a
reason that another attempt may cure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa

from fhub.calls import Call, Ended
from fhub.cells import Misfit, cell_texts
from fhub.llm.cache import answer_key
from fhub.llm.connection import NOTHING, Crashed, Reply, RowError, Usage, usage_of
from fhub.llm.forms import Form
from fhub.llm.settings import ChatConfig, Price
from fhub.templates import Template, check_columns
from heddle.core.json_text import to_json
from heddle.core.record import record
from heddle.core.step import StepContext, Transient

REPAIRS: Final = 1
"""How often a model is told what is wrong with its answer."""
CRASHES_MAX: Final = 8
"""So many requests may end with status 500 before the first is answered."""
REFUSALS: Final = frozenset({"refusal", "content_filter"})

Message = dict[str, str]


@record(frozen=True, slots=True)
class Question:
    """`number` tells apart what is to be answered each on its own."""

    messages: tuple[tuple[str, str], ...]
    number: int = 0


@record(frozen=True, slots=True)
class Outcome:
    """`value` is the text, or the row that it is; `problem` says why there is none, and what kind that is."""

    value: Any = None
    usage: Usage = NOTHING
    problem: tuple[str, str] | None = None


@record(frozen=True, slots=True)
class Asked:
    """The values of the rows that have an answer, and the tokens that each has cost."""

    values: Sequence[Any]
    usages: Sequence[Usage]

    def usage_columns(self, config: ChatConfig) -> dict[str, pa.Array]:
        """Their sums are what was paid: a row whose answer was there has cost nothing."""
        if not config.usage:
            return {}
        price = config.connection.config.price
        costs = [_cost(usage, price) for usage in self.usages]
        return {
            "prompt_tokens": pa.array([usage.prompt_tokens for usage in self.usages], pa.int64()),
            "completion_tokens": pa.array([usage.completion_tokens for usage in self.usages], pa.int64()),
            "cost": pa.array(costs, pa.float64()),
        }


class Asking:
    """The questions of one call. With a `form` the answers are rows."""

    def __init__(self, config: ChatConfig, context: StepContext, form: Form | None = None) -> None:
        self._config = config
        self._context = context
        self._form = form
        self._connection = config.connection
        self._call = Call(context)
        self._fields: dict[str, Any] = {"model": self._connection.model}
        if form is not None and form.response_format is not None:
            self._fields["response_format"] = form.response_format
        self._replies: dict[bytes, Reply] = {}
        self._crashes = Crashes()
        self._tells = False
        self.counts = Counts()

    def ask(
        self, input: pa.Table, system: str | None, *, temperature: float | None, tells: bool = False
    ) -> Asked:
        """Rows without an answer are rejected."""
        config = self._config
        said = {"temperature": temperature, "max_tokens": config.max_tokens}
        self._fields |= {name: value for name, value in said.items() if value is not None}
        self._fields |= config.options
        self._fields = {name: value for name, value in self._fields.items() if value is not None}
        self._tells = tells
        questions = list(self._questions(input, system, sampled=bool(temperature)))
        first: dict[Question, int] = {}
        for number, question in enumerate(questions):
            first.setdefault(question, number)
        with self._answered():
            outcomes = self._call.each(list(first), self._answer, self._connection.config.concurrency)
            self._crashes.check()
        by_question = dict(zip(first, outcomes, strict=True))
        reject_rows(self._context, [by_question[question].problem for question in questions])
        kept = [n for n, question in enumerate(questions) if by_question[question].problem is None]
        return Asked(
            [by_question[questions[n]].value for n in kept],
            [by_question[questions[n]].usage if first[questions[n]] == n else NOTHING for n in kept],
        )

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """The replies of an attempt before are known, and those of this one are kept when it fails."""
        unfinished, call = self._config.unfinished, self._context.idempotency_key
        self._replies = unfinished.take(call)
        try:
            yield
        except (Ended, Transient):
            unfinished.keep(call, self._replies)
            raise
        finally:
            self.counts.tell(self._context, self._connection.config.price, self._call)

    def _questions(self, input: pa.Table, system: str | None, *, sampled: bool) -> Iterator[Question]:
        config = self._config
        for setting, names in config.columns_named().items():
            check_columns(names, input.column_names, setting)
        systems = _texts(system, input)
        prompts = _texts(config.prompt, input) if config.prompt is not None else to_json(input).to_pylist()
        instruction = self._form.instruction if self._form is not None else ""
        for number, (said, prompt) in enumerate(zip(systems, prompts, strict=True)):
            first = (("system", (said + instruction).strip()),) if said + instruction else ()
            yield Question((*first, ("user", prompt)), number if sampled else 0)

    def _answer(self, question: Question) -> Outcome:
        messages = [{"role": role, "content": text} for role, text in question.messages]
        usages: list[Usage] = []
        problem = ""
        for _ in range(REPAIRS + 1):
            try:
                reply = self._reply(messages, question.number)
            except RowError as error:
                return Outcome(problem=(str(error), "BadRequest"))
            except Crashed as error:
                return Outcome(problem=self._crashes.problem(error))
            self._crashes.answered = True
            usages.append(reply.usage)
            if reply.finish in REFUSALS:
                return Outcome(problem=(f"the model refuses to answer: {reply.text}", "Refused"))
            if self._form is None:
                return Outcome(reply.text, reply.usage)
            try:
                value = self._form.read(reply.text)
            except Misfit as misfit:
                problem = f"the model's answer does not fit: {misfit}"
                if reply.finish == "length":
                    problem = "the model's answer was cut off; raise `max_tokens`"
                    break
                repair = f"That does not fit: {misfit}. Answer again, with nothing but the JSON."
                messages = [
                    *messages,
                    {"role": "assistant", "content": reply.text},
                    {"role": "user", "content": repair},
                ]
                continue
            return Outcome(value, usage_of(usages) if len(usages) > 1 else usages[0])
        return Outcome(problem=(problem, "InvalidAnswer"))

    def _reply(self, messages: list[Message], number: int) -> Reply:
        body = {**self._fields, "messages": messages}
        key = answer_key(self._connection.service.base_url, body, number)
        known = self._replies.get(key)
        if known is not None:
            return known
        cache = self._config.answers(self._context)
        stored = cache.get(key) if cache is not None else None
        if stored is not None:
            self.counts.cached += 1
            return _loaded(stored)
        reply = self._connection.chat(self._call, body, self._teller())
        self.counts.add(reply.usage)
        self._replies[key] = reply
        if cache is not None:
            cache.put(key, json.dumps({"text": reply.text, "finish": reply.finish}).encode())
        return reply

    def _teller(self) -> Callable[[str], None] | None:
        log = self._context.log
        return (lambda piece: log.info("%s", piece)) if self._tells else None


class Crashes:
    """Whose fault a status 500 is: that of its rows when others of the call are answered, else the
    server's."""

    def __init__(self) -> None:
        self.answered = False
        self._errors: list[Crashed] = []

    def problem(self, error: Crashed) -> tuple[str, str]:
        """Why the rows are rejected, and what kind of problem that is. Raises the error when it is clear that
        it is the server's."""
        self._errors.append(error)
        if len(self._errors) >= CRASHES_MAX:
            self.check()
        return (str(error), "ServerError")

    def check(self) -> None:
        """Raises the first error when no request was answered."""
        if self._errors and not self.answered:
            raise self._errors[0]


class Counts:
    """What a call has cost. Threads add to it under the interpreter's lock, one number at a time."""

    def __init__(self) -> None:
        self.usages: list[Usage] = []
        self.cached = 0

    def add(self, usage: Usage) -> None:
        self.usages.append(usage)

    def tell(self, context: StepContext, price: Price | None, call: Call) -> None:
        total = usage_of(self.usages)
        context.metric("requests", len(self.usages))
        context.metric("retries", call.retries)
        context.metric("cached_answers", self.cached)
        context.metric("prompt_tokens", total.prompt_tokens or 0, "tokens")
        context.metric("completion_tokens", total.completion_tokens or 0, "tokens")
        if price is not None:
            context.metric("cost", _cost(total, price) or 0.0)


def _cost(usage: Usage, price: Price | None) -> float | None:
    if price is None or usage.prompt_tokens is None:
        return None
    completion = (usage.completion_tokens or 0) * price.get("completion", 0.0)
    return (usage.prompt_tokens * price["prompt"] + completion) / 1e6


def reject_rows(context: StepContext, problems: Sequence[tuple[str, str] | None]) -> None:
    """Reject each row that has a problem, those with the same one together."""
    rows: dict[tuple[str, str], list[int]] = {}
    for number, problem in enumerate(problems):
        if problem is not None:
            rows.setdefault(problem, []).append(number)
    for (reason, error_type), numbers in rows.items():
        context.reject(numbers, reason, error_type=error_type)


def _texts(template: str | None, input: pa.Table) -> list[str]:
    """The template, filled for each row; a null is nothing."""
    filled = Template(template or "")
    names = filled.columns
    columns = [cell_texts(input.column(name)) for name in names]
    if not names:
        return [filled.fill({})] * input.num_rows
    rows = zip(*columns, strict=True)
    return [filled.fill({n: t or "" for n, t in zip(names, row, strict=True)}) for row in rows]


def _loaded(stored: bytes) -> Reply:
    answer: Mapping[str, str] = json.loads(stored)
    return Reply(answer["text"], answer["finish"])
