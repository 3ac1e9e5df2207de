"""Where in the files a reader's error lies.

DataFusion reads a file in parts at once, so its own line numbers count from somewhere inside. After a
failure the files are read once more, from the start, to find the first place that is wrong.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import pyarrow as pa

from heddle.core.config import ConfigValue
from heddle.std.files import FileSet, find_files, open_plain
from heddle.std.reader_errors import ReaderError

LINES_MAX: Final = 20_000_000
"""A place further on is not looked for: the search must end in reasonable time."""

_TYPE = re.compile(r"parsing value '(?P<value>.*?)' as type .*?Row data: '\[(?P<row>.*)\]'", re.DOTALL)
_FIELDS = re.compile(r"(?:incorrect number of fields|Encountered unequal lengths)")
_JSON_FIELD = re.compile(r"whilst decoding field '(?P<field>.*?)'")


def locate(text: str, step: str, config: Mapping[str, ConfigValue], base: Path) -> str | None:
    """`orders.csv:2002` for the text of an error that reading `config`'s files raised, else None."""
    try:
        files = find_files(
            step, str(config.get("path")), base, str(config.get("compression") or "auto"), None
        )
    except ReaderError:
        return None
    find = {"csv": _csv_line, "json": _json_line, "parquet": _parquet_file}.get(step)
    if find is None:
        return None
    for file in files.files:
        try:
            place = find(text, file, files, config)
        except (OSError, EOFError, lzma.LZMAError, pa.ArrowInvalid):
            place = str(file)
        if place is not None:
            return place
    return None


def _csv_line(text: str, file: Path, files: FileSet, config: Mapping[str, ConfigValue]) -> str | None:
    delimiter = str(config.get("delimiter") or ",")
    wrong_type, wrong_count = _TYPE.search(text), _FIELDS.search(text)
    if "utf-8" in text.lower():
        return _first_line(file, files, lambda line: not _is_utf8(line))
    if not wrong_type and not wrong_count:
        return None
    with open_plain(file, files.compression) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        reader = csv.reader(lines, delimiter=delimiter, quotechar=str(config.get("quote") or '"'))
        comment = config.get("comment")
        width: int | None = None
        for row in reader:
            if not row or (isinstance(comment, str) and row[0].startswith(comment)):
                continue
            width = width or len(row)
            found = ",".join(row) == wrong_type["row"] if wrong_type else len(row) != width
            if found:
                return f"{file}:{reader.line_num}"
            if reader.line_num > LINES_MAX:
                return None
    return None


def _json_line(text: str, file: Path, files: FileSet, config: Mapping[str, ConfigValue]) -> str | None:
    if not _JSON_FIELD.search(text):
        return _first_line(file, files, lambda line: bool(line.strip()) and not _is_object(line))
    field = _JSON_FIELD.search(text)
    value = re.search(r"failed to parse (?P<value>.+?) as ", text)
    if field is None or value is None:
        return None
    wanted = value["value"]

    def holds_it(line: bytes) -> bool:
        return wanted.encode() in line and json.dumps(json.loads(line).get(field["field"])) == wanted

    return _first_line(file, files, holds_it)


def _parquet_file(text: str, file: Path, files: FileSet, config: Mapping[str, ConfigValue]) -> str | None:

    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    for group in range(opened.num_row_groups):
        opened.read_row_group(group)
    return None


def _first_line(file: Path, files: FileSet, wrong: Callable[[bytes], bool]) -> str | None:
    with open_plain(file, files.compression) as stream:
        for number, line in _numbered(stream):
            if wrong(line):
                return f"{file}:{number}"
    return None


def _numbered(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(stream, 1):
        if number > LINES_MAX:
            return
        yield number, line


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
