"""`heddle sql` as a person has it: typed into a terminal."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.flightsql.clients import shop
from tests.repl.terminal import Terminal

Start = Callable[..., Terminal]
UP = "\x1b[A"
DOWN = "\x1b[B"


def test_a_statement_over_several_lines(terminal: Start) -> None:
    screen = terminal()
    screen.prompt(1)
    screen.enter("select name, ';' as s")
    screen.wait_for("...>")
    screen.enter("from customers where id = 1; -- and so on;")
    text = screen.prompt(2)
    assert re.search(r"name +s\n-+ +-\nAda +;\n\(1 row\)", text)
    screen.type("\x04")
    assert screen.end() == 0


def test_completion(terminal: Start) -> None:
    screen = terminal()
    screen.prompt(1)
    screen.type("select countr from cust\t")
    screen.wait_for("from customers")
    screen.type("\x01")
    for _ in range(len("select countr")):
        screen.type("\x1b[C")
    screen.type("\t")
    screen.wait_for("select country from customers")
    screen.type("\x05")
    screen.enter(" order by country;")
    assert re.search(r"country\n-+\nDE\nNL\nUS", screen.prompt(2))
    screen.type("\\form\t")
    screen.wait_for("\\format")
    screen.type(" js\t")
    screen.wait_for("\\format json")
    screen.enter("")
    screen.wait_for("the format is json")


def test_a_menu_shows_what_fits(terminal: Start) -> None:
    screen = terminal()
    screen.prompt(1)
    screen.type("select * from \t")
    screen.wait_for(lambda text: "customers" in text and "orders" in text and "numbers" in text)
    screen.type("\t")
    screen.wait_for("select * from customers")
    screen.enter("")
    screen.enter(" limit 1;")
    screen.wait_for("Ada")


@pytest.mark.parametrize("where", ["here", "there"])
def test_control_c_cancels_the_statement_and_not_the_session(
    terminal: Start, where: str, request: pytest.FixtureRequest
) -> None:
    screen = terminal(request.getfixturevalue("serving").uri) if where == "there" else terminal()
    screen.prompt(1)
    screen.enter(f"{shop.LONG};")
    screen.wait_for("^C cancels")
    screen.type("\x03")
    assert "cancelled" in screen.prompt(2)
    screen.enter("select 40 + 2 as answer;")
    assert "42" in screen.prompt(3)
    screen.type("\x04")
    assert screen.end() == 0


def test_control_c_ends_a_script(terminal: Start) -> None:
    screen = terminal("shop.he", "--keep-going", "-c", f"{shop.LONG}; select 'more'", "-c", "select 'more'")
    screen.wait_for("^C cancels")
    screen.type("\x03")
    assert screen.end() == 130
    assert "cancelled" in screen.text
    assert "more\n" not in screen.text


def test_control_c_at_the_prompt_drops_the_line(terminal: Start) -> None:
    screen = terminal()
    screen.prompt(1)
    screen.type("select 1 as wrong")
    screen.type("\x03")
    screen.prompt(2)
    screen.enter("select 2 as right;")
    assert "wrong\n---" not in screen.prompt(3)


def test_the_pager_gets_what_is_longer_than_the_screen(terminal: Start, folder: Path) -> None:
    pager = folder / "pager.sh"
    pager.write_text('#!/bin/sh\ncat > paged.txt\necho "paged by $LESS"\n')
    pager.chmod(0o755)
    screen = terminal(PAGER=str(pager))
    screen.prompt(1)
    screen.enter("select v from numbers order by v limit 200;")
    assert "paged by -SRFX" in screen.prompt(2)
    assert (folder / "paged.txt").read_text().splitlines() == ["  v", "---", *(f"{n:>3}" for n in range(200))]
    screen.enter("select v from numbers order by v limit 2;")
    assert screen.prompt(3).count("paged by") == 1
    screen.enter("\\pager off")
    screen.prompt(4)
    screen.enter("select v from numbers order by v limit 100;")
    assert screen.prompt(5).count("paged by") == 1


def test_long_answers_show_head_and_tail_in_a_width_that_fits(terminal: Start) -> None:
    screen = terminal(PAGER="")
    screen.prompt(1)
    screen.enter("\\rows 5")
    screen.prompt(2)
    screen.enter("select v, repeat('x', 200) as long from numbers order by v;")
    text = screen.prompt(3)
    assert "200,000 rows, of which the first 4 and the last 1 are shown" in text
    assert re.search(r"3  x+…\n…\n199999  x+…\n", text)
    screen.enter("\\x")
    screen.prompt(4)
    screen.enter("select name, country from customers where id = 3;")
    assert re.search(r"-\[ row 1 \]-+\nname    \| Edsger\ncountry \| NL\n", screen.prompt(5))


def test_formats_on_the_screen(terminal: Start) -> None:
    screen = terminal()
    screen.prompt(1)
    expected = {
        "csv": "id,name\n1,Ada",
        "json": '{"id":1,"name":"Ada"}',
        "markdown": "| id | name |\n| ---: | --- |\n| 1 | Ada |",
        "table": "id  name\n--  ----\n 1  Ada",
    }
    for number, (format, shown) in enumerate(expected.items()):
        screen.enter(f"\\format {format}")
        screen.prompt(2 * number + 2)
        screen.enter("select id, name from customers where id = 1;")
        assert shown in screen.prompt(2 * number + 3)
    screen.enter("\\format parquet")
    screen.prompt(10)
    screen.enter("select id from customers;")
    screen.wait_for("parquet is not for a terminal")


def test_watch_goes_on_until_control_c(terminal: Start) -> None:
    screen = terminal()
    screen.prompt(1)
    screen.enter("select 7 as n;")
    screen.prompt(2)
    screen.enter("\\watch 0.05")
    screen.wait_for(lambda text: text.count("every 0.05 s") >= 3)
    screen.type("\x03")
    before = screen.prompt(3).count("every 0.05 s")
    screen.enter("\\watch 0.05 2")
    assert screen.prompt(4).count("every 0.05 s") == before + 2


def test_the_editor_changes_the_last_statement(terminal: Start, folder: Path) -> None:
    editor = folder / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i "s/Ada/Grace/" "$1"\ntouch -d "+1 hour" "$1"\n')
    editor.chmod(0o755)
    screen = terminal(EDITOR=str(editor))
    screen.prompt(1)
    screen.enter("select country from customers where name = 'Ada';")
    assert "DE" in screen.prompt(2)
    screen.enter("\\e")
    assert "US" in screen.prompt(3)
    screen.type(UP)
    screen.wait_for(lambda text: text.count("name = 'Grace'") == 2)


def test_what_the_editor_leaves_open_waits_at_the_prompt(terminal: Start, folder: Path) -> None:
    editor = folder / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "select 6 * 7 as" > "$1"\ntouch -d "+1 hour" "$1"\n')
    editor.chmod(0o755)
    screen = terminal(EDITOR=str(editor))
    screen.prompt(1)
    screen.enter("\\e")
    screen.wait_for("sql> select 6 * 7 as")
    screen.enter(" n;")
    assert "42" in screen.prompt(2)


def test_history_is_kept_for_the_user_alone(terminal: Start, folder: Path) -> None:
    screen = terminal()
    screen.prompt(1)
    screen.enter("select 11 as kept;")
    screen.prompt(2)
    screen.enter("\\param password hunter2")
    screen.prompt(3)
    screen.enter("\\connect grpc://me:hunter2@127.0.0.1:1")
    screen.prompt(4)
    screen.type("\x04")
    assert screen.end() == 0
    history = folder / ".local" / "state" / "heddle" / "sql_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "select 11 as kept;" in history.read_text()
    assert "hunter2" not in history.read_text()
    again = terminal()
    again.prompt(1)
    again.type(UP)
    again.wait_for("sql> select 11 as kept;")
    again.enter("")
    again.prompt(2)


def test_prql(terminal: Start) -> None:
    screen = terminal()
    screen.prompt(1)
    screen.enter("\\lang prql")
    screen.prompt(1, "prql>")
    screen.enter("from orders | group {customer_id} (aggregate {total = sum amount})")
    screen.enter("sort customer_id;")
    assert re.search(r"1  +19.75\n +2  +99.0\n", screen.prompt(2, "prql>"))
    screen.enter("from customers | filter nam == 'Ada';")
    text = screen.prompt(3, "prql>")
    assert "there is no column `nam`" in text
    assert "^^^" in text
    assert "did you mean `name`?" in text


def test_files(terminal: Start, folder: Path) -> None:
    (folder / "script.sql").write_text("\\timing off\nselect name from customers\nwhere id = 2;\n")
    screen = terminal()
    screen.prompt(1)
    screen.enter("\\i script.sql")
    assert "Grace" in screen.prompt(2)
    screen.enter("\\o out.json")
    screen.prompt(3)
    screen.enter("select name from customers where id < 3;")
    screen.prompt(4)
    screen.enter("\\o")
    screen.prompt(5)
    screen.enter("\\copy orders to orders.parquet")
    assert "3 rows in orders.parquet" in screen.prompt(6)
    assert [json.loads(line)["name"] for line in (folder / "out.json").read_text().splitlines()] == [
        "Ada",
        "Grace",
    ]
    assert pq.read_table(folder / "orders.parquet").num_rows == 3


def test_errors_say_where_and_what_instead(terminal: Start) -> None:
    screen = terminal()
    screen.prompt(1)
    screen.enter("select * from customer;")
    text = screen.prompt(2)
    assert "there is no table `customer`" in text
    assert "^^^^^^^^" in text
    assert "did you mean `customers`?" in text
    screen.enter("\\formt csv")
    assert "did you mean `\\format`?" in screen.prompt(3)
    screen.enter("quit")
    assert screen.end() == 0


@pytest.mark.parametrize(("variables", "colored"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_statements_are_highlighted(terminal: Start, variables: dict[str, str], colored: bool) -> None:
    screen = terminal(**variables)
    screen.prompt(1)
    screen.enter("select 'text' as t;")
    screen.prompt(2)
    assert (b"\x1b[0;34;1m" in screen.seen or b"\x1b[0;32m" in screen.seen) == colored
