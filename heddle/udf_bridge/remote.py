"""Steps in plugin processes: a transport whose endpoints call over lanes.

A call whose process dies fails alone. Where other calls went down with it, those of steps that may run
twice are made again in a new process, so that one run's crash is not another's failure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.core.signature import ModuleSignature
from heddle.core.step import RejectedRows
from heddle.core.types import RowType
from heddle.udf_bridge.asking import answer_of
from heddle.udf_bridge.connection import Connection, failure_of_lost
from heddle.udf_bridge.hosts import Host, PluginHosts
from heddle.udf_bridge.keys import BindingKey, binding_key
from heddle.udf_bridge.lane_call import PluginGoneError, PluginLostError
from heddle.udf_bridge.launch import Launch
from heddle.udf_bridge.merging import Mergers
from heddle.udf_bridge.remote_chain import RemoteChain
from heddle.udf_bridge.session import ContractedSession, step_name
from heddle.udf_bridge.transport import (
    CallContext,
    ChainRefused,
    Endpoint,
    Reporter,
    StepBinding,
    StepFailure,
)

Launches: TypeAlias = Callable[[ModuleSignature], Launch]
"""From what an import resolved to, to how its process is started. Raises `StepFailure`."""


class RemoteTransport:
    """`hosts` and `mergers` belong to the engine and serve all its runs; the transport is one run's."""

    def __init__(self, hosts: PluginHosts, mergers: Mergers, launches: Launches) -> None:
        self._hosts = hosts
        self._mergers = mergers
        self._launches = launches

    def open(self, binding: StepBinding, report: Reporter) -> ContractedSession:
        """Starts the plugin, opens the step's resources and binds it. Raises `StepFailure`."""
        if not binding.signature.runnable:
            raise StepFailure(f"`{step_name(binding)}` is declared but has no body", "Unsupported", "")
        host = self._hosts.host(self._launches(binding.module))
        remote = RemoteEndpoint(self._hosts, host, binding, report)
        remote.bind()
        endpoint: Endpoint = self._mergers.merged(binding, remote, report) or remote
        return ContractedSession(binding, endpoint)

    def open_chain(self, bindings: Sequence[StepBinding], report: Reporter) -> RemoteChain | None:
        try:
            host = self._hosts.host(self._launches(bindings[0].module))
        except StepFailure as failure:
            raise ChainRefused(0, failure) from failure
        chain = RemoteChain(self._hosts, host, bindings, report)
        return chain if chain.bind() else None

    def close(self) -> None:
        """Sessions give their resources back themselves."""


class RemoteEndpoint:
    """Implements `Endpoint`."""

    keeps_deadlines = True

    def __init__(self, hosts: PluginHosts, host: Host, binding: StepBinding, report: Reporter) -> None:
        self._hosts = hosts
        self._host = host
        self._key = binding_key(binding)
        signature = binding.signature
        self._stateful = signature.stateful
        self._may_repeat = signature.may_repeat and not signature.stateful
        self._known_by: Connection | None = None
        self._report = report
        self._lock = threading.Lock()
        self._closed = False
        host.open_session(self._key, report)

    @property
    def key(self) -> tuple[Launch, BindingKey]:
        """Equal for endpoints whose calls may be merged."""
        return self._host.launch, self._key

    def bind(self) -> None:
        """Raises `StepFailure`; then the endpoint is closed."""
        try:
            try:
                self._bind()
            except PluginGoneError:
                self._bind()
        except PluginLostError as lost:
            self.close()
            raise failure_of_lost(self._host.launch.name, lost) from lost
        except StepFailure:
            self.close()
            raise

    def call(
        self,
        input: pa.Table | None,
        context: CallContext,
        refused: list[RejectedRows],
        report: Reporter | None = None,
    ) -> Iterator[pa.Table]:
        """A call that was lost with others is made once more, unless part of its output is already used.
        `report` stands in for the endpoint's own, in a call that serves several."""
        try:
            yield from self._call(input, context, refused, report or self._report)
        except StepFailure:
            self._host.distrust(self._key)
            raise

    def ask(self, context: CallContext) -> ConfigValue:
        return answer_of(lambda report: self.call(None, context, [], report), self._report)

    def infer(self, input: RowType | None) -> RowType:
        connection = self._host.connection()
        try:
            return connection.infer(self._key, input)
        except PluginLostError as lost:
            self._host.lost(connection, str(lost))
            raise failure_of_lost(connection.name, lost) from lost

    def _call(
        self, input: pa.Table | None, context: CallContext, refused: list[RejectedRows], report: Reporter
    ) -> Iterator[pa.Table]:
        connection = self._host.connection(context.on_cancel)
        if self._stateful:
            self._refuse_another(connection)
        others, started = connection.calls, connection.started
        begun = False
        try:
            for table in connection.call(self._key, input, context, refused, report):
                begun = True
                yield table
            return
        except PluginLostError as lost:
            self._host.lost(connection, str(lost))
            alone = not others and connection.started == started + 1
            again = isinstance(lost, PluginGoneError) or (self._may_repeat and not alone and not begun)
            again = again and not self._stateful
            if not again or context.cancelled():
                raise failure_of_lost(connection.name, lost) from lost
        refused.clear()
        connection = self._host.connection(context.on_cancel)
        try:
            yield from connection.call(self._key, input, context, refused, report)
        except PluginLostError as lost:
            self._host.lost(connection, str(lost))
            raise failure_of_lost(connection.name, lost) from lost

    def _refuse_another(self, connection: Connection) -> None:
        """Calls that belong together end with the process that began them."""
        if self._known_by is not None and self._known_by is not connection:
            raise StepFailure(
                f"the plugin `{connection.name}` ended in mid-run, and with it what `{self._key.step}` had "
                "open",
                "PluginCrashed",
                "",
                transient=True,
            )
        self._known_by = connection

    def _bind(self) -> None:
        connection = self._host.connection()
        try:
            connection.bind(self._key)
        except PluginLostError as lost:
            self._host.lost(connection, str(lost))
            raise

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._host.close_session(self._key, self._report)
        self._hosts.closed_session(self._host)
