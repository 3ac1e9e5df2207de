"""Object stores of `std/io`: what `resource lake = io.s3 {…}` says, and the clients made of it.

A reader or writer with `<store=lake>` gets these settings as its own setting `store`, with the resource's
name and kind. What it does not say comes from the environment, under the names that the stores' own tools
use: DataFusion's clients look there by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from heddle.core.config import ConfigField, ConfigType, ConfigValue
from heddle.core.record import record

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

Kind = Literal["s3", "gs", "az"]

SETTING: Final = "store"
CONNECT_TIMEOUT_S: Final = 10.0
REQUEST_TIMEOUT_S: Final = 60.0
_ADDRESS: Final = r"^(?P<scheme>[a-z][a-z0-9]+)://(?P<host>[^/]+)/?(?P<key>.*)$"
_TEXT: Final = ConfigType("string", nullable=True)


def _text(name: str, doc: str, *, secret: bool = False) -> ConfigField:
    return ConfigField(name, _TEXT, False, None, secret, doc)


RESOURCES: Final[Mapping[Kind, tuple[ConfigField, ...]]] = {
    "s3": (
        _text("endpoint", "the address of a store other than Amazon's: `https://host:9000`"),
        _text("region", "the region of the buckets"),
        _text("access_key_id", "who asks"),
        _text("secret_access_key", "the key's secret part", secret=True),
        _text("session_token", "of a key that is valid for a time", secret=True),
    ),
    "gs": (_text("service_account", "the path of a service account's JSON file"),),
    "az": (
        _text("account", "the storage account"),
        _text("access_key", "one of its keys", secret=True),
    ),
}
_ENVIRONMENT: Final[Mapping[Kind, Mapping[str, tuple[str, ...]]]] = {
    "s3": {
        "endpoint": ("AWS_ENDPOINT_URL",),
        "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "access_key_id": ("AWS_ACCESS_KEY_ID",),
        "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
        "session_token": ("AWS_SESSION_TOKEN",),
    },
    "gs": {"service_account": ("GOOGLE_APPLICATION_CREDENTIALS",)},
    "az": {"account": ("AZURE_STORAGE_ACCOUNT_NAME",), "access_key": ("AZURE_STORAGE_ACCOUNT_KEY",)},
}

STORE_FIELD: Final = ConfigField(
    SETTING,
    ConfigType(
        "struct",
        fields=(
            ConfigField("name", ConfigType("string")),
            ConfigField("kind", ConfigType("string")),
            *(field for fields in RESOURCES.values() for field in fields),
        ),
    ),
    False,
    doc="the settings of the resource in the slot `store`",
)


class StoreMismatch(ValueError):
    """A path that is none of the store that it is to be read from, or written to; credentials of two
    origins."""


@record(frozen=True, slots=True)
class Address:
    """`kind://host/key`; the host is a bucket or a container."""

    scheme: str
    host: str
    key: str


@record(frozen=True, slots=True)
class Store:
    """`name` is the resource's, empty for the environment's. `settings` holds secrets."""

    kind: Kind
    name: str
    settings: Mapping[str, str | None]

    @property
    def scheme(self) -> str:
        """As which DataFusion knows it: buckets of two stores may have the same name."""
        if not self.name:
            return self.kind
        from hashlib import blake2b

        return f"{self.kind}.{blake2b(self.name.encode(), digest_size=8).hexdigest()}"

    def datafusion(self, host: str) -> object:
        from datafusion.object_store import AmazonS3, GoogleCloud, MicrosoftAzure

        given = self.settings
        match self.kind:
            case "s3":
                endpoint = given["endpoint"]
                return AmazonS3(
                    host,
                    region=given["region"],
                    access_key_id=given["access_key_id"],
                    secret_access_key=given["secret_access_key"],
                    session_token=given["session_token"],
                    endpoint=endpoint,
                    allow_http=bool(endpoint and endpoint.startswith("http://")),
                )
            case "gs":
                return GoogleCloud(host, service_account_path=given["service_account"])
            case "az":
                return MicrosoftAzure(host, account=given["account"], access_key=given["access_key"])

    def s3_files(self) -> S3FileSystem:
        from pyarrow.fs import S3FileSystem

        assert self.kind == "s3", "only these can be written"
        given = self.settings
        return S3FileSystem(
            access_key=given["access_key_id"],
            secret_key=given["secret_access_key"],
            session_token=given["session_token"],
            region=given["region"],
            endpoint_override=given["endpoint"],
            connect_timeout=CONNECT_TIMEOUT_S,
            request_timeout=REQUEST_TIMEOUT_S,
        )


def address_of(path: str) -> Address | None:
    """The parts of an address; None for a path on this host."""
    found = re.match(_ADDRESS, path)
    if found is None or found["scheme"] == "file":
        return None
    return Address(found["scheme"], found["host"], found["key"])


def store_of(config: Mapping[str, ConfigValue], address: Address | None) -> Store | None:
    """Where an address leads: by the config's own store, else by the environment. None for no address, or one
    of an unknown scheme. Raises `StoreMismatch`."""
    given: Any = config.get(SETTING)
    if given is None:
        kind = next((kind for kind in RESOURCES if address is not None and kind == address.scheme), None)
        return None if kind is None else Store(kind, "", _of_environment(kind))
    kind, name = given["kind"], given["name"]
    if address is None or address.scheme != kind:
        raise StoreMismatch(f'`{name}` is an `io.{kind}`, so the path starts with "{kind}://"')
    said = {field.name: given[field.name] for field in RESOURCES[kind] if given.get(field.name)}
    found = _of_environment(kind)
    _check_key(name, said, found)
    return Store(kind, name, found | said)


def _check_key(name: str, said: Mapping[str, str], found: Mapping[str, str | None]) -> None:
    """A key is never made of parts of the resource and of the environment, which would also tell one of them
    to the other's store. Raises `StoreMismatch`."""
    parts = ("access_key_id", "secret_access_key", "session_token")
    if not any(part in said for part in parts):
        return
    missing = next((part for part in parts[:2] if part not in said), None)
    if missing is not None:
        raise StoreMismatch(f"`{name}` has a key without `{missing}`")
    if found["session_token"] is not None and "session_token" not in said:
        raise StoreMismatch(
            f"`{name}` has a key of its own, and the variable AWS_SESSION_TOKEN belongs to another: "
            "unset it, or say `session_token`"
        )


def _of_environment(kind: Kind) -> dict[str, str | None]:
    import os

    return {
        setting: next((os.environ[name] for name in names if os.environ.get(name)), None)
        for setting, names in _ENVIRONMENT[kind].items()
    }
