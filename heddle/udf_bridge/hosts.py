"""The plugin processes of an engine: started with the first use, shared by its runs, started again when they
die, given up for a while when they keep dying.

A `Host` stands for one plugin in one version of its code. When code changes, new runs get a host of their
own; the old one ends with its last session.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Final, TypeVar

from heddle.udf_bridge.connection import Connection
from heddle.udf_bridge.kept import KeptBindings
from heddle.udf_bridge.keys import BindingKey, ResourceKey
from heddle.udf_bridge.launch import Launch
from heddle.udf_bridge.process import PluginProcess, PluginStartError
from heddle.udf_bridge.segments import SharedMemory
from heddle.udf_bridge.transport import (
    OnCancel,
    PluginStopped,
    Report,
    Reporter,
    StepFailure,
)

SHARED_BYTES_MAX: Final = 1 << 30
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
CRASHES_MAX: Final = 5
"""So many crashes within `CRASH_WINDOW_S` make a plugin degraded for `DEGRADED_S`."""
CRASH_WINDOW_S: Final = 60.0
DEGRADED_S: Final = 30.0
IDLE_HOST_S: Final = 300.0
"""A host without sessions for so long is closed when another one is asked for."""

Counted = TypeVar("Counted")

_numbers = count(1)


class Host:
    """One plugin's process, whichever it is now. Thread-safe."""

    def __init__(self, launch: Launch, environ: Mapping[str, str], shared: SharedMemory) -> None:
        self.launch = launch
        self._environ = environ
        self._shared = shared
        self._starting = threading.Lock()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._crashes: deque[float] = deque(maxlen=CRASHES_MAX)
        self._last_crash = ""
        self._reporters: Counter[Reporter] = Counter()
        self._bindings: Counter[BindingKey] = Counter()
        self._resources: Counter[ResourceKey] = Counter()
        self._kept = KeptBindings()
        self.retired = False
        self.idle_since = time.monotonic()

    @property
    def sessions(self) -> int:
        return self._bindings.total()

    @property
    def degraded(self) -> str | None:
        """Why the plugin is given up for now; None while it is not."""
        crashes = list(self._crashes)
        if len(crashes) < CRASHES_MAX or crashes[-1] - crashes[0] > CRASH_WINDOW_S:
            return None
        if time.monotonic() - crashes[-1] > DEGRADED_S:
            return None
        return self._last_crash

    @contextmanager
    def telling(self, report: Reporter) -> Iterator[None]:
        """What the process says while this is open goes to `report` too."""
        self.subscribe(report)
        try:
            yield
        finally:
            self.unsubscribe(report)

    def subscribe(self, report: Reporter) -> None:
        with self._lock:
            self._reporters[report] += 1

    def unsubscribe(self, report: Reporter) -> None:
        with self._lock:
            _take_one(self._reporters, report)

    def connection(self, on_cancel: OnCancel | None = None) -> Connection:
        """The running plugin, started if need be; after a crash not at once. Raises `StepFailure`."""
        found = self._connection
        if found is not None and found.alive:
            return found
        with self._starting:
            found = self._connection
            if found is not None and found.alive:
                return found
            if found is not None:
                self.lost(found, found.ending())
            self._refuse_degraded()
            self._back_off(on_cancel)
            try:
                process = PluginProcess(self.launch, next(_numbers), self._environ, self._tell)
                self._connection = Connection(process, self._environ, self._shared, self._tell)
            except PluginStartError as error:
                raise StepFailure(str(error), "PluginStartError", "") from error
            return self._connection

    def lost(self, connection: Connection, reason: str) -> None:
        """The process of a connection ended or must end; counted once."""
        with self._lock:
            if self._connection is not connection:
                return
            self._connection = None
            self._kept.clear()
            self._crashes.append(time.monotonic())
            self._last_crash = reason
        connection.discard()
        self._tell(PluginStopped(self.launch.name, reason))

    def open_session(self, key: BindingKey, report: Reporter) -> None:
        """Count a user of a binding, so that its resources stay open until the last has gone."""
        self.subscribe(report)
        with self._lock:
            self._bindings[key] += 1
            self._kept.used(key)
            self._resources.update({resource for _, resource in key.resources})

    def close_session(self, key: BindingKey, report: Reporter) -> None:
        """Resources are closed with their last user. A binding without any stays for a while."""
        with self._lock:
            _take_one(self._bindings, key)
            for resource in {resource for _, resource in key.resources}:
                _take_one(self._resources, resource)
            unused = self._kept.unused(key) if not self._bindings[key] else []
            resources = [r for _, r in reversed(key.resources) if not self._resources[r]]
            connection = self._connection
            # Forgotten under the lock: a session that opens from here on binds anew.
            given_up = connection.give_up(unused, resources) if connection is not None else None
            self.idle_since = time.monotonic()
        if connection is not None and given_up is not None:
            connection.release(given_up)
        self.unsubscribe(report)

    def distrust(self, key: BindingKey) -> None:
        """A call of a binding has failed, so it is not kept for other sessions."""
        with self._lock:
            self._kept.distrust(key)

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _refuse_degraded(self) -> None:
        reason = self.degraded
        if reason is not None:
            raise StepFailure(
                f"the plugin `{self.launch.name}` is degraded: it crashed {CRASHES_MAX} times within "
                f"{CRASH_WINDOW_S:g} s, and is tried again in {DEGRADED_S:g} s; the last time: {reason}",
                "PluginDegraded",
                "",
            )

    def _back_off(self, on_cancel: OnCancel | None) -> None:
        now = time.monotonic()
        recent = [at for at in self._crashes if now - at < CRASH_WINDOW_S]
        if not recent:
            return
        until = recent[-1] + min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (len(recent) - 1))
        woken = threading.Event()
        forget = on_cancel(woken.set) if on_cancel is not None else lambda: None
        woken.wait(max(0.0, until - now))
        forget()

    def _tell(self, report: Report) -> None:
        with self._lock:
            reporters = list(self._reporters)
        for reporter in reporters:
            reporter(report)


