"""A checked program to run again and again through the engine's own door, for the benchmarks.

`project` makes the folder of a program that imports one of the plugins in `benchmarks/plugins`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from heddle.engine import Engine, RunOptions, RunResult
from heddle.frontend.typed import TypedProgram
from heddle.physical.cancel import CancelToken
from heddle.physical.events import Event, Listener
from heddle.std.sinks import Streams


@dataclass(frozen=True, slots=True)
class CheckedProgram:
    """`of_file` and `of_text` stop the benchmark when the program has errors."""

    engine: Engine
    program: TypedProgram

    @classmethod
    def of_file(cls, path: Path, params: Mapping[str, str] | None = None) -> CheckedProgram:
        engine = Engine.open(path, params=params)
        checked = engine.check()
        if checked.program is None:
            raise SystemExit("\n".join(f"{path}: {d.code} {d.message}" for d in checked.diagnostics))
        return cls(engine, checked.program)

    @classmethod
    def of_text(cls, folder: Path, text: str, params: Mapping[str, str] | None = None) -> CheckedProgram:
        path = folder / "program.he"
        path.write_text(text)
        return cls.of_file(path, params)

    def run(
        self,
        *,
        workflows: tuple[str, ...] = (),
        outputs: Mapping[str, str] | None = None,
        memory_bytes: int | None = None,
        optimize: bool = True,
        inline: bool = False,
        listener: Listener | None = None,
    ) -> RunResult:
        """With `RunOptions` of these names. What the program prints goes nowhere."""
        options = RunOptions(
            workflows=workflows,
            outputs=outputs or {},
            memory_bytes=memory_bytes,
            optimize=optimize,
            inline=inline,
        )
        streams = Streams(io.StringIO(), io.StringIO())
        result = self.engine.run(self.program, options, listener or _ignore, CancelToken(), streams)
        if result.exit_code != 0:
            raise SystemExit(f"the run {result.status}: {result.error}")
        return result


def project(folder: Path, plugin: Path) -> None:
    """The folder's `heddle.toml` offers the plugin under its file's name after `bench-`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "heddle.toml").write_text(f'[plugins]\n"bench-{plugin.stem}" = "{plugin}"\n')


def _ignore(event: Event) -> None:
    pass
