"""How a session comes in at an endpoint: the driver's options, from the command's and from the environment.

Secrets come from the environment or from the terminal, never from the command line, which other users of the
machine can read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from heddle.errors import UsageError
from heddle.repl.targets import RemoteOptions

PASSWORD_VARIABLE: Final = "HEDDLE_SQL_PASSWORD"
TOKEN_VARIABLE: Final = "HEDDLE_SQL_TOKEN"
_CLIENT: Final = "adbc.flight.sql.client_option."


def driver_options(
    remote: RemoteOptions, environ: Mapping[str, str], ask: Callable[[str], str] | None
) -> tuple[dict[str, str], list[str]]:
    """The options, and the secrets among them. `ask` asks a person for a password; None where there is
    nobody. Raises `UsageError`."""
    options: dict[str, str] = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    secrets: list[str] = []
    token = environ.get(TOKEN_VARIABLE)
    if remote.user is not None:
        password = environ.get(PASSWORD_VARIABLE)
        if password is None:
            if ask is None:
                raise UsageError(
                    f"there is no password for {remote.user}",
                    help=f"{PASSWORD_VARIABLE} in the environment gives it",
                )
            password = ask(f"Password of {remote.user}")
        options |= {"username": remote.user, "password": password}
        secrets.append(password)
    elif token:
        options["adbc.flight.sql.authorization_header"] = f"Bearer {token}"
        secrets.append(token)
    if remote.tls_ca:
        options[f"{_CLIENT}tls_root_certs"] = _pem(remote.tls_ca)
    if (remote.tls_cert is None) != (remote.tls_key is None):
        raise UsageError("a certificate and its key go together", help="give --tls-cert and --tls-key")
    if remote.tls_cert and remote.tls_key:
        options[f"{_CLIENT}mtls_cert_chain"] = _pem(remote.tls_cert)
        options[f"{_CLIENT}mtls_private_key"] = _pem(remote.tls_key)
    if remote.tls_hostname:
        options[f"{_CLIENT}tls_override_hostname"] = remote.tls_hostname
    if remote.tls_skip_verify:
        options[f"{_CLIENT}tls_skip_verify"] = "true"
    return options, [secret for secret in secrets if secret]


def _pem(path: str) -> str:
    try:
        return Path(path).expanduser().read_text("ascii")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no certificate or key in PEM") from error
