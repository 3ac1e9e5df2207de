"""Files that are written past the page cache hold exactly what was written."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from heddle.database.part_file import BLOCK_BYTES, BUFFER_BYTES, PartFile

SIZES = [
    0,
    1,
    BLOCK_BYTES,
    BUFFER_BYTES - 1,
    BUFFER_BYTES,
    BUFFER_BYTES + 1,
    2 * BUFFER_BYTES,
    5 * BUFFER_BYTES + 12_345,
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("memory", [False, True], ids=["disk", "memory"])
def test_what_is_written_is_there(tmp_path: Path, size: int, memory: bool) -> None:
    chance = random.Random(size)
    data = chance.randbytes(size)
    shared = Path("/dev/shm") if memory and Path("/dev/shm").is_dir() else tmp_path
    with TemporaryDirectory(dir=shared) as folder:
        path = Path(folder, "f.part")
        file = PartFile(path)
        at = 0
        while at < size:
            count = chance.choice([1, 17, 4_096, 100_000, BUFFER_BYTES, 3 * BUFFER_BYTES])
            file.write(data[at : at + count])
            at = min(size, at + count)
            assert file.tell() == at
        assert file.finish() == size
        assert file.closed
        assert path.read_bytes() == data


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(FileExistsError):
        PartFile(tmp_path / "f")
    assert (tmp_path / "f").read_text() == "mine"


def test_a_file_that_is_left_is_closed(tmp_path: Path) -> None:
    file = PartFile(tmp_path / "f")
    file.write(bytes(3 * BUFFER_BYTES))
    file.close()
    file.close()
    assert file.closed
