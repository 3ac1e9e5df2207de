"""`heddle version` and `heddle completion`."""

from __future__ import annotations

import json
import platform

import click

from heddle.cli.options import color_option

_PACKAGES = ("datafusion", "prqlc", "pyarrow")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@color_option
def version(as_json: bool) -> None:
    """Show the versions of Heddle and of what it stands on."""
    from heddle import __version__

    versions = {"heddle": __version__, "python": platform.python_version()}
    versions |= {package: _installed(package) for package in _PACKAGES}
    if as_json:
        click.echo(json.dumps(versions))
        return
    for name, number in versions.items():
        click.echo(f"{name} {number}")


def _installed(package: str) -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as package_version

    try:
        return package_version(package)
    except PackageNotFoundError:
        return "not installed"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@color_option
def completion(shell: str) -> None:
    """Print the script that completes `heddle` commands in a shell.

    \b
    bash: heddle completion bash > ~/.local/share/bash-completion/completions/heddle
    zsh:  heddle completion zsh > a folder of $fpath, as _heddle
    fish: heddle completion fish > ~/.config/fish/completions/heddle.fish
    """
    from click.shell_completion import get_completion_class

    from heddle.cli.main import cli

    shell_class = get_completion_class(shell)
    assert shell_class is not None
    click.echo(shell_class(cli, {}, "heddle", "_HEDDLE_COMPLETE").source())
