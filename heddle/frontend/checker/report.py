"""Where the checker's findings are collected, each about a span of one source.

The same finding about the same place is kept once, however often the checker comes by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from heddle.diagnostics import Diagnostic, Fix, Label, Severity, Source, Span, did_you_mean

NAMES_COMPARED_MAX: Final = 20_000
"""Known names that one check compares with unknown ones: it takes time, and nobody reads so many hints."""

NAMES_SHOWN_MAX: Final = 12
"""Known names that a message lists when none is near."""


CIRCLE_SHOWN_MAX: Final = 6
"""Names that a message shows of a circle."""


class Report:
    """`error_count` counts every error met, repeated ones too, so that a caller sees whether it met one.

    `suggested` are the names that unknown ones were probably meant to be: they count as used.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.error_count = 0
        self.suggested: set[str] = set()
        self._seen: set[tuple[str, int, int, str]] = set()
        self._comparisons_left = NAMES_COMPARED_MAX

    def error(
        self,
        code: str,
        span: Span,
        message: str,
        help: str | None = None,
        *,
        fix: Fix | None = None,
        labels: tuple[Label, ...] = (),
    ) -> None:
        self._add(code, "error", span, message, help, fix, labels)

    def warning(
        self, code: str, span: Span, message: str, help: str | None = None, *, fix: Fix | None = None
    ) -> None:
        self._add(code, "warning", span, message, help, fix, ())

    def unknown(
        self,
        code: str,
        span: Span,
        message: str,
        known: Iterable[str],
        what: str,
        *,
        name: str,
        otherwise: str | None = None,
        written: Callable[[str], str] = str,
    ) -> str | None:
        """An unknown name. The help is the nearest known one, else `otherwise`, else the known `what`.

        `written` is how a name is written at the span. Gives the nearest name.
        """
        near, listed = self._near(name, known)
        if near is not None:
            self.suggested.add(near)
            fix = Fix(f"write `{near}`", ((span, written(near)),))
            self.error(code, span, message, f"did you mean `{near}`?", fix=fix)
        else:
            self.error(code, span, message, otherwise or _known(listed, what))
        return near

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        for d in diagnostics:
            self._keep(d)

    def _near(self, name: str, known: Iterable[str]) -> tuple[str | None, list[str] | None]:
        """The nearest name and all names, None when too many were compared before."""
        if self._comparisons_left <= 0:
            return None, None
        names = sorted(set(known))
        self._comparisons_left -= len(names)
        return did_you_mean(name, names), names

    def _add(
        self,
        code: str,
        severity: Severity,
        span: Span,
        message: str,
        help: str | None,
        fix: Fix | None,
        labels: tuple[Label, ...],
    ) -> None:
        self._keep(Diagnostic(code, severity, message, self.source, span, help, fix, labels))

    def _keep(self, diagnostic: Diagnostic) -> None:
        self.error_count += diagnostic.severity == "error"
        span = diagnostic.span
        key = (diagnostic.code, span.start, span.end, diagnostic.message)
        if key not in self._seen:
            self._seen.add(key)
            self.diagnostics.append(diagnostic)


def circle(names: list[str]) -> str:
    """Names that lead to each other, for messages: `a -> b -> a`."""
    middle = names if len(names) <= CIRCLE_SHOWN_MAX else [*names[:CIRCLE_SHOWN_MAX], "…"]
    return " -> ".join([*middle, names[0]])


def _known(names: list[str] | None, what: str) -> str:
    if names is None:
        return f"it is none of the {what} that are known here"
    if not names:
        return f"there are no {what} here"
    more = ", …" if len(names) > NAMES_SHOWN_MAX else ""
    return f"{what}: {', '.join(names[:NAMES_SHOWN_MAX])}{more}"