def _take_one(users: Counter[Counted], of: Counted) -> None:
    users[of] -= 1
    if not users[of]:
        del users[of]


class PluginHosts:
    """The hosts of an engine, by launch; close it with the engine. Thread-safe."""

    def __init__(
        self, environ: Mapping[str, str] = os.environ, shared_bytes_max: int = SHARED_BYTES_MAX
    ) -> None:
        self._environ = environ
        self._shared = SharedMemory(shared_bytes_max)
        self._lock = threading.Lock()
        self._hosts: dict[Launch, Host] = {}

    def host(self, launch: Launch) -> Host:
        """The host of a plugin. Hosts of its former code, and idle ones, are closed when nobody uses them."""
        with self._lock:
            found = self._hosts.get(launch)
            if found is None:
                found = self._hosts[launch] = Host(launch, self._environ, self._shared)
                for other in self._hosts.values():
                    other.retired |= other.launch.origin == launch.origin and other is not found
            found.idle_since = time.monotonic()
            unused = self._take_unused(found)
        for host in unused:
            host.close()
        return found

    def hosts(self) -> list[Host]:
        with self._lock:
            return list(self._hosts.values())

    def closed_session(self, host: Host) -> None:
        """A session of `host` has ended: one whose code is no longer used ends with its last session."""
        with self._lock:
            done = host.retired and not host.sessions and self._hosts.pop(host.launch, None) is host
        if done:
            host.close()

    def close(self) -> None:
        """End all processes, side by side."""
        with self._lock:
            hosts = list(self._hosts.values())
            self._hosts.clear()
        threads = [threading.Thread(target=host.close, name="heddle-plugin-close") for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _take_unused(self, asked: Host) -> list[Host]:
        now = time.monotonic()
        unused = [
            h
            for h in self._hosts.values()
            if h is not asked and not h.sessions and (h.retired or now - h.idle_since > IDLE_HOST_S)
        ]
        for host in unused:
            del self._hosts[host.launch]
        return unused
