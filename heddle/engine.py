"""The engine: the pipeline on one page, and the only door for the front ends.

text --check--> typed program --plan--> logical plan --run--> events, files, printed tables
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from heddle.compiling import CheckResult, Compiler, Notify
from heddle.config import Project, load_project
from heddle.diagnostics import Diagnostic
from heddle.physical.events import Listener
from heddle.program_cache import store_is_on
from heddle.run_setup import (
    BATCH_ROWS,
    RunOptions,
    RunResult,
    RunSetup,
    raise_if_errors,
    reads_streams,
)

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from heddle.core.signature import ModuleSignature
    from heddle.describing import Describer
    from heddle.frontend.typed import TypedProgram
    from heddle.logical.asked import AskedQuery
    from heddle.logical.explain import Explanation
    from heddle.logical.plan import LogicalPlan
    from heddle.physical.answering import AnswerSpace
    from heddle.physical.batches import Batches
    from heddle.physical.cancel import CancelToken, EndSwitch
    from heddle.physical.executor import Executor
    from heddle.physical.result_cache import ResultCache
    from heddle.program_store import ProgramStore
    from heddle.refreshing import Refreshed
    from heddle.run_setup import Recalled
    from heddle.secrets import Masker, SecretStore
    from heddle.std.sinks import Streams
    from heddle.udf_bridge.address import GatewayAddress
    from heddle.udf_bridge.plugins import Plugins

__all__ = ["BATCH_ROWS", "CheckResult", "Engine", "RunOptions", "RunResult"]


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
        cache: ResultCache | None = None,
    ) -> None:
        from heddle.physical.runtime import prepare_runtime

        prepare_runtime()
        self._project = project
        self._path = path
        self._environ = environ
        self._notify = notify
        self._compiler = Compiler(project, project_diagnostics, path, environ, notify, store)
        self._shared_plugins = plugins
        self._cache = cache
        self._plugins_lock = threading.Lock()
        self._own_plugins: Plugins | None = None
        self._asked = ExitStack()
        self._shared_by_answers = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes of plugins that this engine started, and keep the program for later processes
        where that was asked for. More than once does no harm."""
        self._compiler.keep()
        self._keep_open(ExitStack())
        self._shared_by_answers.close()
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
        cache: ResultCache | None = None,
    ) -> Engine:
        """The engine for a program, under a profile of its project. Raises `UsageError`.

        `notify` is told of work that may take long before a run: building a plugin. `plugins` are those of
        another engine of the same project, to share its processes; they stay open. With `stored` a program
        that an earlier process checked is taken from the user's cache folder, and kept there on leaving. The
        `cache` is that of clients' queries, which engines of one process may share.
        """
        project, diagnostics = load_project(path)
        store = None
        # What a parameter is given may be meant for this run only.
        if stored and not params and store_is_on(environ):
            from heddle.program_store import ProgramStore

            store = ProgramStore.of_user(environ)
        project = project.select(profile, params or {})
        return cls(project, diagnostics, path, environ, notify, plugins, store, cache)

    @property
    def namespace(self) -> str:
        """That of the project, "heddle" where no project file names one."""
        return self._project.namespace if self._project.source is not None else "heddle"

    @property
    def memory_bytes(self) -> int:
        """The budget of a run that is given none."""
        return self._setup.memory(RunOptions())

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
        plan, handlers = self._compiler.plans(program, options)
        return self._explained(program, plan, handlers, options)

    def explain_asked(self, program: TypedProgram, plan: LogicalPlan, options: RunOptions) -> Explanation:
        """A plan of `asked_plan`. Raises as `explain`."""
        return self._explained(program, plan, {}, options)

    def _explained(
        self,
        program: TypedProgram,
        plan: LogicalPlan,
        handlers: Mapping[str, LogicalPlan],
        options: RunOptions,
    ) -> Explanation:
        from heddle.physical.describe import explain
        from heddle.readiness import unbound

        raise_if_errors(unbound(program))
        setup = self._setup
        configs = setup.resolved(program, [plan, *handlers.values()])

        def explained(of: LogicalPlan) -> Explanation:
            memo = setup.memo(of, options, configs) if of is plan else None
            of = setup.physical(of, options, configs, memo)
            return explain(of, self._base, Path(tempfile.gettempdir()), configs, self._setup.cores)

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
        plan, handlers = self._compiler.plans(program, options)
        setup = self._setup.ready(program, plan, handlers, options, listener, cancel, streams, ending)
        try:
            with setup as ready:
                done = _executor(ready.plan)(program, ready.plan, ready.env, ready.handlers)
        finally:
            self._keep_open(ExitStack())
        return RunResult(ready.env.run_id, done.status, done.rows, done.bytes_scanned, done.error, done.turns)

    def asked_plan(self, program: TypedProgram, asked: AskedQuery, options: RunOptions) -> LogicalPlan:
        """The optimized plan of a client's query over outputs of the program."""
        return self._compiler.asked_plan(program, asked, options)

    def answer(
        self,
        program: TypedProgram,
        plan: LogicalPlan,
        options: RunOptions,
        listener: Listener,
        cancel: CancelToken,
    ) -> Iterator[RecordBatch]:
        """The rows of a client's query, at least one batch, by a plan of `asked_plan`. Raises `ProgramError`
        when something that it needs cannot be had, `StageError` and `Cancelled`."""
        from heddle.physical.answering import constant_of, stream_constant, stream_known
        from heddle.physical.failures import StageFailed

        try:
            shares = options.memory_bytes is None and options.engine == "auto"
            if shares and (constant := constant_of(plan)) is not None:
                yield from stream_constant(constant, self._answer_space)
                return
            recalled = self._setup.recalled(program, plan, {}, options)
            memo = recalled.memo
            known = memo.answer() if memo is not None else None
            if known is not None:
                yield from stream_known(known, plan, listener)
                return
            rows = self._computed(program, plan, options, listener, cancel, recalled)
            yield from rows if memo is None else memo.keeping_answer(rows)
        except StageFailed as failed:
            raise failed.error from failed

    def _computed(
        self,
        program: TypedProgram,
        plan: LogicalPlan,
        options: RunOptions,
        listener: Listener,
        cancel: CancelToken,
        recalled: Recalled,
    ) -> Batches:
        """The rows of a query that were not found."""
        from heddle.physical.answering import is_single, stream_answer, stream_single
        from heddle.std.sinks import NO_STREAMS

        space = self._answer_space if is_single(plan) and options.memory_bytes is None else None
        scratch = space.scratch if space is not None else None
        setup = self._setup.ready(
            program, plan, {}, options, listener, cancel, NO_STREAMS, None, scratch, recalled
        )
        with setup as ready:
            if space is not None:
                yield from stream_single(ready.plan, ready.env, space)
            else:
                yield from stream_answer(program, ready.plan, ready.env)

    @cached_property
    def _answer_space(self) -> AnswerSpace:
        """What single queries share, as long as the engine is open."""
        from heddle.core.private_folder import scratch_folder
        from heddle.physical.answering import AnswerSpace

        with self._plugins_lock:
            folder = scratch_folder(f"{random.getrandbits(48):012x}", Path(tempfile.gettempdir()))
            scratch = self._shared_by_answers.enter_context(folder)
            memory_bytes, cores = self._setup.memory(RunOptions()), self._setup.cores
            space = AnswerSpace(scratch, self._base, memory_bytes, cores, self.masker.mask)
            self._shared_by_answers.callback(space.close)
            return space

    def _gateway_address(self, module: ModuleSignature) -> GatewayAddress:
        from heddle.gateways import gateway_address

        return gateway_address(self._project, module.path, self._environ, self.masker)

    @property
    def _base(self) -> Path:
        return self._path.resolve().parent

    @cached_property
    def _setup(self) -> RunSetup:
        return RunSetup(
            self._project,
            self._base,
            self._environ,
            self.masker,
            lambda: self.plugins,
            self._secrets,
            self._cache,
        )


def _executor(plan: LogicalPlan) -> Executor:
    if reads_streams(plan):
        from heddle.physical.turns import execute_in_turns

        return execute_in_turns
    from heddle.physical.executor import execute

    return execute
