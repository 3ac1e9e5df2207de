"""The engine: the pipeline on one page, and the only door for the front ends.

text --check--> typed program --plan--> logical plan --run--> events, files, printed tables
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from heddle.compiling import CheckResult, Compiler, Notify
from heddle.config import Project, load_project
from heddle.core.record import record
from heddle.diagnostics import Diagnostic
from heddle.errors import ProgramError, StageError, UsageError
from heddle.physical.events import Listener, RunStatus
from heddle.program_cache import store_is_on

if TYPE_CHECKING:
    from heddle.core.signature import ModuleSignature
    from heddle.describing import Describer
    from heddle.frontend.typed import TypedProgram
    from heddle.logical.explain import Explanation
    from heddle.logical.plan import EngineChoice, LogicalPlan, Scan
    from heddle.physical.cancel import CancelToken, EndSwitch
    from heddle.physical.executor import Executor
    from heddle.physical.run_memo import RunMemo
    from heddle.physical.shared_frames import SharedFrames
    from heddle.program_store import ProgramStore
    from heddle.refreshing import Refreshed
    from heddle.resolving import ResolvedConfigs
    from heddle.secrets import Masker, SecretStore
    from heddle.std.sinks import Streams
    from heddle.udf_bridge.address import GatewayAddress
    from heddle.udf_bridge.plugins import Plugins
    from heddle.udf_bridge.transport import StepTransport

__all__ = ["BATCH_ROWS", "CheckResult", "Engine", "RunOptions", "RunResult"]

BATCH_ROWS: Final = 65_536
"""Rows in a call of a row-wise step: large enough to amortize the call, small enough for the cache."""


@record(frozen=True, slots=True)
class RunOptions:
    """`workflows`: all without triggers when empty. `outputs` maps an output (`name` or
    `Workflow.name`) to a file whose ending says the format. `limit` keeps the first rows of what is
    printed or written for an output. `optimize=False` runs every node by itself,
    `pushdown=False` asks databases for what steps say and no more; `inline` runs the steps of Python modules
    in the engine's own process; `engine` is where queries run. With `check_steps` each step is called by
    itself, and some calls are compared with what the step declares. Runs of a process that are under way at
    the same time compute once what they have in common, unless they are `alone`. Up to `memo_bytes` of
    results of steps are kept on disk for later runs; with None the project says how much. A run that reads
    streams ends after `turns_max` turns that had rows, or when none came for `idle_s` seconds, if that is
    given."""

    workflows: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    limit: int | None = None
    optimize: bool = True
    pushdown: bool = True
    batch_rows: int = BATCH_ROWS
    inline: bool = False
    check_steps: bool = False
    engine: EngineChoice = "auto"
    alone: bool = False
    memo_bytes: int | None = None
    turns_max: int | None = None
    idle_s: float | None = None

    @property
    def shares(self) -> bool:
        """Whether the run may take results of others: one that compares results computes its own."""
        return self.optimize and not self.check_steps and not self.alone


@record(frozen=True, slots=True)
class RunResult:
    """`bytes_scanned` is what the file scans read, in bytes; `rows` went into sinks and final steps. `turns`
    are those that had rows, None for a run that reads no streams."""

    run_id: str
    status: RunStatus
    rows: int
    bytes_scanned: int
    error: StageError | None = None
    turns: int | None = None

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
        store: ProgramStore | None,
    ) -> None:
        from heddle.physical.runtime import prepare_runtime

        prepare_runtime()
        self._project = project
        self._path = path
        self._environ = environ
        self._notify = notify
        self._compiler = Compiler(project, project_diagnostics, path, environ, notify, store)
        self._shared_plugins = plugins
        self._plugins_lock = threading.Lock()
        self._own_plugins: Plugins | None = None
        self._asked = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes of plugins that this engine started, and keep the program for later processes
        where that was asked for. More than once does no harm."""
        self._compiler.keep()
        self._keep_open(ExitStack())
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
        stored: bool = False,
    ) -> Engine:
        """The engine for a program, under a profile of its project. Raises `UsageError`.

        `notify` is told of work that may take long before a run: building a plugin. `plugins` are those of
        another engine of the same project, to share its processes; they stay open. With `stored` a program
        that an earlier process checked is taken from the user's cache folder, and kept there on leaving.
        """
        project, diagnostics = load_project(path)
        store = None
        # What a parameter is given may be meant for this run only.
        if stored and not params and store_is_on(environ):
            from heddle.program_store import ProgramStore

            store = ProgramStore.of_user(environ)
        project = project.select(profile, params or {})
        return cls(project, diagnostics, path, environ, notify, plugins, store)

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

    def _secrets(self) -> SecretStore:
        """Each run looks its secrets up anew."""
        from heddle.secrets import SecretStore

        return SecretStore(self._project.secrets, self._environ, self.masker)

    def check(
        self, text: str | None = None, *, strict_layout: bool = False, ask: bool = False
    ) -> CheckResult:
        """Read (unless `text` is given), parse and type the program. With `ask` services are asked for
        columns that `heddle.lock` does not say; what was opened for that serves the next run as well."""
        if not ask:
            return self._compiler.check(text, strict_layout=strict_layout)
        asked = ExitStack()
        try:
            return self._compiler.check(
                text,
                strict_layout=strict_layout,
                describer=cache(lambda: asked.enter_context(self._describer())),
            )
        finally:
            self._keep_open(asked)

    def _keep_open(self, asked: ExitStack) -> None:
        """What was opened to ask services, in place of what was opened before."""
        with self._plugins_lock:
            before, self._asked = self._asked, asked
        before.close()

    def refresh(self, *, strict_layout: bool = False) -> Refreshed:
        """Check the program, ask services for all columns that only they know, and keep what they say in
        `heddle.lock`. Raises `UsageError` when that cannot be written."""
        from heddle.refreshing import keep_answers

        with self._describer(self._notify) as describer:
            checked = self._compiler.check(
                None, strict_layout=strict_layout, describer=lambda: describer, refreshing=True
            )
        return keep_answers(self._project, self._path, checked, describer.answers)

    def health(self, program: TypedProgram) -> Mapping[str, Diagnostic | None]:
        """What is wrong with each resource of a program; None where nothing is."""
        with self._describer() as describer:
            return describer.health(program)

    def _describer(self, notify: Notify = lambda line: None) -> Describer:
        from heddle.describing import Describer

        return Describer(self.plugins, self._secrets(), self._environ, self.masker, self._base, notify)

    def plan(self, program: TypedProgram, options: RunOptions) -> LogicalPlan:
        """The optimized logical plan. Raises `UsageError` for an unknown workflow or output."""
        return self._compiler.plans(program, options)[0]

    def explain(self, program: TypedProgram, options: RunOptions) -> Explanation:
        """Raises `ProgramError` when something that the plan depends on has no value."""
        from heddle.physical.describe import explain
        from heddle.readiness import unbound

        plan, handlers = self._compiler.plans(program, options)
        _raise_if_errors(unbound(program))
        configs = self._resolve(program, [plan, *handlers.values()])

        def explained(of: LogicalPlan) -> Explanation:
            memo = self._memo(of, options, configs) if of is plan else None
            of = self._on_engines(of, options, configs)
            of = memo.marked(of) if memo is not None else of
            return explain(of, self._base, Path(tempfile.gettempdir()), configs, os.cpu_count() or 1)

        return replace(explained(plan), handlers={name: explained(p) for name, p in handlers.items()})

    def analyze(
        self,
        program: TypedProgram,
        options: RunOptions,
        listener: Listener,
        cancel: CancelToken,
        streams: Streams,
        ending: EndSwitch | None = None,
    ) -> tuple[Explanation, RunResult]:
        """Run the program, effects included, and explain it with what each stage did."""
        from heddle.physical.measures import Measures

        measures = Measures(listener)
        explanation = self.explain(program, options)
        result = self.run(program, options, measures.listener, cancel, streams, ending)
        return explanation.with_measures(measures.by_stage()), result

    def run(
        self,
        program: TypedProgram,
        options: RunOptions,
        listener: Listener,
        cancel: CancelToken,
        streams: Streams,
        ending: EndSwitch | None = None,
    ) -> RunResult:
        """Run to the end. `ending` asks a run in turns to end after the turn under way. Raises `ProgramError`
        when something the run needs cannot be had."""
        from heddle.physical.cancel import EndSwitch
        from heddle.physical.environment import RunEnvironment, TurnLimits
        from heddle.physical.scratch import scratch_folder

        plan, handlers = self._compiler.plans(program, options)
        plans = [plan, *handlers.values()]
        if program.parameters or _have_steps(plans):
            from heddle.readiness import missing

            _raise_if_errors(missing(program, plans))
        configs = self._resolve(program, plans)
        plan = self._on_engines(plan, options, configs)
        memo = self._memo(plan, options, configs)
        plan = memo.marked(plan) if memo is not None else plan
        handlers = {name: self._on_engines(p, options, configs) for name, p in handlers.items()}
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
                    program=program.source.path,
                    check_steps=options.check_steps,
                    chance=chance,
                    shared_frames=_shared_frames(options),
                    memo=memo,
                    turn_limits=TurnLimits(ending or EndSwitch(), options.turns_max, options.idle_s),
                )
                outcome = _executor(plan)(program, plan, env, handlers)
            finally:
                transport.close()
                self._keep_open(ExitStack())
        done = outcome
        return RunResult(run_id, done.status, done.rows, done.bytes_scanned, done.error, done.turns)

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

        def ascends(scan: Scan, column: str) -> bool:
            from heddle.physical.estimates import FileEstimates

            return FileEstimates(self._base).ascends(scan, column)

        chosen, refusals = choose_engines(plan, options.engine, reads_itself, ascends)
        if refusals:
            raise UsageError(
                f"{refusals[0].path} cannot run on duckdb: {refusals[0].reason}",
                help="use `--engine auto`, which runs such queries on datafusion",
            )
        return chosen

    def _transport(self, plans: Sequence[LogicalPlan], options: RunOptions) -> StepTransport:
        """How this run's steps are reached; a run without steps loads nothing for them."""
        if not _have_steps(plans):
            from heddle.udf_bridge.transport import NoTransport

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
        from heddle.secrets import References

        parameters = {name: p.value for name, p in program.parameters.items() if p.bound}
        references = References(self._environ, self._secrets(), parameters, self.masker)
        configs = ResolvedConfigs(program, references)
        _raise_if_errors(configs.resolve(op for plan in plans for op in plan.ops.values()))
        return configs

    @property
    def _base(self) -> Path:
        return self._path.resolve().parent

    def _memo(self, plan: LogicalPlan, options: RunOptions, configs: ResolvedConfigs) -> RunMemo | None:
        """None when nothing is kept between runs, or there is nothing to keep. Raises `UsageError`."""
        from heddle.logical.plan import Step

        given = options.memo_bytes if options.memo_bytes is not None else self._project.memo_bytes
        if not given or not options.optimize or options.check_steps:
            return None
        if not any(isinstance(op, Step) for op in plan.ops.values()) or _reads_streams(plan):
            return None
        from heddle.physical.environment import SystemClock
        from heddle.physical.memo import Memo, memo_folder
        from heddle.physical.run_memo import RunMemo

        try:
            memo = Memo(memo_folder(self._environ), given)
        except OSError as error:
            raise UsageError(f"the memo cannot be used: {error}", help="run with `--memo 0`") from error
        return RunMemo(memo, plan, configs, self._base, SystemClock().now)

    def _memory(self, options: RunOptions) -> int:
        from heddle.physical.memory import default_budget_bytes

        return options.memory_bytes or self._project.memory_bytes or default_budget_bytes()


def _shared_frames(options: RunOptions) -> SharedFrames | None:
    if not options.shares:
        return None
    from heddle.physical.shared_frames import FRAMES

    return FRAMES


def _executor(plan: LogicalPlan) -> Executor:
    if _reads_streams(plan):
        from heddle.physical.turns import execute_in_turns

        return execute_in_turns
    from heddle.physical.executor import execute

    return execute


def _reads_streams(plan: LogicalPlan) -> bool:
    from heddle.logical.plan import Step

    return any(isinstance(op, Step) and op.call.signature.stream for op in plan.ops.values())


def _have_steps(plans: Sequence[LogicalPlan]) -> bool:
    from heddle.logical.plan import Step

    return any(isinstance(op, Step) for plan in plans for op in plan.ops.values())


def _raise_if_errors(diagnostics: list[Diagnostic]) -> None:
    if diagnostics:
        raise ProgramError(diagnostics)
