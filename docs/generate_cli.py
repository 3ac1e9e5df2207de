"""Writes `docs/reference/cli.md` from the command line itself: `python docs/generate_cli.py`.

`render` walks the click commands in the order in which `heddle --help` lists them.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from heddle.cli.main import cli

COMMON = {"--help", "--color"}
TARGET = Path(__file__).parent / "reference" / "cli.md"
HEAD = """\
# Command line

`heddle COMMAND --help` prints what stands here. Every command takes `--color auto`, `always` or `never`;
`NO_COLOR` turns colours off. Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 the
program's data or code failed, 2 the program has errors or the command was used wrongly, 3 a service cannot
be reached, 130 interrupted.
"""


def render(group: click.Group) -> str:
    return "\n".join([HEAD, *_commands(group, click.Context(group, info_name="heddle"))])


def _commands(group: click.Group, context: click.Context) -> list[str]:
    """The sections of a group's commands; those of a command that is a group follow it."""
    parts = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        parts.append(_command(command, inner))
        if isinstance(command, click.Group):
            parts += _commands(command, inner)
    return parts


def _command(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"## {context.command_path}", "", f"`{usage}`", "", _paragraphs(command.help or "")]
    records = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and not parameter.hidden and not COMMON & set(parameter.opts)
        for record in [parameter.get_help_record(context)]
        if record is not None
    ]
    if records:
        lines += ["", "| option | meaning |", "|---|---|"]
        lines += [f"| `{_cell(names)}` | {_cell(meaning)} |" for names, meaning in records]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> str:
    """A paragraph that click leaves as it is (`\\b`) becomes a block."""
    return "\n\n".join(_paragraph(paragraph) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _paragraph(text: str) -> str:
    if text.startswith("\b\n"):
        return "```text\n" + text.removeprefix("\b\n") + "\n```"
    return " ".join(text.split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(render(cli))
