"""`heddle memo`: the results of steps that runs keep on disk."""

from __future__ import annotations

import os

import click

from heddle.cli.options import color_option
from heddle.cli.wording import counted
from heddle.errors import UsageError
from heddle.sizes import size_text


@click.group()
@color_option
def memo() -> None:
    """The results of steps that `heddle run --memo SIZE` keeps for later runs."""


@memo.command()
@color_option
def clear() -> None:
    """Remove all kept results of this user."""
    from heddle.physical.memo import Memo, memo_folder

    try:
        folder = memo_folder(os.environ)
        cleared = Memo(folder, 0).clear()
    except OSError as error:
        raise UsageError(f"the memo cannot be cleared: {error}") from error
    click.echo(f"removed {counted(cleared.count, 'result')}, {size_text(cleared.size_bytes)}, from {folder}")
