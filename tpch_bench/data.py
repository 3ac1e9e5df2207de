"""TPC-H tables as Parquet files, made once per scale factor under `.cache/tpch`.

`tables(scale)` gives the eight files of a scale factor and makes them with `tpchgen-cli` when they
are not there yet. Data is complete or absent: it is made in a folder of its own and then renamed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
CACHE = Path(__file__).parents[1] / ".cache" / "tpch"


def folder(scale: float) -> Path:
    return CACHE / f"sf{scale:g}"


def tables(scale: float) -> Mapping[str, Path]:
    """The file of each table at `scale`; 1 is about 350 MB of Parquet."""
    target = folder(scale)
    if not target.is_dir():
        _generate(scale, target)
    return {table: target / f"{table}.parquet" for table in TABLES}


def _generate(scale: float, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    beside_python = Path(sys.executable).with_name("tpchgen-cli")
    tool = str(beside_python) if beside_python.exists() else shutil.which("tpchgen-cli")
    if tool is None:
        raise SystemExit("tpchgen-cli is not installed: pip install tpchgen-cli")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / "made"
        subprocess.run([tool, "parquet", "-s", f"{scale:g}", "--output-dir", str(made)], check=True)
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the TPC-H tables of a scale factor.")
    parser.add_argument("scale", type=float, nargs="?", default=1.0)
    for table, path in tables(parser.parse_args().scale).items():
        print(f"{table:9} {path.stat().st_size:>12,} bytes  {path}")


if __name__ == "__main__":
    main()
