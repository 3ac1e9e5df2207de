"""The history's file is the user's alone, and holds no secrets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from heddle.repl.history import VARIABLE, is_secret, open_history


@pytest.mark.parametrize(
    "text",
    [
        "\\connect grpc://me:hunter2@host:1",
        "\\connect grpc+tls://me@host:1",
        "\\param password hunter2",
        "\\param api_key abc",
        "select * from f(token => 'abc')",
        "create user x password 'abc'",
        " select 1;",
    ],
)
def test_secrets_are_not_kept(text: str, tmp_path: Path) -> None:
    assert is_secret(text)
    file = tmp_path / "history"
    history = open_history({VARIABLE: str(file)})
    history.append_string(text)
    history.append_string("select 1;")
    assert "select 1;" in file.read_text()
    assert text not in file.read_text()


@pytest.mark.parametrize(
    "text", ["select secrets from t;", "select password from users;", "\\connect grpc://host:1"]
)
def test_what_only_speaks_of_secrets_is_kept(text: str) -> None:
    assert not is_secret(text)


def test_the_file_is_made_private(tmp_path: Path) -> None:
    file = tmp_path / "state" / "heddle" / "sql_history"
    open_history({"XDG_STATE_HOME": str(tmp_path / "state")})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    open_history({"XDG_STATE_HOME": str(tmp_path / "state")})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_a_file_it_is_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for chosen in ("off", "", str(tmp_path / "link"), str(tmp_path / "elsewhere" / "below")):
        history = open_history({VARIABLE: chosen})
        history.append_string("select 1;")
        assert history.get_strings() == ["select 1;"]
    assert (tmp_path / "elsewhere").read_text() == ""
