"""Resources: connections and other things that steps share, opened once a run and closed at its end.

A plugin's function takes a `ResourceConfig` and gives a `Resource`; steps find it in their config as
`config.resource` or `config.resources["slot"]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from heddle.core.settings import Settings

CACHE_SETTING: Final = "lookup_cache"
AGE_SETTING: Final = "lookup_cache_age"


class ResourceConfig(Settings):
    """What a resource accepts in its `{…}`: a subclass names the settings by annotations."""

    def __init__(self, *, base: str = ".", **values: Any) -> None:
        super().__init__(**values)
        self._base = base

    @property
    def base(self) -> Path:
        """The program's folder, from which relative paths in settings start."""
        return Path(self._base)


class LookupCacheConfig(ResourceConfig):
    """The settings of a resource whose lookups may be kept in the engine's process: rows by the values that
    they were found for, up to `lookup_cache` (`"64MB"`), no longer than `lookup_cache_age` (`"10m"`). The
    engine keeps them; the resource has nothing to do for it."""

    lookup_cache: str | None = None
    lookup_cache_age: str | None = None


class Resource:
    """An open resource. Several calls may use it at once, from several threads."""

    def close(self) -> None:
        """Give back what the resource holds. Called once, when the run ends."""

    def health(self) -> str | None:
        """None when the resource can do its work, else what is wrong, in a few words."""
        return None
