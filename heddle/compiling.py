"""The first half of the pipeline: from a program's text to its optimized plans.

text --check--> typed program --plan--> optimized plans

What was compiled before, and would come out the same, is taken from the cache of the process or the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from heddle.config import Project, default_policy
from heddle.core.collector import collector_paused
from heddle.core.record import record
from heddle.diagnostics import Diagnostic, Source, has_errors
from heddle.program_cache import PROGRAMS, KnownProgram, LookedAt, Plans, plan_key, program_key

if TYPE_CHECKING:
    from heddle.describing import Describer
    from heddle.engine import RunOptions
    from heddle.frontend.prql.compiler import QueryCompiler
    from heddle.frontend.typed import TypedProgram
    from heddle.logical.asked import AskedQuery
    from heddle.logical.estimates import Estimates
    from heddle.logical.lower import Goals
    from heddle.logical.plan import LogicalPlan, OpId
    from heddle.program_store import ProgramStore

Notify: TypeAlias = Callable[[str], None]
"""Takes a line for the user."""

Rule: TypeAlias = "Callable[[LogicalPlan], LogicalPlan]"


@record(frozen=True, slots=True)
class CheckResult:
    """`program` is None when the text has errors."""

    source: Source
    program: TypedProgram | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        return not has_errors(self.diagnostics)


class Compiler:
    """Compiles the program at one path, under the settings of its project. Without a `store` nothing of it
    outlives the process."""

    def __init__(
        self,
        project: Project,
        project_diagnostics: tuple[Diagnostic, ...],
        path: Path,
        environ: Mapping[str, str],
        notify: Notify,
        store: ProgramStore | None,
    ) -> None:
        self._project = project
        self._project_diagnostics = project_diagnostics
        self._path = path
        self._environ = environ
        self._notify = notify
        self._store = store
        self._current: KnownProgram | None = None
        self._known_beginnings: tuple[TypedProgram, Mapping[OpId, tuple[str, ...]]] | None = None

    def check(
        self,
        text: str | None,
        *,
        strict_layout: bool,
        describer: Callable[[], Describer] | None = None,
        refreshing: bool = False,
    ) -> CheckResult:
        """Read (unless `text` is given), parse and type the program. With a `describer` services are asked
        for what `heddle.lock` does not say, when `refreshing` also for what it says."""
        from heddle.frontend.source import read_source

        source = Source(str(self._path), text) if text is not None else read_source(self._path)
        if isinstance(source, Diagnostic):
            return CheckResult(source.source, None, (source,))
        key = program_key(self._path, source.text, self._project, strict_layout=strict_layout)
        known = None if refreshing else PROGRAMS.find(key)
        if known is None and not refreshing and self._store is not None:
            known = self._store.find(key)
        if known is not None and known.looked_at.unasked and describer is not None:
            known = None
        if known is None:
            looked_at = LookedAt()
            with collector_paused(keeping=False):
                result = self._check(source, looked_at, strict_layout, describer, refreshing)
            if result.program is None or not looked_at.complete or not looked_at.is_settled():
                return result
            known = KnownProgram(key, result, looked_at)
            PROGRAMS.keep(known)
        self._current = known
        return known.result

    def _check(
        self,
        source: Source,
        looked_at: LookedAt,
        strict_layout: bool,
        describer: Callable[[], Describer] | None,
        refreshing: bool,
    ) -> CheckResult:
        from heddle.frontend.parser import parse

        parsed = parse(source, strict_layout=strict_layout)
        if has_errors(parsed.diagnostics) and not parsed.program.items:
            return CheckResult(source, None, (*self._project_diagnostics, *parsed.diagnostics))
        from heddle.catalog import ProjectCatalog
        from heddle.frontend.checker import check

        catalog = ProjectCatalog(
            self._project, self._path, self._environ, self._notify, looked_at, describer, refreshing
        )
        defaults, policy_diagnostics = default_policy(self._project)
        outcome = check(
            parsed.program, catalog, self._queries, strict_layout=strict_layout, defaults=defaults
        )
        about_project = (*self._project_diagnostics, *policy_diagnostics)
        found = (*about_project, *parsed.diagnostics, *outcome.diagnostics)
        program = None if has_errors(found) else outcome.program
        return CheckResult(source, program, tuple(sorted(found, key=lambda d: (d.source.path, d.span))))

    def plans(self, program: TypedProgram, options: RunOptions) -> Plans:
        """The optimized plans of the workflows, and of each handler that their failures can reach.

        Raises `UsageError` for an unknown workflow or output.
        """
        known, key = PROGRAMS.of_program(program), (plan_key(options), _learned(program))
        if known is not None and (plans := known.plans.get(key)) is not None:
            return plans
        with collector_paused(keeping=False):
            plans = self._plan(program, options)
        if known is not None:
            PROGRAMS.keep_plans(known, key, plans)
        return plans

    def _plan(self, program: TypedProgram, options: RunOptions) -> Plans:
        from heddle.logical.lower import lower, lower_handler

        rules = _rules(options, self._estimates)
        plan = lower(program, _goals(program, options))
        if options.shares and options.workflows and len(program.workflows) > 1:
            plan = replace(plan, common=self._beginnings(program))
        plan = rules(plan)
        if not program.handlers:
            return plan, {}
        from heddle.readiness import used_handlers

        return plan, {h.name: rules(lower_handler(program, h)) for h in used_handlers(program, plan)}

    def asked_plan(self, program: TypedProgram, asked: AskedQuery, options: RunOptions) -> LogicalPlan:
        """The optimized plan of a client's query over outputs of the program."""
        from heddle.logical.asked import lower_asked

        with collector_paused(keeping=False):
            return _rules(options, self._estimates)(lower_asked(program, asked))

    def _estimates(self) -> Estimates:
        from heddle.physical.estimates import FileEstimates

        return FileEstimates(self._path.resolve().parent)

    def keep(self) -> None:
        """Store what was compiled last for later processes, with its plans."""
        if self._store is not None and self._current is not None:
            self._store.save(self._current)

    def _beginnings(self, program: TypedProgram) -> Mapping[OpId, tuple[str, ...]]:
        """What workflows of the program have in common; found once for a program."""
        from heddle.logical.beginnings import common_beginnings
        from heddle.logical.lower import Goals, lower

        known = self._known_beginnings
        if known is None or known[0] is not program:
            known = self._known_beginnings = (program, common_beginnings(lower(program, Goals())))
        return known[1]

    @cached_property
    def _queries(self) -> QueryCompiler:
        from heddle.frontend.prql.compiler import QueryCompiler

        return QueryCompiler()


def _rules(options: RunOptions, estimates: Callable[[], Estimates]) -> Rule:
    from heddle.logical.rules import optimize, optimize_apart, unoptimized

    if not options.optimize:
        return unoptimized
    rules = optimize_apart if options.check_steps else optimize
    return partial(rules, estimates=estimates, pushdown=options.pushdown)


def _learned(program: TypedProgram) -> Hashable:
    """What the process has learned about the steps of the program, as far as plans depend on it."""
    from heddle.frontend.typed import StepNode

    calls = [node.call for node in program.nodes if isinstance(node, StepNode)]
    own = [call for call in calls if not call.module.path.startswith("std/")]
    if not own:
        return ()
    from heddle.physical.step_costs import STEP_COSTS

    return tuple(STEP_COSTS.magnitude(call) for call in own)


def _goals(program: TypedProgram, options: RunOptions) -> Goals:
    if options.workflows or options.outputs:
        from heddle.goals import goals_of

        return goals_of(program, options)
    from heddle.logical.lower import Goals

    return Goals((), {}, options.limit)
