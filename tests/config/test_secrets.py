"""Secrets are found where the project says, converted, and masked in every text."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heddle.config import SecretSettings
from heddle.core.config import ConfigField, ConfigType, ConfigValue
from heddle.diagnostics import Diagnostic, Source, Span
from heddle.frontend.typed import ConfigData, EnvRef, ParamRef, SecretRef
from heddle.secrets import (
    MASK,
    ConfigPlace,
    Masker,
    References,
    SecretStore,
    UnresolvedValue,
    resolve_config,
)

PASSWORD = "correct horse"


def store(environ: Mapping[str, str] | None = None, **settings: object) -> SecretStore:
    return SecretStore(SecretSettings(**settings), environ or {}, Masker())  # type: ignore[arg-type]


def secret_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secrets.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, "{name}")


def problem(secrets: SecretStore, name: str = "DB") -> UnresolvedValue:
    with pytest.raises(UnresolvedValue) as raised:
        secrets.resolve(name)
    return raised.value


def test_environment_goes_before_file_and_command(tmp_path: Path) -> None:
    path = secret_file(tmp_path, 'DB = "from file"')
    command = python("print('from command')")
    assert (
        store({"HEDDLE_SECRET_DB": "own", "DB": "plain"}, file=path, command=command).resolve("DB") == "own"
    )
    assert store({"DB": "plain"}, file=path, command=command).resolve("DB") == "plain"
    assert store({}, file=path, command=command).resolve("DB") == "from file"
    assert store({}, file=path, command=command).resolve("OTHER") == "from command"


def test_a_secret_that_is_nowhere_says_where_it_was_looked_for(tmp_path: Path) -> None:
    found = problem(store())
    assert (found.code, found.message) == ("HD0811", "the secret `DB` is not set")
    assert "`HEDDLE_SECRET_DB`, `DB`" in found.help
    assert "[secrets] in heddle.toml" in found.help
    path = secret_file(tmp_path, 'DB_PASSWORD = "x"')
    assert "which has `DB_PASSWORD`" in problem(store(file=path), "DB_PASSWROD").help


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, f'DB = "{PASSWORD}"', mode)
    found = problem(store(file=path))
    assert found.code == "HD0812"
    assert f"(its mode is {mode:03o})" in found.message
    assert found.help == f"run `chmod 600 {path}`"
    path.chmod(0o600)
    assert store(file=path).resolve("DB") == PASSWORD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"DB = {PASSWORD}", "is not valid TOML"),
        ("DB = 5", "`DB` in the secrets file"),
        ("DB = '\udcff'", "TOML"),
    ],
)
def test_a_file_that_cannot_be_read_shows_nothing_of_it(tmp_path: Path, text: str, message: str) -> None:
    path = secret_file(tmp_path, "")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    found = problem(store(file=path))
    assert found.code == "HD0815"
    assert message in found.message
    assert PASSWORD not in found.message + found.help


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    found = problem(store(file=tmp_path / "nowhere.toml"))
    assert (found.code, "nowhere.toml cannot be read" in found.message) == ("HD0815", True)


def test_the_command_gets_the_name_and_no_shell(tmp_path: Path) -> None:
    echo = python("import sys; print(sys.argv[1] + ' $HOME `ls`')")
    assert store({}, command=echo).resolve("team/db") == "team/db $HOME `ls`"
    assert store({}, command=python("import os; print(os.getcwd())"), folder=tmp_path).resolve("X") == str(
        tmp_path
    )


def test_only_the_last_line_break_is_taken_away() -> None:
    assert store({}, command=python("print('a \\nb \\n')")).resolve("X") == "a \nb \n"
    assert store({}, command=python("print('a', end='\\r\\n')")).resolve("X") == "a"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("no-such-program", "{name}"), "`no-such-program` cannot be started: No such file or directory"),
        (python("import sys; sys.exit('not unlocked')"), "failed for `DB` with exit code 1: not unlocked"),
        (python(""), "printed nothing for `DB`"),
    ],
)
def test_a_command_that_gives_nothing(command: tuple[str, ...], message: str) -> None:
    found = problem(store({}, command=command))
    assert found.code == "HD0813"
    assert message in found.message


def test_a_command_that_does_not_end() -> None:
    found = problem(store({}, command=python("import threading; threading.Event().wait()"), timeout_s=0.5))
    assert found.code == "HD0813"
    assert "gave no answer for `DB` within 0.5 s" in found.message


@pytest.mark.parametrize("name", ["--help", "a b", "$(x)", ""])
def test_a_name_cannot_be_an_option_of_the_command(name: str) -> None:
    assert problem(store({}, command=python("print('x')")), name).code == "HD0813"


def resolve(
    config: Mapping[str, ConfigData],
    fields: tuple[ConfigField, ...],
    environ: Mapping[str, str] | None = None,
    parameters: Mapping[str, ConfigData] | None = None,
) -> tuple[dict[str, ConfigValue], tuple[Diagnostic, ...], Masker]:
    masker = Masker()
    references = References(
        environ or {}, SecretStore(SecretSettings(), environ or {}, masker), parameters or {}, masker
    )
    place = ConfigPlace(
        "the resource `db`",
        Source("p.he", "resource db = pg.db { port: … }"),
        Span(0, 11),
        {"port": Span(22, 26)},
    )
    return *resolve_config(config, fields, references, place), masker


PORT = ConfigField("port", ConfigType("int"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "5432", 5432),
        ("float", "0.5", 0.5),
        ("bool", "true", True),
        ("bool", "0", False),
        ("string", "5432", "5432"),
        ("any", "5432", "5432"),
    ],
)
def test_text_becomes_the_type_of_the_setting(kind: str, text: str, value: ConfigValue) -> None:
    field = ConfigField("x", ConfigType(kind))  # type: ignore[arg-type]
    assert resolve({"x": EnvRef("X")}, (field,), {"X": text})[:2] == ({"x": value}, ())
    assert resolve({"x": SecretRef("X")}, (field,), {"X": text})[:2] == ({"x": value}, ())
    assert resolve({"x": ParamRef("x")}, (field,), {}, {"x": text})[:2] == ({"x": value}, ())


def test_a_parameter_may_itself_be_a_reference() -> None:
    values, found, masker = resolve({"port": ParamRef("p")}, (PORT,), {"S": "5432"}, {"p": SecretRef("S")})
    assert (values, found) == ({"port": 5432}, ())
    assert masker.mask("at 5432") == f"at {MASK}"


def test_references_inside_lists_and_tables() -> None:
    fields = (
        ConfigField("ports", ConfigType("list", items=ConfigType("int"))),
        ConfigField(
            "auth", ConfigType("struct", fields=(PORT, ConfigField("key", ConfigType("string"), secret=True)))
        ),
        ConfigField("labels", ConfigType("map", items=ConfigType("int"))),
    )
    config: Mapping[str, ConfigData] = {
        "ports": [1, EnvRef("P")],
        "auth": {"port": EnvRef("P"), "key": EnvRef("K")},
        "labels": {"a": EnvRef("P")},
    }
    values, found, masker = resolve(config, fields, {"P": "2", "K": "hidden key"})
    assert found == ()
    assert values == {"ports": [1, 2], "auth": {"port": 2, "key": "hidden key"}, "labels": {"a": 2}}
    assert masker.mask("hidden key") == MASK


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (
            EnvRef("PGPROT"),
            "HD0810",
            "the environment variable `PGPROT` is not set; `port` of the resource `db` needs it",
        ),
        (SecretRef("S"), "HD0811", "the secret `S` is not set; `port` of the resource `db` needs it"),
        (
            EnvRef("BAD"),
            "HD0814",
            "the environment variable `BAD` does not hold an int; `port` of the resource `db` needs it",
        ),
        (
            ParamRef("p"),
            "HD0814",
            "the parameter `p` does not hold an int; `port` of the resource `db` needs it",
        ),
    ],
)
def test_what_cannot_be_had_is_said_at_its_setting(value: ConfigData, code: str, message: str) -> None:
    environ = {"PGPORT": "1", "BAD": PASSWORD}
    values, (found,), _ = resolve({"port": value}, (PORT,), environ, {"p": "many"})
    assert values == {}
    assert (found.code, found.message, found.span) == (code, message, Span(22, 26))
    assert found.help
    assert PASSWORD not in found.message + found.help


def test_a_near_variable_is_named() -> None:
    _, (found,), _ = resolve({"port": EnvRef("PGPROT")}, (PORT,), {"PGPORT": "1"})
    assert found.help == "did you mean `PGPORT`?"


def test_all_missing_values_are_reported() -> None:
    fields = (PORT, ConfigField("user", ConfigType("string")))
    _, found, _ = resolve({"port": EnvRef("A"), "user": SecretRef("B")}, fields)
    assert [d.code for d in found] == ["HD0810", "HD0811"]


def test_a_secret_setting_is_masked_wherever_its_value_comes_from() -> None:
    field = (ConfigField("password", ConfigType("string"), secret=True),)
    for value in (PASSWORD, EnvRef("P"), ParamRef("p")):
        masker = resolve({"password": value}, field, {"P": PASSWORD}, {"p": PASSWORD})[2]
        assert masker.mask(f"login {PASSWORD} failed") == f"login {MASK} failed"


SECRETS = st.text(min_size=4, max_size=20).filter(lambda s: len(s.strip()) >= 4)


@given(SECRETS, st.text(max_size=10), st.text(max_size=10))
def test_no_form_of_a_secret_gets_through(secret: str, before: str, after: str) -> None:
    masker = Masker()
    masker.add(secret)
    for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
        assert masker.mask(form) == MASK
        assert form not in masker.mask(f"{before} {form} {after}") or form in f"{before} {MASK} {after}"


def test_masking_takes_the_longest_secret_and_each_line_of_a_key() -> None:
    masker = Masker()
    masker.add("abcd")
    masker.add("abcdefgh")
    masker.add("-----BEGIN-----\nline one\n  line two\n")
    assert masker.mask("x abcdefgh y abcd") == f"x {MASK} y {MASK}"
    assert masker.mask("found `line two`") == f"found `{MASK}`"


def test_short_values_are_left_alone() -> None:
    masker = Masker()
    masker.add("abc")
    masker.add("")
    assert masker.mask("abc") == "abc"
