"""TLS: the server's certificate, read again when its file changes, and the name in a client's certificate."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from heddle.errors import UsageError
from heddle.flightsql.security import CertificateFiles
from heddle.flightsql.security.users_file import is_name
from heddle.paths import shown_path
from heddle.serve_settings import ClientName, TlsSettings

if TYPE_CHECKING:
    import grpc
    from cryptography import x509

Notify: TypeAlias = Callable[[str], None]
_States: TypeAlias = tuple[tuple[int, int, int, int], ...]
NAMES_KEPT: Final = 1024


class Certificates:
    """The files of `[serve.tls]`. Thread-safe."""

    def __init__(self, settings: TlsSettings, notify: Notify) -> None:
        """Raises `UsageError` where a file cannot be read, or the key is not that of the certificate."""
        _require_cryptography()
        self._settings = settings
        self._notify = notify
        self._lock = threading.Lock()
        self._states = self._files()
        self._current = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """For `add_secure_port`. New connections get the certificate that the files hold then."""
        import grpc

        return grpc.dynamic_ssl_server_credentials(
            self._current,
            self._changed,  # type: ignore[arg-type]  # it may also give None
            require_client_authentication=self._settings.client_authority is not None,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called for each connection; None: as before. Files that do not fit change nothing, so that they may
        be replaced one after the other."""
        with self._lock:
            try:
                states = self._files()
                if states == self._states:
                    return None
                self._states = states
                self._current = self._read()
            except UsageError as error:
                self._notify(f"the certificate is kept as it was: {error.message}")
                return None
            return self._current

    def _paths(self) -> tuple[Path, ...]:
        authority = self._settings.client_authority
        return (self._settings.certificate, self._settings.key, *((authority,) if authority else ()))

    def _files(self) -> _States:
        return tuple(_state_of(path) for path in self._paths())

    def _read(self) -> grpc.ServerCertificateConfiguration:
        import grpc

        files = self.files()
        return grpc.ssl_server_certificate_configuration(
            [(files.key, files.certificate)], root_certificates=files.client_authority
        )

    def files(self) -> CertificateFiles:
        """As they are, for a server that takes no others later. Raises `UsageError`."""
        certificate, key, *authority = (_content(path) for path in self._paths())
        status = self._settings.key.stat()
        if status.st_mode & 0o007:
            shown = shown_path(self._settings.key)
            raise UsageError(f"the key {shown} can be used by everybody", help=f"run `chmod 600 {shown}`")
        self._require_pair(certificate, key)
        return CertificateFiles(certificate, key, authority[0] if authority else None)

    def _require_pair(self, certificate: bytes, key: bytes) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        try:
            public = x509.load_pem_x509_certificate(certificate).public_key()
            private = serialization.load_pem_private_key(key, None)
        except (ValueError, TypeError) as error:
            names = f"{shown_path(self._settings.certificate)} and {shown_path(self._settings.key)}"
            message = f"{names} are not a certificate and its key"
            raise UsageError(message, help="both are PEM files, the key without a password") from error
        if private.public_key() != public:
            shown = shown_path(self._settings.key)
            raise UsageError(f"{shown} is not the key of {shown_path(self._settings.certificate)}")


def name_in_certificate(pem: bytes, part: ClientName) -> str | None:
    """The name of the viewer in a client's certificate that was verified; None: it has no such name, or more
    than one."""
    return _name_in(pem, part)


@lru_cache(NAMES_KEPT)
def _name_in(pem: bytes, part: ClientName) -> str | None:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        if part == "subject":
            attributes = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            found = [attribute.value for attribute in attributes if isinstance(attribute.value, str)]
        else:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found = _alternative_names(names, part)
    except (ValueError, x509.ExtensionNotFound):
        return None
    return found[0] if len(found) == 1 and is_name(found[0]) else None


def _alternative_names(names: x509.SubjectAlternativeName, part: ClientName) -> list[str]:
    from cryptography import x509

    match part:
        case "dns":
            return names.get_values_for_type(x509.DNSName)
        case "email":
            return names.get_values_for_type(x509.RFC822Name)
        case "uri":
            return names.get_values_for_type(x509.UniformResourceIdentifier)
        case _:
            return []


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        help = "install it with `pip install 'heddle[serve]'`"
        raise UsageError("TLS needs the package cryptography", help=help) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}") from error


def _state_of(path: Path) -> tuple[int, int, int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}") from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
