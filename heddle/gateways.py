"""From a plugin's name in `heddle.toml` to the gateway that serves it, with the token that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from heddle.config import Project
from heddle.frontend.typed import EnvRef, SecretRef
from heddle.secrets import Masker, SecretStore, UnresolvedValue
from heddle.udf_bridge.address import TOKEN_VARIABLE, GatewayAddress, parse_url
from heddle.udf_bridge.transport import StepFailure


def gateway_address(
    project: Project, name: str, environ: Mapping[str, str], masker: Masker
) -> GatewayAddress:
    """Where the remote plugin `name` is. Raises `StepFailure` when its token cannot be had."""
    remote = project.remote_plugins[name]
    address = GatewayAddress(parse_url(remote.url), authority=remote.authority)
    try:
        match remote.token:
            case SecretRef(secret):
                token = SecretStore(project.secrets, environ, masker).resolve(secret)
            case EnvRef(variable):
                token = _variable(variable, environ)
            case _:
                token = environ.get(TOKEN_VARIABLE, "")
    except UnresolvedValue as problem:
        raise StepFailure(
            f"{problem.message}; the plugin `{name}` needs it as its token ({problem.help})",
            "Unauthenticated",
            "",
        ) from problem
    token = token.strip()
    if not token:
        return address
    masker.add(token)
    if not (token.isascii() and token.isprintable()):
        raise StepFailure(
            f"the token of the plugin `{name}` holds characters that a token cannot have; "
            "use printable ASCII, as in its --token-file",
            "Unauthenticated",
            "",
        )
    return replace(address, token=token)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        message = f"the environment variable `{name}` is not set"
        raise UnresolvedValue("HD0810", message, f"set it: `export {name}=…`")
    return environ[name]
