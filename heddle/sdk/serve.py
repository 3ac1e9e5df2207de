"""A plugin process: `serve` answers the engine that started it (heddle/udf_bridge/protocol.md).

Control goes over gRPC (`serve_control`), calls over lanes (`serve_calls`); `lifeline` ends the process.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Final, NoReturn

from heddle.sdk.lifeline import Lifeline
from heddle.sdk.loaded import LoadedModule

FOLDER_VARIABLE: Final = "HEDDLE_PLUGIN_FOLDER"
READY_LINE: Final = "heddle-plugin 1\n"
CALLS_WAIT_S: Final = 1.0
"""How long the end of the process waits for cancelled calls before it closes what they use."""


def plugin_folder() -> Path | None:
    """The folder that the engine made for this process; None when it was started by hand. What this process
    starts is no plugin, so it does not see the folder."""
    folder = os.environ.pop(FOLDER_VARIABLE, None)
    return Path(folder) if folder else None


def serve(module: LoadedModule, folder: Path, lifeline: Lifeline | None = None) -> NoReturn:
    """Answer until the engine is gone, then end the process."""
    lifeline = lifeline or Lifeline(folder)
    from heddle.sdk.plugin_lane import Limits
    from heddle.sdk.registry import Registry
    from heddle.sdk.runtime import ModuleRuntime
    from heddle.sdk.serve_calls import Calls, Lanes
    from heddle.sdk.serve_control import control
    from heddle.sdk.serve_log import CallOrStderr

    logging.getLogger().addHandler(CallOrStderr())
    registry, calls, limits = Registry(ModuleRuntime(module)), Calls(), Limits()
    lanes = Lanes(str(folder / "lanes.sock"), registry, calls, limits)
    server = control(str(folder / "control.sock"), module, registry, calls, limits)

    def end() -> None:
        calls.drain(CALLS_WAIT_S, cancel=True)
        for problem in registry.close_all():
            sys.stderr.write(f"heddle: {problem}\n")
        server.stop(0)

    lifeline.on_end = end
    lanes.serve()
    _say_ready()
    threading.Event().wait()
    raise AssertionError("nothing sets the event")


def _say_ready() -> None:
    """User code's lines come whole, whoever else prints."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)
    sys.stdout.write(READY_LINE)
    sys.stdout.flush()
