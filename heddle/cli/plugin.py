"""`heddle plugin`: make, list, describe, build, test and serve plugins."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import click

from heddle.cli.options import color_option, notice
from heddle.cli.wording import counted
from heddle.errors import UsageError

TEMPLATES = Path(__file__).with_name("plugin_templates")
LANGUAGES = ("python", "go", "rust", "node")
RUN_TESTS = {
    "python": "python -m pytest",
    "go": "go test ./...",
    "rust": "cargo test",
    "node": "npm install && npm test",
}
_NAME = re.compile(r"[a-z][a-z0-9-]*")


@click.group()
def plugin() -> None:
    """Make, list, describe, build, test and serve plugins: steps in Python, Go, Rust or Node."""


@plugin.command()
@click.argument("path", metavar="NAME")
@click.option(
    "--lang",
    "language",
    type=click.Choice(LANGUAGES),
    default="python",
    show_default=True,
    help="The language of its steps.",
)
@color_option
def new(path: str, language: str) -> None:
    """Make a folder with a plugin that builds, tests and runs.

    NAME may be a path; its last part names the plugin and its namespace.
    """
    folder = Path(path)
    if not _NAME.fullmatch(folder.name):
        help = "a small letter first, then small letters, digits and `-`"
        raise UsageError(f"`{folder.name or path}` cannot be the name of a plugin", help=help)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already", help="choose another name, or empty it first")
    try:
        _copy_template(folder, language)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    click.echo(
        f"made {folder}: now `cd {folder}`, `{RUN_TESTS[language]}` and `heddle plugin test .`", err=True
    )


@plugin.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@color_option
def list_(as_json: bool) -> None:
    """List the modules that programs in this folder can import by name."""
    from heddle.config import load_project
    from heddle.plugin_tools import list_plugins

    project, _ = load_project(Path.cwd() / "program.he")
    entries = list_plugins(project)
    width = max(len(entry.path) for entry in entries)
    for entry in entries:
        if as_json:
            click.echo(json.dumps(asdict(entry)))
        else:
            click.echo(f"{entry.path:<{width}}  {entry.kind:<9}  {entry.place}")


@plugin.command()
@click.argument("path", metavar="PLUGIN", default=".")
@color_option
def describe(path: str) -> None:
    """Show what PLUGIN offers: an import path, a Python file, or a plugin project's folder."""
    from heddle.config import load_project
    from heddle.plugin_tools import description, plugin_module

    project, _ = load_project(Path.cwd() / "program.he")
    click.echo(description(plugin_module(project, path, notice)), nl=False)


@plugin.command()
@click.argument("folder", metavar="FOLDER", default=".")
@color_option
def build(folder: str) -> None:
    """Build a plugin project, unless that was done for this code."""
    from heddle.plugin_tools import build as build_project

    done = build_project(Path(folder), notice)
    click.echo("built" if done else "nothing to build", err=True)


@plugin.command()
@click.argument("path", metavar="PLUGIN", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a case.")
@color_option
def test(path: str, as_json: bool) -> int:
    """Run the conformance cases against PLUGIN; exit code 1 when one fails.

    They call only steps that cannot change anything: deterministic ones without resources and required
    settings.
    """
    from heddle.config import load_project
    from heddle.plugin_tools import test as run_cases

    project, _ = load_project(Path.cwd() / "program.he")
    failed = passed = 0
    for result in run_cases(project, path, os.environ, notice):
        failed += result.problem is not None
        passed += result.problem is None
        if as_json:
            click.echo(json.dumps(asdict(result)))
            continue
        mark = click.style("ok  ", fg="green") if result.problem is None else click.style("FAIL", fg="red")
        click.echo(f"{mark} {result.name}" + (f": {result.problem}" if result.problem else ""))
    if not as_json:
        click.echo(f"{counted(passed, 'case')} passed, {failed} failed", err=True)
    return 1 if failed else 0


@plugin.command()
@click.argument("path", metavar="PLUGIN")
@click.option(
    "--listen",
    default="127.0.0.1:7070",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes a free one.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file of mode 600 with the token that engines must have; needed unless HOST is this one only.",
)
@click.option(
    "--tls-cert", "certificate", type=click.Path(path_type=Path), metavar="FILE", help="A PEM certificate."
)
@click.option("--tls-key", "key", type=click.Path(path_type=Path), metavar="FILE", help="Its PEM key.")
@color_option
def serve(
    path: str, listen: str, token_file: Path | None, certificate: Path | None, key: Path | None
) -> None:
    """Serve a plugin of this host to engines on other hosts, over Arrow Flight.

    PLUGIN may be an import path, a Python file, or a plugin project's folder. ^C or SIGTERM ends it once
    the calls under way are done. What the plugin writes appears on stderr.
    """
    from heddle.cli.interrupt import until_interrupted
    from heddle.config import load_project
    from heddle.plugin_tools import ServeOptions, serving

    project, _ = load_project(Path.cwd() / "program.he")
    options = ServeOptions(listen, token_file, certificate, key)
    with serving(project, path, options, os.environ, notice) as url:
        with until_interrupted() as wait:
            click.echo(f"serving {path} on {url}", err=True)
            wait()
        click.echo("ending: the calls under way are finished first (^C again leaves at once)", err=True)


def _copy_template(folder: Path, language: str) -> None:
    template = TEMPLATES / language
    for file in sorted(template.rglob("*")):
        if file.is_dir() or "__pycache__" in file.parts:
            continue
        relative = str(file.relative_to(template)).replace("__NAME__", folder.name)
        target = folder / relative.replace("gitignore", ".gitignore", int(file.name == "gitignore"))
        target.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text("utf-8").replace("__NAME__", folder.name)
        target.write_text(text.replace("__SDK__", str(_sdk(language))), "utf-8")


def _sdk(language: str) -> Path:
    """Where the SDK of a language is: in the installed package, or in the repository it runs from."""
    import heddle

    package = Path(heddle.__file__).resolve().parent
    installed = package / "sdk_sources" / language
    return installed if installed.is_dir() else package.parent / "sdk" / language
