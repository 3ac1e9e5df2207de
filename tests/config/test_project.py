"""`heddle.toml`: found, read, checked, and laid over a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from heddle.config import RemotePlugin, default_policy, load_project
from heddle.diagnostics import Diagnostic
from heddle.engine import Engine
from heddle.errors import UsageError
from heddle.frontend.typed import NO_POLICY, EnvRef, Policy, QueryNode, SecretRef

FULL = """\
[project]
name = "shop"
namespace = "sales"

[plugins]
"fraud-score/detect" = "plugins/fraud.py"

[profile.test.resources.db]
host = "127.0.0.1"
port = { env = "PGPORT" }
options = { ssl = false, tags = ["a", { secret = "TAG" }] }

[profile.test.steps.orders]
path = "small.csv"

[profile.test.params]
percent = 5
region = { secret = "REGION" }

[profile.real]

[memory]
budget = "2GB"

[state]
folder = "/var/lib/shop"

[secrets]
file = "secrets.toml"
command = ["pass", "show", "shop/{name}"]
timeout = 5
"""


REMOTE = """\
[plugins]
"local" = "steps.py"
"scoring" = "grpc://worker:7070/"
"checked" = { url = "grpc+tls://worker:7071", token = { secret = "TOKEN" }, authority = "ca.pem" }

[plugins."other"]
url = "grpc://127.0.0.1:7072"
token = { env = "OTHER_TOKEN" }
"""


def write(folder: Path, text: str) -> Path:
    (folder / "heddle.toml").write_text(text)
    return folder / "program.he"


def problems(folder: Path, text: str) -> list[Diagnostic]:
    return list(load_project(write(folder, text))[1])


def test_plugins_on_other_hosts(tmp_path: Path) -> None:
    project, found = load_project(write(tmp_path, REMOTE))
    assert found == ()
    assert project.plugins == {"local": tmp_path / "steps.py"}
    assert project.remote_plugins == {
        "scoring": RemotePlugin("grpc://worker:7070"),
        "checked": RemotePlugin("grpc+tls://worker:7071", SecretRef("TOKEN"), tmp_path / "ca.pem"),
        "other": RemotePlugin("grpc://127.0.0.1:7072", EnvRef("OTHER_TOKEN")),
    }


@pytest.mark.parametrize(
    ("entry", "code", "message"),
    [
        ('"http://worker:7070"', "HD0723", "does not begin with `grpc://` or `grpc+tls://`"),
        ('"grpc://worker"', "HD0723", "`worker` is not HOST:PORT"),
        ('{ token = { env = "T" } }', "HD0723", "the plugin `p` has no `url`"),
        ('{ url = "grpc://h:1", token = "abc" }', "HD0722", "a reference to a secret is expected"),
        ('{ url = "grpc://h:1", tokn = { env = "T" } }', "HD0721", "has no key `tokn`"),
        ('{ url = "grpc://h:1", authority = "" }', "HD0723", "`authority` has no path"),
    ],
)
def test_addresses_that_cannot_be_used(tmp_path: Path, entry: str, code: str, message: str) -> None:
    [problem] = problems(tmp_path, f"[plugins]\np = {entry}\n")
    assert problem.code == code
    assert message in problem.message


def test_everything_is_read(tmp_path: Path) -> None:
    project, found = load_project(write(tmp_path, FULL))
    assert found == ()
    assert (project.root, project.name, project.namespace) == (tmp_path, "shop", "sales")
    assert project.plugins == {"fraud-score/detect": tmp_path / "plugins/fraud.py"}
    assert set(project.profiles) == {"test", "real"}
    assert project.memory_bytes == 2_000_000_000
    assert project.state_folder == Path("/var/lib/shop")
    assert project.secrets.file == tmp_path / "secrets.toml"
    assert project.secrets.command == ("pass", "show", "shop/{name}")
    assert (project.secrets.folder, project.secrets.timeout_s) == (tmp_path, 5.0)


def test_references_become_values_that_a_run_resolves(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, FULL))[0].select("test", {})
    assert project.overlay("resources", "db") == {
        "host": "127.0.0.1",
        "port": EnvRef("PGPORT"),
        "options": {"ssl": False, "tags": ["a", SecretRef("TAG")]},
    }
    assert project.overlay("steps", "orders") == {"path": "small.csv"}
    assert project.overlay("steps", "nothing") == {}


def test_the_command_line_goes_before_the_profile(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, FULL))[0]
    assert project.select("test", {"percent": "7"}).parameters() == {
        "percent": "7",
        "region": SecretRef("REGION"),
    }
    assert project.select(None, {"percent": "7"}).parameters() == {"percent": "7"}
    assert project.select(None, {}).overlay("resources", "db") == {}


def test_the_file_of_the_nearest_folder_holds(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    write(tmp_path, '[project]\nname = "outer"')
    assert load_project(inner / "x.he")[0].name == "outer"
    write(tmp_path / "a", '[project]\nname = "nearer"')
    assert load_project(inner)[0].name == "nearer"
    assert load_project(inner)[0].state_folder == tmp_path / "a" / ".heddle"


def test_without_a_file_the_folder_is_the_project(tmp_path: Path) -> None:
    project, found = load_project(tmp_path / "program.he")
    assert (project.root, project.name, found) == (tmp_path, tmp_path.name, ())


def test_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, FULL))[0]
    with pytest.raises(UsageError) as raised:
        project.select("tset", {})
    assert raised.value.message == "there is no profile `tset`"
    assert raised.value.help == "did you mean `test`? profiles: real, test"


@pytest.mark.parametrize(
    ("text", "code", "message", "place", "help"),
    [
        ("[project]\nnmae = 'x'", "HD0721", "`[project]` has no key `nmae`", "nmae", "did you mean `name`?"),
        ("[memroy]\n", "HD0721", "heddle.toml has no key `memroy`", "memroy", "did you mean `memory`?"),
        (
            "[profile.test.resource.db]\nx = 1",
            "HD0721",
            "`[profile.test]` has no key `resource`",
            "resource",
            "did you mean `resources`?",
        ),
        ("[policy]\nday = 1979-05-27", "HD0722", "`day` is a date or time", "1979-05-27", "quotes"),
        (
            "plugins = 3",
            "HD0722",
            "`plugins` is an int, where a table is expected",
            "3",
            "write it as `[plugins]`",
        ),
        (
            "[plugins]\na = 3",
            "HD0722",
            "`a` is an int, where a string is expected",
            "3",
            'write it like `a = "…"`',
        ),
        (
            "[profile.t.params]\nday = 1979-05-27",
            "HD0722",
            "`day` is a date or time, where a string, a number, true, false, a list or a table is expected",
            "1979-05-27",
            "put it in quotes",
        ),
        (
            "[secrets]\ntimeout = 0",
            "HD0722",
            "`timeout` is an int, where a number of seconds",
            "0",
            "timeout = 30",
        ),
        ("[secrets]\ncommand = 'pass'", "HD0722", "`command` is a string, where a list", "'pass'", "{name}"),
        (
            "[secrets]\ncommand = ['pass']",
            "HD0723",
            "no argument of `command` holds `{name}`",
            "['pass']",
            "{name}",
        ),
        ("[project]\nname = 'my shop'", "HD0723", "`my shop` cannot be the name", "'my shop'", "letters"),
        ("[memory]\nbudget = '2 gigs'", "HD0723", "`2 gigs` is not an amount of memory", "'2 gigs'", "2GB"),
        ("[state]\nfolder = ''", "HD0723", "`folder` has no path", "''", "relative"),
    ],
)
def test_a_mistake_is_shown_at_its_place(
    tmp_path: Path, text: str, code: str, message: str, place: str, help: str
) -> None:
    (found,) = problems(tmp_path, text)
    assert found.code == code
    assert found.message.startswith(message)
    assert text[found.span.start : found.span.end] == place
    assert found.help is not None
    assert help in found.help


POLICY = """\
[policy]
timeout = "90s"
concurrency = 2

