"""The run's private folder: removed at the end, swept after a crash, refused when others can read it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from heddle.core.private_folder import scratch_folder


def test_it_is_private_and_goes_away(tmp_path: Path) -> None:
    with scratch_folder("one", tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "frame").write_text("x")
    assert not folder.exists()


def test_a_folder_in_use_is_not_swept(tmp_path: Path) -> None:
    with scratch_folder("one", tmp_path) as first, scratch_folder("two", tmp_path) as second:
        assert first.exists()
        assert second.exists()


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom heddle.core.private_folder import scratch_folder\n"
        "with scratch_folder('killed', Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert left.exists()
    with scratch_folder("next", tmp_path):
        assert not left.exists()


def test_a_root_that_others_can_read_is_refused(tmp_path: Path) -> None:
    root = tmp_path / f"heddle-{os.getuid()}"
    root.mkdir()
    root.chmod(0o755)
    with pytest.raises(PermissionError, match="not private"), scratch_folder("one", tmp_path):
        pass
