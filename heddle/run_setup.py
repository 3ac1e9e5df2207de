"""What a run is asked for, and what it needs beside its plans: plain configs, engines, a folder, a transport.

`RunSetup` belongs to an engine and is asked once for each run, explanation or answer.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heddle.config import Project
from heddle.core.record import record
from heddle.diagnostics import Diagnostic
from heddle.errors import ProgramError, StageError, UsageError
from heddle.physical.events import Listener, RunStatus

if TYPE_CHECKING:
    from heddle.frontend.typed import TypedProgram
    from heddle.logical.plan import EngineChoice, LogicalPlan, Scan
    from heddle.physical.cancel import CancelToken, EndSwitch
    from heddle.physical.environment import RunEnvironment
    from heddle.physical.memo import Memo
    from heddle.physical.result_cache import ResultCache
    from heddle.physical.run_memo import RunMemo
    from heddle.physical.shared_frames import SharedFrames
    from heddle.resolving import ResolvedConfigs
    from heddle.secrets import Masker, SecretStore
    from heddle.std.sinks import Streams
    from heddle.udf_bridge.plugins import Plugins
    from heddle.udf_bridge.transport import StepTransport


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
    results of steps are kept on disk for later runs; with None the project says how much. With
    `result_cache` a client's query takes what the engine's result cache has, and leaves its own there. A run
    that reads streams ends after `turns_max` turns that had rows, or when none came for `idle_s` seconds, if
    that is given."""

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
    result_cache: bool = False
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


@record(frozen=True, slots=True)
class ReadyRun:
    """A run that can begin: its plans with an engine for each fragment."""

    plan: LogicalPlan
    handlers: Mapping[str, LogicalPlan]
    env: RunEnvironment


@record(frozen=True, slots=True)
class Recalled:
    """A plan's plain configs, and what earlier runs have left for it, if it is looked at."""

    configs: ResolvedConfigs
    memo: RunMemo | None


