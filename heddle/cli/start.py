"""Where the command `heddle` starts. Most of a cold start is the loading of libraries: for a verb that needs
them a thread has the system load theirs, without the interpreter's lock, while Python reads our modules.
"""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

INTERRUPTED: Final = 130
VERBS: Final = frozenset(("run", "check", "serve", "sql"))
"""Those that load the libraries, unless only their help is asked for."""
HELP: Final = frozenset(("-h", "--help"))
LIBRARIES: Final = (("pyarrow", "lib"), ("datafusion", "_internal"), ("prqlc", "prqlc"))
"""The packages, and the modules in them that are libraries."""


def main() -> NoReturn:
    try:
        if os.name == "posix" and VERBS.intersection(sys.argv[1:2]) and not HELP.intersection(sys.argv):
            load_libraries()
        from heddle.cli.main import main as call_verb
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    call_verb()


def load_libraries() -> None:
    """Begin with it. Nothing waits for the thread, and it imports nothing: Python's own importing may fail
    where two threads begin with it."""
    import _thread
    import ctypes

    from heddle.physical.runtime import prepare_runtime

    system_open = getattr(ctypes.CDLL(None), "dlopen", None)
    if system_open is None:
        return
    system_open.restype = ctypes.c_void_p
    prepare_runtime()
    paths, flags = [os.fsencode(path) for path in _library_paths()], sys.getdlopenflags()

    def load() -> None:
        for path in paths:
            system_open(path, flags)

    _thread.start_new_thread(load, ())


def _library_paths() -> list[str]:
    from importlib.machinery import PathFinder

    found: list[str] = []
    for package, module in LIBRARIES:
        outer = PathFinder.find_spec(package)
        if outer is not None and outer.submodule_search_locations is not None:
            inner = PathFinder.find_spec(f"{package}.{module}", outer.submodule_search_locations)
            if inner is not None and inner.origin is not None:
                found.append(inner.origin)
    return found
