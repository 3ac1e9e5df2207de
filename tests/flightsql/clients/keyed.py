"""Outputs with keys of several columns, for clients that ask about keys."""

from __future__ import annotations

from pathlib import Path

PROGRAM = """\
workflow Keyed {
  [{ a: 1, b: 2 }]
    > parents { key: ["b", "a"] }

  [{ c: 2, a: 1, up: 1 }]
    > children {
      key: "c"
      references: [{ c: "Keyed.parents.b", a: "Keyed.parents.a" }, { up: "Keyed.children.c" }]
    }
}
"""
PARENT_KEY = [("b", 1, "parents_pkey"), ("a", 2, "parents_pkey")]
"""Column, place in the key, name."""
CHILD_KEY = [("c", 1, "children_pkey")]
TO_PARENTS = [
    ("parents", "b", "children", "c", 1, "children_c_a_fkey", "parents_pkey"),
    ("parents", "a", "children", "a", 2, "children_c_a_fkey", "parents_pkey"),
]
"""The table and column that are referred to, those that refer to them, the place, the names of both keys."""
TO_CHILDREN = [("children", "c", "children", "up", 1, "children_up_fkey", "children_pkey")]


def write(folder: Path) -> None:
    (folder / "keyed.he").write_text(PROGRAM)
