"""Steps that Heddle programs import with `import "__NAME__"`."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from heddle.sdk import Plugin, StepConfig, StepContext, Table

plugin = Plugin(namespace="__NAME__", version="0.1.0", doc="Counts words.")


class Text(Table):
    text: str


class Counted(Table):
    words: int


class CountConfig(StepConfig):
    least: int = 1


@plugin.step(name="count_words", rows="map", passthrough=True, deterministic=True)
def count_words(input: Text, config: CountConfig, context: StepContext) -> Counted:
    """The number of words of each text; a text with fewer than `least` is rejected."""
    words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(input["text"])))
    words = pc.if_else(pc.equal(pc.utf8_trim_whitespace(input["text"]), ""), 0, words)
    context.reject(pc.less(words, config.least), f"fewer than {config.least} words", error_type="TooShort")
    return Counted(pa.table({"words": words}))


if __name__ == "__main__":
    plugin.serve()
