"""The engine: the pipeline on one page, and the only door for the front ends.

text --check--> typed program --plan--> logical plan --run--> events, files, printed tables
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from heddle.config import Project, default_policy, load_project
from heddle.core.record import record
from heddle.diagnostics import Diagnostic, Source, did_you_mean, has_errors
from heddle.errors import ProgramError, StageError, UsageError
from heddle.physical.events import Listener, RunStatus

if TYPE_CHECKING:
    from heddle.core.signature import ModuleSignature
    from heddle.frontend.prql.compiler import QueryCompiler
    from heddle.frontend.typed import ConfigData, Handler, TypedProgram
    from heddle.logical.explain import Explanation
    from heddle.logical.lower import Goals
    from heddle.logical.plan import EngineChoice, LogicalPlan, Scan
    from heddle.physical.cancel import CancelToken
    from heddle.resolving import ResolvedConfigs
    from heddle.secrets import Masker
    from heddle.std.sinks import Streams
    from heddle.udf_bridge.address import GatewayAddress
    from heddle.udf_bridge.plugins import Plugins
    from heddle.udf_bridge.transport import StepTransport

Notify: TypeAlias = Callable[[str], None]
"""Takes a line for the user."""

BATCH_ROWS: Final = 65_536
"""Rows in a call of a row-wise step: large enough to amortize the call, small enough for the cache."""


@record(frozen=True, slots=True)
class CheckResult:
    """`program` is None when the text has errors."""

    source: Source
    program: TypedProgram | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        return not has_errors(self.diagnostics)


@record(frozen=True, slots=True)
class RunOptions:
    """`workflows`: all without triggers when empty. `outputs` maps an output (`name` or
    `Workflow.name`) to a file whose ending says the format. `limit` keeps the first rows of what is
    printed or written for an output. `optimize=False` runs every node by itself; `inline` runs the steps of
    Python modules in the engine's own process; `engine` is where queries run. With `check_steps` each
    step is called by itself, and some calls are compared with what the step declares."""

    workflows: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    limit: int | None = None
    optimize: bool = True
    batch_rows: int = BATCH_ROWS
    inline: bool = False
    check_steps: bool = False
    engine: EngineChoice = "auto"


@record(frozen=True, slots=True)
class RunResult:
    """`bytes_scanned` is what the file scans read, in bytes; `rows` went into sinks and final steps."""

    run_id: str
    status: RunStatus
    rows: int
    bytes_scanned: int
    error: StageError | None = None

    @property
    def exit_code(self) -> int:
        match self.status:
            case "succeeded" | "handled":
                return 0
            case "cancelled":
                return 130
            case "failed":
                return self.error.exit_code if self.error else 1


class Engine:
    """A project opened for one program: its settings, its catalog, its secrets, its plugins.

    It is a context manager: leaving it ends the processes of plugins. `run` may be called from several
    threads at once, also of engines that share their plugins.
    """

    def __init__(
        self,
        project: Project,
        project_diagnostics: tuple[Diagnostic, ...],
        path: Path,
        environ: Mapping[str, str],
        notify: Notify,
        plugins: Plugins | None,
    ) -> None:
        from heddle.physical.runtime import prepare_runtime

        prepare_runtime()
        self._project = project
        self._project_diagnostics = project_diagnostics
        self._path = path
        self._environ = environ
        self._notify = notify
        self._shared_plugins = plugins
        self._plugins_lock = threading.Lock()
        self._own_plugins: Plugins | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes of plugins that this engine started. More than once does no harm."""
        with self._plugins_lock:
            plugins, self._own_plugins = self._own_plugins, None
        if plugins is not None:
            plugins.close()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        profile: str | None = None,
        params: Mapping[str, str] | None = None,
        environ: Mapping[str, str] = os.environ,
        notify: Notify = lambda line: None,
        plugins: Plugins | None = None,
    ) -> Engine:
        """The engine for a program, under a profile of its project. Raises `UsageError`.

        `notify` is told of work that may take long before a run: building a plugin. `plugins` are those of
        another engine of the same project, to share its processes; they stay open.
        """
        project, diagnostics = load_project(path)
        return cls(project.select(profile, params or {}), diagnostics, path, environ, notify, plugins)

    @property
    def plugins(self) -> Plugins:
        """The plugins' processes, started when they are first used."""
        if self._shared_plugins is not None:
            return self._shared_plugins
        with self._plugins_lock:
            if self._own_plugins is None:
                from heddle.udf_bridge.plugins import Plugins

                self._own_plugins = Plugins(
                    (self._project.root,), self._environ, self._notify, self._gateway_address
                )
            return self._own_plugins

    @cached_property
    def masker(self) -> Masker:
        """Knows every secret that was read; front ends pass what they print through it."""
        from heddle.secrets import Masker

        return Masker()

    def check(self, text: str | None = None, *, strict_layout: bool = False) -> CheckResult:
        """Read (unless `text` is given), parse and type the program."""
        from heddle.frontend.parser import parse
        from heddle.frontend.source import read_source

        source = Source(str(self._path), text) if text is not None else read_source(self._path)
        if isinstance(source, Diagnostic):
            return CheckResult(source.source, None, (source,))
        parsed = parse(source, strict_layout=strict_layout)
        if has_errors(parsed.diagnostics) and not parsed.program.items:
            return CheckResult(source, None, (*self._project_diagnostics, *parsed.diagnostics))
        from heddle.catalog import ProjectCatalog
        from heddle.frontend.checker import check

        catalog = ProjectCatalog(self._project, self._path, self._environ, self._notify)
        defaults, policy_diagnostics = default_policy(self._project)
        outcome = check(
            parsed.program, catalog, self._compiler, strict_layout=strict_layout, defaults=defaults
        )
        about_project = (*self._project_diagnostics, *policy_diagnostics)
        found = (*about_project, *parsed.diagnostics, *outcome.diagnostics)
        program = None if has_errors(found) else outcome.program
        return CheckResult(source, program, tuple(sorted(found, key=lambda d: (d.source.path, d.span))))

    def plan(self, program: TypedProgram, options: RunOptions) -> LogicalPlan:
        """The optimized logical plan. Raises `UsageError` for an unknown workflow or output."""
        from heddle.logical.lower import lower

        return _rules(options)(lower(program, _goals(program, options)))

    def explain(self, program: TypedProgram, options: RunOptions) -> Explanation:
        """Raises `ProgramError` when something that the plan depends on has no value."""
        from heddle.logical.lower import lower_handler
        from heddle.physical.describe import explain

        rules = _rules(options)
        plan = self.plan(program, options)
        handlers = {h.name: rules(lower_handler(program, h)) for h in _used_handlers(program, plan)}
        _raise_if_errors(_unbound(program))
        configs = self._resolve(program, [plan, *handlers.values()])

        def explained(of: LogicalPlan) -> Explanation:
            of = self._on_engines(of, options, configs)
            return explain(of, self._base, Path(tempfile.gettempdir()), configs, os.cpu_count() or 1)

        return replace(explained(plan), handlers={name: explained(p) for name, p in handlers.items()})

    def analyze(
        self,
        program: TypedProgram,
        options: RunOptions,
        listener: Listener,
        cancel: CancelToken,
        streams: Streams,
    ) -> tuple[Explanation, RunResult]:
        """Run the program, effects included, and explain it with what each stage did."""
        from heddle.physical.measures import Measures

        measures = Measures(listener)
        explanation = self.explain(program, options)
        result = self.run(program, options, measures.listener, cancel, streams)
        return explanation.with_measures(measures.by_stage()), result

    def run(
        self,
        program: TypedProgram,
        options: RunOptions,
        listener: Listener,
        cancel: CancelToken,
        streams: Streams,
    ) -> RunResult:
        """Run to the end. Raises `ProgramError` when something the run needs cannot be had."""
        from heddle.logical.lower import lower_handler
        from heddle.logical.rules.prune import prune
        from heddle.physical.environment import RunEnvironment
        from heddle.physical.executor import execute
        from heddle.physical.scratch import scratch_folder

        rules = _rules(options)
        plan = self.plan(program, options)
        plans = [
            plan,
            *(prune(lower_handler(program, h)) for h in _used_handlers(program, plan)),
        ]
        _raise_if_errors([*_not_runnable(program, plans), *_unbound(program)])
        configs = self._resolve(program, plans)
        plan = self._on_engines(plan, options, configs)

        def handler_rules(handler_plan: LogicalPlan) -> LogicalPlan:
            return self._on_engines(rules(handler_plan), options, configs)

        chance = random.Random()
        run_id = f"{chance.getrandbits(48):012x}"
        with scratch_folder(run_id, Path(tempfile.gettempdir())) as scratch:
            transport = self._transport(plans, options)
            try:
                env = RunEnvironment(
                    run_id=run_id,
                    base=self._base,
                    scratch=scratch,
                    memory_bytes=self._memory(options),
                    transport=transport,
                    resolver=configs,
                    streams=streams,
                    listener=listener,
                    cancel=cancel,
                    cores=os.cpu_count() or 1,
                    batch_rows=options.batch_rows,
                    check_steps=options.check_steps,
                    chance=chance,
                )
                outcome = execute(program, plan, env, handler_rules)
            finally:
                transport.close()
        return RunResult(run_id, outcome.status, outcome.rows, outcome.bytes_scanned, outcome.error)

    def _on_engines(self, plan: LogicalPlan, options: RunOptions, configs: ResolvedConfigs) -> LogicalPlan:
        """The plan with an engine for each fragment. Raises `UsageError` where the one asked for cannot."""
        from heddle.logical.plan import Fragment

        reducing = any(isinstance(op, Fragment) and op.reduces for op in plan.ops.values())
        if options.engine == "datafusion" or (options.engine == "auto" and not reducing):
            return plan
        from heddle.physical.choice import choose_engines
        from heddle.std.readers import ReaderError, plain_parquet

        def reads_itself(scan: Scan) -> bool:
            try:
                return plain_parquet(scan.step, configs.config(scan), self._base) is not None
            except ReaderError:
                return False  # the run says what is wrong with the files

        chosen, refusals = choose_engines(plan, options.engine, reads_itself)
        if refusals:
            raise UsageError(
                f"{refusals[0].path} cannot run on duckdb: {refusals[0].reason}",
                help="use `--engine auto`, which runs such queries on datafusion",
            )
        return chosen

    def _transport(self, plans: Sequence[LogicalPlan], options: RunOptions) -> StepTransport:
        """How this run's steps are reached; a run without steps loads nothing for them."""
        from heddle.logical.plan import Step
        from heddle.udf_bridge.transport import NoTransport

        if not any(isinstance(op, Step) for plan in plans for op in plan.ops.values()):
            return NoTransport()
        return self.plugins.transport(
            inline=options.inline, holds_secret=lambda text: self.masker.mask(text) != text
        )

    def _gateway_address(self, module: ModuleSignature) -> GatewayAddress:
        from heddle.gateways import gateway_address

        return gateway_address(self._project, module.path, self._environ, self.masker)

    def _resolve(self, program: TypedProgram, plans: Sequence[LogicalPlan]) -> ResolvedConfigs:
        """The plain configs of all operators. Raises `ProgramError` for what cannot be had."""
        from heddle.resolving import ResolvedConfigs
        from heddle.secrets import References, SecretStore

        secrets = SecretStore(self._project.secrets, self._environ, self.masker)
        parameters = {name: p.value for name, p in program.parameters.items() if p.bound}
        configs = ResolvedConfigs(program, References(self._environ, secrets, parameters, self.masker))
        _raise_if_errors(configs.resolve(op for plan in plans for op in plan.ops.values()))
        return configs

    @cached_property
    def _compiler(self) -> QueryCompiler:
        from heddle.frontend.prql.compiler import QueryCompiler

        return QueryCompiler()

    @property
    def _base(self) -> Path:
        return self._path.resolve().parent

    def _memory(self, options: RunOptions) -> int:
        from heddle.physical.memory import default_budget_bytes

        return options.memory_bytes or self._project.memory_bytes or default_budget_bytes()


