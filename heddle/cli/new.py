"""`heddle new`: a folder with a small project that checks and runs at once, copied from `template/`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from heddle.cli.options import color_option
from heddle.errors import UsageError

TEMPLATE = Path(__file__).with_name("template")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@click.command()
@click.argument("path", metavar="NAME")
@color_option
def new(path: str) -> None:
    """Make a folder with a new project: a program, its data, a step in Python.

    NAME may be a path; its last part names the project.
    """
    folder = Path(path)
    name = folder.name
    if not _NAME.fullmatch(name):
        help = "a letter first, then letters, digits, `_` and `-`"
        raise UsageError(f"`{name or path}` cannot be the name of a project", help=help)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already", help="choose another name, or empty it first")
    try:
        _copy_template(folder, name)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    click.echo(f"made {folder}: now `cd {folder}` and `heddle run {name}.he`", err=True)


def _copy_template(folder: Path, name: str) -> None:
    from string import Template

    for file in sorted(TEMPLATE.rglob("*")):
        if file.is_dir() or "__pycache__" in file.parts:
            continue
        target = folder / file.relative_to(TEMPLATE)
        target = target.with_name(
            {"program.he": f"{name}.he", "gitignore": ".gitignore"}.get(target.name, target.name)
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(file.read_text("utf-8")).safe_substitute(name=name), "utf-8")
