"""Paths of readers -> the files they mean.

A path is a file, a folder (its files, and those in `name=value` folders below), a pattern, or the address
of an object store. `FileSet` says which files and how DataFusion can be told of them in one listing.
"""

from __future__ import annotations

import bz2
import fnmatch
import glob
import gzip
import io
import lzma
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final, cast
from urllib.parse import quote

import pyarrow as pa

from heddle.core.record import record
from heddle.std.reader_errors import ReaderError
from heddle.std.stores import RESOURCES, Address, address_of

ENDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "csv": (".csv", ".tsv", ".txt"),
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".ipc", ".feather", ".arrows"),
}
COMPRESSIONS: Final[Mapping[str, str]] = {"gz": "gzip", "bz2": "bz2", "xz": "xz", "zst": "zstd"}
"""File endings, and DataFusion's names of what they mean."""

_PATTERN = re.compile(r"[*?\[]")
_INT = re.compile(r"-?\d{1,18}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@record(frozen=True, slots=True)
class FileSet:
    """`place` is the path as written; `listing` is what DataFusion lists, None when only the single files
    say it exactly. `ending` selects files in a listed folder. Files of an object store are not known."""

    place: str
    files: tuple[Path, ...]
    listing: str | None
    ending: str
    compression: str
    partitions: tuple[tuple[str, pa.DataType], ...] = ()
    store: Address | None = None
    constants: tuple[tuple[str, pa.DataType, str], ...] = ()
    """What the folders above a single file say of its rows: column, type, text of the value."""

    @property
    def single(self) -> Iterator[FileSet]:
        """Each file as a set of its own. A listing of one file cannot tell its folders' columns, so they
        are constants."""
        for file in self.files:
            values = dict(part.split("=", 1) for part in file.parts[:-1] if "=" in part)
            constants = tuple((name, type_, values[name]) for name, type_ in self.partitions)
            yield FileSet(
                self.place,
                (file,),
                file_url(file),
                "",
                _compression_of(file.name) or self.compression,
                constants=constants,
            )


def find_files(step: str, path: str, base: Path, compression: str, partitions: pa.Schema | None) -> FileSet:
    """The files of a reader's `path`. Raises `ReaderError`."""
    address = address_of(path)
    if address is not None:
        return _stored(step, path, address, compression, partitions)
    local = Path(path.removeprefix("file://")).expanduser()
    place = local if local.is_absolute() else base / local
    if place.is_file():
        return FileSet(path, (place,), file_url(place), "", _chosen(compression, place.name))
    if place.is_dir():
        return _folder(step, path, place, compression, partitions)
    if _PATTERN.search(path):
        return _pattern(path, base, local, compression, partitions)
    raise _no_file(path, place)


def file_url(path: Path) -> str:
    """A `file://` address in which nothing of the path is read as a pattern."""
    return "file://" + quote(str(path.absolute()))


def shown(path: Path) -> str:
    """A path as messages show it: relative where it lies below the working directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def open_plain(file: Path, compression: str) -> IO[bytes]:
    """The file's bytes, decompressed; `compression` is DataFusion's name of it."""
    match compression:
        case "gzip":
            return cast(IO[bytes], gzip.open(file))
        case "bz2":
            return bz2.open(file)
        case "xz":
            return lzma.open(file)
        case "zstd":
            return io.BufferedReader(pa.input_stream(str(file), compression="zstd"))
        case _:
            return file.open("rb")


def _folder(step: str, path: str, folder: Path, compression: str, partitions: pa.Schema | None) -> FileSet:
    files = tuple(sorted(_below(folder, ENDINGS[step])))
    if not files:
        endings = ", ".join(ENDINGS[step])
        raise ReaderError("empty", path, f"the folder holds no file that ends in {endings}", "name one file")
    found = _partitions(folder, files, partitions)
    endings_found = {_ending_of(file.name) for file in files}
    one_kind = len(endings_found) == 1
    return FileSet(
        path,
        files,
        file_url(folder) + "/" if one_kind else None,
        endings_found.pop() if one_kind else "",
        _chosen(compression, files[0].name),
        found,
    )


def _pattern(path: str, base: Path, local: Path, compression: str, partitions: pa.Schema | None) -> FileSet:
    root = None if local.is_absolute() else base
    matches = glob.glob(str(local), root_dir=root, recursive=True)
    files = tuple(sorted(f for f in (base / match for match in matches) if f.is_file()))
    if not files:
        raise ReaderError("missing", path, "the pattern matches no file", _folder_hint(base, local))
    folder, name = local.parent, local.name
    plain_folder = not _PATTERN.search(str(folder))
    hidden = plain_folder and any(
        fnmatch.fnmatch(e.name, name) for e in (base / folder).iterdir() if e.name[0] in "._"
    )
    kinds = {_compression_of(file.name) for file in files}
    exact = plain_folder and not hidden and "[" not in name and len(kinds) == 1
    above = glob.escape(str((base / folder).absolute()))
    start = base / Path(*[part for part in local.parts[: _first_pattern(local)]])
    return FileSet(
        path,
        files,
        f"{above}/{name}" if exact else None,
        "",
        _chosen(compression, files[0].name),
        _partitions(start, files, partitions),
    )


def _stored(
    step: str, path: str, address: Address, compression: str, partitions: pa.Schema | None
) -> FileSet:
    if address.scheme not in RESOURCES:
        known = ", ".join(f"{scheme}://" for scheme in RESOURCES)
        raise ReaderError(
            "config", path, f"`{address.scheme}://` is unsupported", f"addresses start with {known}"
        )
    name = address.key.rpartition("/")[2]
    ending = "" if "." in name else ENDINGS[step][0]
    columns = tuple((f.name, f.type) for f in partitions or ())
    return FileSet(path, (), path, ending, _chosen(compression, name), columns, address)


def _below(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Files of a folder and of its `name=value` folders; hidden ones are left out."""
    for entry in folder.iterdir():
        if entry.name[0] in "._":
            continue
        if entry.is_dir():
            if "=" in entry.name:
                yield from _below(entry, endings)
        elif _ending_of(entry.name).removesuffix("." + _suffix(entry.name)) in endings:
            yield entry


def _partitions(
    root: Path, files: tuple[Path, ...], wanted: pa.Schema | None
) -> tuple[tuple[str, pa.DataType], ...]:
    """The columns that `name=value` folders between `root` and the files add, with their types."""
    values: dict[str, set[str]] = {}
    for file in files:
        for part in file.parent.parts[len(root.parts) :]:
            name, mark, value = part.partition("=")
            if mark:
                values.setdefault(name, set()).add(value)
    types = {f.name: f.type for f in wanted or ()}
    return tuple((name, types.get(name) or _type_of(texts)) for name, texts in values.items())


def _type_of(texts: set[str]) -> pa.DataType:
    if all(_INT.fullmatch(text) for text in texts):
        return pa.int64()
    return pa.date32() if all(_DATE.fullmatch(text) for text in texts) else pa.string()


def _chosen(compression: str, name: str) -> str:
    if compression == "auto":
        return _compression_of(name)
    return COMPRESSIONS.get(compression, "")


def _compression_of(name: str) -> str:
    return COMPRESSIONS.get(_suffix(name), "")


def _suffix(name: str) -> str:
    """The ending that tells a compression, or nothing."""
    last = name.rpartition(".")[2].lower()
    return last if last in COMPRESSIONS else ""


def _ending_of(name: str) -> str:
    """`.csv` of `a.csv`, `.csv.gz` of `a.csv.gz`."""
    parts = name.split(".")
    count = 2 if _suffix(name) and len(parts) > 2 else 1
    return "." + ".".join(parts[-count:]) if len(parts) > count else ""


def _first_pattern(path: Path) -> int:
    return next(i for i, part in enumerate(path.parts) if _PATTERN.search(part))


def _no_file(path: str, place: Path) -> ReaderError:
    return ReaderError("missing", path, f"there is no file {shown(place)}", _folder_hint(place.parent, place))


def _folder_hint(folder: Path, wanted: Path) -> str | None:
    """The nearest name in the folder that does exist."""
    from heddle.diagnostics import did_you_mean

    if not folder.is_dir():
        return f"the folder {shown(folder)} does not exist"
    near = did_you_mean(wanted.name, [entry.name for entry in folder.iterdir()])
    return f"did you mean `{near}`?" if near else "relative paths start at the program's folder"
