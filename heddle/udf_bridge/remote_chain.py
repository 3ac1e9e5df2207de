"""A chain in a plugin process: its steps are bound one by one, and called in one call.

Only steps that may run twice stand in chains, so a call that was lost with others is made once more.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pyarrow as pa

from heddle.udf_bridge.connection import Connection, failure_of_lost
from heddle.udf_bridge.hosts import Host, PluginHosts
from heddle.udf_bridge.keys import binding_key
from heddle.udf_bridge.lane_call import PluginGoneError, PluginLostError
from heddle.udf_bridge.transport import (
    CallContext,
    ChainEnd,
    ChainRefused,
    Reporter,
    StepBinding,
    StepFailure,
)


class RemoteChain:
    """Implements `ChainSession`."""

    def __init__(
        self, hosts: PluginHosts, host: Host, bindings: Sequence[StepBinding], report: Reporter
    ) -> None:
        self._hosts = hosts
        self._host = host
        self._keys = [binding_key(binding) for binding in bindings]
        self._report = report
        self._lock = threading.Lock()
        self._closed = False
        for key in self._keys:
            host.open_session(key, report)

    def bind(self) -> bool:
        """Whether the plugin knows chains; if not, the chain is closed. So it is after `ChainRefused`."""
        known = False
        try:
            known = self._bound()
        finally:
            if not known:
                self.close()
        return known

    def run(self, input: pa.Table, contexts: Sequence[CallContext], reports: Sequence[Reporter]) -> ChainEnd:
        try:
            end = self._run(input, contexts, reports)
        except StepFailure:
            self._distrust()
            raise
        if end.failure is not None:
            self._distrust()
        return end

    def _distrust(self) -> None:
        for key in self._keys:
            self._host.distrust(key)

    def _run(self, input: pa.Table, contexts: Sequence[CallContext], reports: Sequence[Reporter]) -> ChainEnd:
        connection = self._host.connection(contexts[0].on_cancel)
        others, started = connection.calls, connection.started
        try:
            return connection.call_chain(self._keys, input, contexts, reports)
        except PluginLostError as lost:
            self._host.lost(connection, str(lost))
            alone = not others and connection.started == started + 1
            if contexts[0].cancelled() or (alone and not isinstance(lost, PluginGoneError)):
                raise failure_of_lost(connection.name, lost) from lost
        connection = self._host.connection(contexts[0].on_cancel)
        try:
            return connection.call_chain(self._keys, input, contexts, reports)
        except PluginLostError as lost:
            self._host.lost(connection, str(lost))
            raise failure_of_lost(connection.name, lost) from lost

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for key in self._keys:
            self._host.close_session(key, self._report)
        self._hosts.closed_session(self._host)

    def _bound(self) -> bool:
        for number in range(len(self._keys)):
            try:
                try:
                    connection = self._bind(number)
                except PluginGoneError:
                    connection = self._bind(number)
            except PluginLostError as lost:
                raise ChainRefused(number, failure_of_lost(self._host.launch.name, lost)) from lost
            except StepFailure as failure:
                raise ChainRefused(number, failure) from failure
            if not connection.chains:
                return False
        return True

    def _bind(self, number: int) -> Connection:
        connection = self._host.connection()
        if connection.chains:
            try:
                connection.bind(self._keys[number])
            except PluginLostError as lost:
                self._host.lost(connection, str(lost))
                raise
        return connection