[policy.retry]
attempts = 3
backoff = "fixed 1s"
on = ["Timeout"]
"""


def test_the_default_policy_is_read_as_in_a_program(tmp_path: Path) -> None:
    policy, found = default_policy(load_project(write(tmp_path, POLICY))[0])
    assert found == ()
    assert policy == Policy(
        attempts=3, backoff_first_s=1.0, backoff_kind="fixed", on=("Timeout",), timeout_s=90.0, concurrency=2
    )
    assert default_policy(load_project(write(tmp_path, ""))[0]) == (NO_POLICY, ())


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("[policy]\nretyr = 3", "HD0705", "retyr"),
        ("[policy]\ntimeout = 3", "HD0706", "3"),
        ("[policy.retry]\nattempts = 'many'", "HD0706", "'many'"),
    ],
)
def test_a_mistake_in_the_default_policy(tmp_path: Path, text: str, code: str, place: str) -> None:
    project, _ = load_project(write(tmp_path, text))
    _, (found,) = default_policy(project)
    assert (found.code, found.source) == (code, project.source)
    assert text[found.span.start : found.span.end] == place


def test_the_default_policy_holds_below_the_programs(tmp_path: Path) -> None:
    path = write(tmp_path, '[policy]\nretry = 4\ntimeout = "90s"\n')
    query = '(from input | take 1) ! { timeout: "5s" }'
    path.write_text(f"workflow W {{\n  [{{ a: 1 }}]\n    | {query}\n    | io.print\n}}\n")
    program = Engine.open(path).check().program
    assert program is not None
    (policy,) = [n.policy for n in program.nodes if isinstance(n, QueryNode)]
    assert (policy.attempts, policy.timeout_s) == (4, 5.0)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = "[project]\nnmae = 1\n[memory]\nbudget = 2\n[state]\nfodler = 'x'\n"
    assert [d.code for d in problems(tmp_path, text)] == ["HD0721", "HD0722", "HD0721"]


def test_a_near_name_can_be_fixed(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "[project]\nnmae = 'x'")
    assert found.fix is not None
    assert found.fix.edits == ((found.span, "name"),)


@pytest.mark.parametrize(
    ("text", "what", "line", "column"),
    [
        ("[project]\nname = shop", "this is not a value", 2, 8),
        ("[project", "`]` is missing after the table's name", 1, 9),
        ("a = 1\na = 2\n", "this key is given twice", 2, 6),
        ("[a]\n[a]\n", "this table is given twice", 2, 3),
        ("name = 'open", "this string is never closed", 1, 13),
        ("just words", "`=` is expected after a key", 1, 6),
        ('a = "x\n"', "a control character or line break stands in this string", 1, 7),
        ("a = {b = 1, b = 2}", "this key is given twice", 1, 18),
        ("day = 2024-02-31", "there is no such date or time", 1, 7),
        ("a = 1 b = 2", "the line should end here", 1, 7),
        ("a = [1, 2", "this array is never closed", 1, 10),
        ("a = '\x01'", "a control character stands here", 1, 6),
        ('a = "C:\\dir"', "`\\` starts no known escape here", 1, 10),
    ],
)
def test_what_is_not_toml_is_said_in_our_words(
    tmp_path: Path, text: str, what: str, line: int, column: int
) -> None:
    (found,) = problems(tmp_path, text)
    at = found.source.position(found.span.start)
    assert (found.code, found.message) == ("HD0720", f"heddle.toml is not valid TOML: {what}")
    assert (at.line, at.column) == (line, column)
