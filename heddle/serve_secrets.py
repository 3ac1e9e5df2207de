"""Secrets in the headers that a server sends with its spans, read when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from heddle.errors import UsageError
from heddle.frontend.typed import EnvRef, SecretRef
from heddle.secrets import Masker, SecretStore, UnresolvedValue

if TYPE_CHECKING:
    from heddle.config import SecretSettings
    from heddle.frontend.typed import ConfigData

VARIABLES: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")


class HeaderSecrets:
    """`mask` takes out of a text what headers hold, those of the settings and those of the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._masker = Masker()
        for variable in VARIABLES:
            for header in environ.get(variable, "").split(","):
                value = header.partition("=")[2].strip()
                self._hide(value)
                self._hide(unquote(value))

    def values(self, headers: Mapping[str, ConfigData], settings: SecretSettings) -> dict[str, str]:
        """The headers of `[serve.telemetry]`. Raises `UsageError` for one that cannot be had."""
        store = SecretStore(settings, self._environ, self._masker)
        found: dict[str, str] = {}
        for name, value in headers.items():
            try:
                text = self._text(value, store).strip()
            except UnresolvedValue as problem:
                message = f"{problem.message}; the header `{name}` of [serve.telemetry] needs it"
                raise UsageError(message, help=problem.help) from problem
            if not (text.isascii() and text.isprintable()):
                raise UsageError(
                    f"the header `{name}` of [serve.telemetry] holds characters that a header cannot have",
                    help="use printable ASCII",
                )
            self._hide(text)
            found[name] = text
        return found

    def mask(self, text: str) -> str:
        return self._masker.mask(text)

    def _hide(self, value: str) -> None:
        """Also without its scheme, such as `Bearer`: a collector that refuses a token may say it alone."""
        self._masker.add(value)
        self._masker.add(value.rpartition(" ")[2])

    def _text(self, value: ConfigData, store: SecretStore) -> str:
        match value:
            case SecretRef(name):
                return store.resolve(name)
            case EnvRef(name):
                if name not in self._environ:
                    message = f"the environment variable `{name}` is not set"
                    raise UnresolvedValue("HD0810", message, f"set it: `export {name}=…`")
                return self._environ[name]
            case _:
                return str(value)
