"""The Python plugin SDK: what a plugin's author imports besides `heddle.core`."""

from heddle.core.resource import Resource, ResourceConfig
from heddle.core.settings import RowText, Secret, Statement
from heddle.core.step import StepConfig, StepContext, Transient
from heddle.core.table import Table, TableError
from heddle.sdk.binding import PluginError
from heddle.sdk.plugin import Plugin

__all__ = [
    "Plugin",
    "PluginError",
    "Resource",
    "ResourceConfig",
    "RowText",
    "Secret",
    "Statement",
    "StepConfig",
    "StepContext",
    "Table",
    "TableError",
    "Transient",
]