class RunSetup:
    """`plugins` and `secrets` are asked when a run needs them; `base` is the program's folder. `cache` is
    where results of clients' queries are kept."""

    def __init__(
        self,
        project: Project,
        base: Path,
        environ: Mapping[str, str],
        masker: Masker,
        plugins: Callable[[], Plugins],
        secrets: Callable[[], SecretStore],
        cache: ResultCache | None = None,
    ) -> None:
        self._project = project
        self._base = base
        self._environ = environ
        self._masker = masker
        self._plugins = plugins
        self._secrets = secrets
        self._cache = cache

    def recalled(
        self,
        program: TypedProgram,
        plan: LogicalPlan,
        handlers: Mapping[str, LogicalPlan],
        options: RunOptions,
    ) -> Recalled:
        """Before a run of the plans. Raises `ProgramError` for what cannot be had."""
        plans = [plan, *handlers.values()]
        if program.parameters or _have_steps(plans):
            from heddle.readiness import missing

            raise_if_errors(missing(program, plans))
        configs = self.resolved(program, plans)
        return Recalled(configs, self.memo(plan, options, configs))

    @contextmanager
    def ready(
        self,
        program: TypedProgram,
        plan: LogicalPlan,
        handlers: Mapping[str, LogicalPlan],
        options: RunOptions,
        listener: Listener,
        cancel: CancelToken,
        streams: Streams,
        ending: EndSwitch | None,
        scratch: Path | None = None,
        recalled: Recalled | None = None,
    ) -> Iterator[ReadyRun]:
        """All that a run of the plans needs, while it runs, with a folder of its own if none is given. Raises
        `ProgramError` for what cannot be had, if that was not `recalled` before."""
        from heddle.core.private_folder import scratch_folder
        from heddle.physical.cancel import EndSwitch
        from heddle.physical.environment import RunEnvironment, TurnLimits

        plans = [plan, *handlers.values()]
        recalled = recalled or self.recalled(program, plan, handlers, options)
        configs, memo = recalled.configs, recalled.memo
        plan = self.physical(plan, options, configs, memo)
        handlers = {name: self.physical(p, options, configs, None) for name, p in handlers.items()}
        chance = random.Random()
        run_id = f"{chance.getrandbits(48):012x}"
        own = scratch_folder(run_id, Path(tempfile.gettempdir()))
        with own if scratch is None else nullcontext(scratch) as folder:
            transport = self._transport(plans, options)
            try:
                env = RunEnvironment(
                    run_id=run_id,
                    base=self._base,
                    scratch=folder,
                    memory_bytes=self.memory(options),
                    transport=transport,
                    resolver=configs,
                    streams=streams,
                    listener=listener,
                    cancel=cancel,
                    cores=self.cores,
                    batch_rows=options.batch_rows,
                    program=program.source.path,
                    check_steps=options.check_steps,
                    chance=chance,
                    shared_frames=_shared_frames(options),
                    memo=memo,
                    turn_limits=TurnLimits(ending or EndSwitch(), options.turns_max, options.idle_s),
                )
                yield ReadyRun(plan, handlers, env)
            finally:
                transport.close()

    def physical(
        self, plan: LogicalPlan, options: RunOptions, configs: ResolvedConfigs, memo: RunMemo | None
    ) -> LogicalPlan:
        """The plan as it is run: with an engine for each fragment, with what the memo has or shall have, and
        with the form in which texts travel. Raises `UsageError` where an engine that is asked for cannot."""
        plan = self._on_engines(plan, options, configs)
        plan = memo.marked(plan) if memo is not None else plan
        if not options.optimize or not _have_steps([plan]):
            return plan
        from heddle.physical.views import keep_views

        return keep_views(plan, memo)

    def _on_engines(self, plan: LogicalPlan, options: RunOptions, configs: ResolvedConfigs) -> LogicalPlan:
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
        return self._plugins().transport(
            inline=options.inline, holds_secret=lambda text: self._masker.mask(text) != text
        )

    def resolved(self, program: TypedProgram, plans: Sequence[LogicalPlan]) -> ResolvedConfigs:
        """The plain configs of all operators. Raises `ProgramError` for what cannot be had."""
        from heddle.resolving import ResolvedConfigs
        from heddle.secrets import References

        parameters = {name: p.value for name, p in program.parameters.items() if p.bound}
        references = References(self._environ, self._secrets(), parameters, self._masker)
        configs = ResolvedConfigs(program, references)
        raise_if_errors(configs.resolve(op for plan in plans for op in plan.ops.values()))
        return configs

    def memo(self, plan: LogicalPlan, options: RunOptions, configs: ResolvedConfigs) -> RunMemo | None:
        """None when nothing is kept between runs, or there is nothing to keep. Raises `UsageError`."""
        if not options.optimize or options.check_steps or reads_streams(plan):
            return None
        cache = self._cache if options.result_cache and _reads(plan) else None
        given = options.memo_bytes if options.memo_bytes is not None else self._project.memo_bytes
        memo = self._disk_memo(given) if given and _have_steps([plan]) else None
        if memo is None and cache is None:
            return None
        from heddle.physical.environment import SystemClock
        from heddle.physical.run_memo import RunMemo

        return RunMemo(memo, plan, configs, self._base, SystemClock().now, cache)

    def _disk_memo(self, size_bytes_max: int) -> Memo:
        from heddle.physical.memo import Memo, memo_folder

        try:
            return Memo(memo_folder(self._environ), size_bytes_max)
        except OSError as error:
            raise UsageError(f"the memo cannot be used: {error}", help="run with `--memo 0`") from error

    def memory(self, options: RunOptions) -> int:
        """In bytes. What the result cache may take is not for runs."""
        budget_bytes = self._project.memory_bytes or self._default_memory_bytes
        kept_bytes = self._cache.size_bytes_max if self._cache is not None else 0
        return options.memory_bytes or max(budget_bytes - kept_bytes, budget_bytes // 2)

    @cached_property
    def _default_memory_bytes(self) -> int:
        from heddle.physical.memory import default_budget_bytes

        return default_budget_bytes()

    @cached_property
    def cores(self) -> int:
        return os.cpu_count() or 1


def _shared_frames(options: RunOptions) -> SharedFrames | None:
    if not options.shares:
        return None
    from heddle.physical.shared_frames import FRAMES

    return FRAMES


def reads_streams(plan: LogicalPlan) -> bool:
    from heddle.logical.plan import Step

    return any(isinstance(op, Step) and op.call.signature.stream for op in plan.ops.values())


def _reads(plan: LogicalPlan) -> bool:
    """Whether the plan has more than what its text says."""
    from heddle.logical.plan import Scan, Step

    return any(isinstance(op, Scan | Step) for op in plan.ops.values())


def _have_steps(plans: Sequence[LogicalPlan]) -> bool:
    from heddle.logical.plan import Step

    return any(isinstance(op, Step) for plan in plans for op in plan.ops.values())


def raise_if_errors(diagnostics: list[Diagnostic]) -> None:
    if diagnostics:
        raise ProgramError(diagnostics)
