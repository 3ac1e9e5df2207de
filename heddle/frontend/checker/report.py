"""Where the checker's findings are collected, each about a span of one source."""

from __future__ import annotations

from collections.abc import Iterable

from heddle.diagnostics import Diagnostic, Fix, Label, Severity, Source, Span, did_you_mean


class Report:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []

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

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics.extend(diagnostics)

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
        self.diagnostics.append(Diagnostic(code, severity, message, self.source, span, help, fix, labels))


def near_or_known(name: str, known: Iterable[str], what: str) -> str:
    """A hint for an unknown name: the nearest one, else all there are."""
    names = sorted(set(known))
    near = did_you_mean(name, names)
    if near is not None:
        return f"did you mean `{near}`?"
    if not names:
        return f"there are no {what} here"
    return f"{what}: {', '.join(names[:12])}" + (", …" if len(names) > 12 else "")


def rename_fix(name: str, known: Iterable[str], span: Span) -> Fix | None:
    near = did_you_mean(name, sorted(set(known)))
    return Fix(f"write `{near}`", ((span, near),)) if near else None