def _rules(options: RunOptions) -> Callable[[LogicalPlan], LogicalPlan]:
    from heddle.logical.rules import optimize, optimize_apart, unoptimized

    if not options.optimize:
        return unoptimized
    return optimize_apart if options.check_steps else optimize


def _goals(program: TypedProgram, options: RunOptions) -> Goals:
    from heddle.logical.lower import Goals

    for name in options.workflows:
        if name not in program.workflows:
            near = did_you_mean(name, tuple(program.workflows))
            help = f"did you mean `{near}`?" if near else f"it has: {', '.join(program.workflows) or 'none'}"
            raise UsageError(f"the program has no workflow `{name}`", help=help)
    outputs = {_full_name(program, name): _file_sink(path) for name, path in options.outputs.items()}
    return Goals(options.workflows, outputs, options.limit)


def _full_name(program: TypedProgram, name: str) -> str:
    known = [f"{w.name}.{o.name}" for w in program.workflows.values() for o in w.outputs]
    matches = [k for k in known if k == name or k.split(".", 1)[1] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"`{name}` is an output of several workflows",
            help=f"say which: {', '.join(matches)}",
        )
    near = did_you_mean(name, known + [k.split(".", 1)[1] for k in known])
    help = f"did you mean `{near}`?" if near else f"it has: {', '.join(known) or 'none'}"
    raise UsageError(f"the program has no output `{name}`", help=help)


