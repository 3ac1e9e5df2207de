"""`python -m heddle.sdk.host FILE …`: a process for a Python file that does not serve itself.

The engine starts it for modules beside a program, for listed plugins and for installed connectors. The code
is the one that the program was planned with: `--hash` names it, `--bundle` holds it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from heddle.sdk.lifeline import Lifeline
from heddle.sdk.serve import FOLDER_VARIABLE, plugin_folder, serve

if TYPE_CHECKING:
    from heddle.sdk.code import Code
    from heddle.sdk.loaded import LoadedModule

HASH_CHARS_SHOWN = 12


def main(arguments: list[str]) -> NoReturn:
    options = _options(arguments)
    folder = plugin_folder()
    if folder is None:
        raise SystemExit(
            f"heddle.sdk.host is started by the engine, which sets {FOLDER_VARIABLE}; run a program with "
            "`heddle run` instead"
        )
    lifeline = Lifeline(folder)
    from heddle.sdk.loader import LoadProblem

    try:
        module = _module(options)
    except LoadProblem as problem:
        help = f"\nhelp: {problem.help}" if problem.help else ""
        raise SystemExit(f"error: {problem.message}\n  at {problem.place}{help}") from None
    serve(module, folder, lifeline)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m heddle.sdk.host", description="Serve a Python module.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", type=Path, help="a Python file")
    what.add_argument("--installed", metavar="NAME", help="an installed module instead of a file")
    parser.add_argument("--import-path", required=True, help="how programs import it")
    parser.add_argument("--namespace", help="the namespace that a plugin must have")
    parser.add_argument("--root", action="append", default=[], type=Path, help="a folder of further modules")
    parser.add_argument("--hash", default="", help="the hash of the code that the program was planned with")
    parser.add_argument("--bundle", type=Path, help="a folder with that code")
    return parser.parse_args(arguments)


def _module(options: argparse.Namespace) -> LoadedModule:
    """Raises `LoadProblem`."""
    from heddle.sdk.loader import load_code, load_installed

    if options.installed is not None:
        module = load_installed(options.installed, options.import_path, namespace=options.namespace)
        _check_hash(options, module.signature.code_hash, Path(module.signature.origin))
        return module
    return load_code(_code(options), options.import_path, namespace=options.namespace)


def _code(options: argparse.Namespace) -> Code:
    from heddle.sdk.bundle import BundleError, load_bundle
    from heddle.sdk.loader import LoadProblem, read_code

    if options.bundle is None:
        code = read_code(options.file, options.root)
    else:
        try:
            code = load_bundle(options.bundle)
        except BundleError as error:
            raise LoadProblem("missing", str(error), options.file) from error
    _check_hash(options, code.hash, code.path)
    return code


def _check_hash(options: argparse.Namespace, found: str, path: Path) -> None:
    from heddle.sdk.loader import LoadProblem

    if options.hash and found != options.hash:
        raise LoadProblem(
            "missing",
            f"{options.import_path} has changed since the program was planned: its code was "
            f"{options.hash[:HASH_CHARS_SHOWN]}, and is {found[:HASH_CHARS_SHOWN]} now",
            path,
            help="run the program again",
        )


if __name__ == "__main__":
    main(sys.argv[1:])
