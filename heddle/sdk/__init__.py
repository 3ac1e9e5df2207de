"""The Python plugin SDK: what a plugin's author imports besides `heddle.core`."""

from heddle.core.resource import LookupCacheConfig, Resource, ResourceConfig
from heddle.core.settings import RowText, Secret, Statement
from heddle.core.step import StepConfig, StepContext, Transient
from heddle.core.table import Table, TableError
from heddle.sdk.binding import PluginError
from heddle.sdk.flows import LOOKUP_KEY, Position, Stream, Writer
from heddle.sdk.plugin import Plugin

__all__ = [
    "LOOKUP_KEY",
    "LookupCacheConfig",
    "Plugin",
    "PluginError",
    "Position",
    "Resource",
    "ResourceConfig",
    "RowText",
    "Secret",
    "Statement",
    "StepConfig",
    "StepContext",
    "Stream",
    "Table",
    "TableError",
    "Transient",
    "Writer",
]