FILE_FORMATS: Final = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".arrow": "arrow",
    ".feather": "arrow",
}


def _file_sink(path: str) -> tuple[str, Mapping[str, ConfigData]]:
    """A `--output` path is relative to the working directory; its ending names the format."""
    suffixes = [s for s in Path(path).suffixes if s not in {".gz", ".zst", ".bz2", ".xz"}]
    step = FILE_FORMATS.get(suffixes[-1].lower()) if suffixes else None
    if step is None:
        raise UsageError(
            f"`{path}` has no ending that says its format",
            help=f"use one of: {', '.join(FILE_FORMATS)}",
        )
    return step, {"path": str(Path(path).absolute())}


def _used_handlers(program: TypedProgram, plan: LogicalPlan) -> list[Handler]:
    """The handlers that a failure of the plan can reach, a trap inside a handler included."""
    from heddle.frontend.typed import QueryNode, StepNode
    from heddle.logical.plan import Fragment, Sink, Step

    names: set[str] = set()
    for op in plan.ops.values():
        if isinstance(op, Fragment | Sink | Step):
            workflow = program.workflows.get(op.workflow)
            names |= {t for t in (op.trap, workflow.trap if workflow else None) if t is not None}
    waiting = list(names)
    while waiting:
        for node_id in program.handlers[waiting.pop()].nodes:
            node = program.nodes[node_id]
            trap = node.trap if isinstance(node, QueryNode | StepNode) else None
            if trap is not None and trap not in names:
                names.add(trap)
                waiting.append(trap)
    return [h for name, h in program.handlers.items() if name in names]


def _not_runnable(program: TypedProgram, plans: Sequence[LogicalPlan]) -> list[Diagnostic]:
    """Steps that have a signature but no body."""
    from heddle.logical.plan import Step

    calls = {
        op.call.span: op.call
        for plan in plans
        for op in plan.ops.values()
        if isinstance(op, Step) and not op.call.signature.runnable
    }
    return [
        Diagnostic(
            "HD0901",
            "error",
            f"`{call.callee}` is unsupported: `{call.module.path}` declares it, but it cannot run yet",
            program.source,
            span,
            "the program can be checked and explained",
        )
        for span, call in calls.items()
    ]


def _unbound(program: TypedProgram) -> list[Diagnostic]:
    return [
        Diagnostic(
            "HD0902",
            "error",
            f"the parameter `@{p.name}` has no value",
            program.source,
            p.span,
            f"give it one: --param {p.name}=…",
        )
        for p in program.parameters.values()
        if not p.bound
    ]


def _raise_if_errors(diagnostics: list[Diagnostic]) -> None:
    if diagnostics:
        raise ProgramError(diagnostics)
