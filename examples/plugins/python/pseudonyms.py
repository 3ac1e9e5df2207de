"""Persons without their addresses: e-mail addresses become keyed hashes, the same for the same person.

With the key the hash of an address can be made again; without it nothing leads back.
"""

from __future__ import annotations

import hmac
import re

import pyarrow as pa
import pyarrow.compute as pc

from heddle.sdk import Plugin, Resource, ResourceConfig, Secret, StepConfig, StepContext, Table

KEY_CHARS_MIN = 16
_ADDRESS = r"^[^@\s]+@([^@\s.]+\.)+[^@\s.]+$"

plugin = Plugin(namespace="pseudonyms", version="1.0.0", doc="Persons without their addresses.")


class KeyConfig(ResourceConfig):
    secret: Secret[str]


class Key(Resource):
    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def pseudonym(self, address: str, chars: int) -> str:
        return hmac.new(self._secret, address.encode(), "sha256").hexdigest()[:chars]


@plugin.resource(name="key")
def key(config: KeyConfig) -> Key:
    if len(config.secret) < KEY_CHARS_MIN:
        raise ValueError(f"the secret has {len(config.secret)} characters; {KEY_CHARS_MIN} are needed")
    return Key(config.secret)


class Email(Table):
    email: str | None


class Person(Table):
    person: str | None


class PseudonymConfig(StepConfig[KeyConfig]):
    chars: int = 16


@plugin.step(name="pseudonym", resource="key", rows="map", passthrough=True, deterministic=True)
def pseudonym(input: Email, config: PseudonymConfig, context: StepContext) -> Person:
    """The column `person` for each row; what is no address is rejected."""
    address = pc.utf8_lower(pc.utf8_trim_whitespace(input["email"]))
    wrong = pc.invert(pc.match_substring_regex(address, _ADDRESS))
    context.reject(wrong, "not an e-mail address", error_type="NoAddress")
    # Each address is hashed once, however many rows have it.
    distinct = pc.dictionary_encode(address.combine_chunks())
    key: Key = config.resource
    made = [key.pseudonym(text, config.chars) for text in distinct.dictionary.to_pylist()]
    context.metric("distinct_persons", len(made), "persons")
    return Person(pa.table({"person": pa.array(made, pa.string()).take(distinct.indices)}))


class Domain(Table):
    domain: str
    addresses: int


@plugin.step(name="domains", deterministic=True)
def domains(input: Email) -> Domain:
    """How many addresses each domain has, the largest first."""
    names = [re.sub(r".*@", "", text.strip().lower()) for text in input["email"].drop_null().to_pylist()]
    rows = pa.table({"domain": pa.array(names, pa.string())})
    counted = rows.group_by("domain").aggregate([([], "count_all")])
    counted = counted.rename_columns(["domain", "addresses"])
    return Domain(counted.sort_by([("addresses", "descending"), ("domain", "ascending")]))


if __name__ == "__main__":
    plugin.serve()
