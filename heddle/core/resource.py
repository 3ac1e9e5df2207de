"""Resources: connections and other things that steps share, opened once a run and closed at its end.

A plugin's function takes a `ResourceConfig` and gives a `Resource`; steps find it in their config as
`config.resource` or `config.resources["slot"]`.
"""

from __future__ import annotations

from heddle.core.settings import Settings


class ResourceConfig(Settings):
    """What a resource accepts in its `{…}`: a subclass names the settings by annotations."""


class Resource:
    """An open resource. Several calls may use it at once, from several threads."""

    def close(self) -> None:
        """Give back what the resource holds. Called once, when the run ends."""

    def health(self) -> str | None:
        """None when the resource can do its work, else what is wrong, in a few words."""
        return None
