"""PEM files of a server's certificate: read, and checked as OpenSSL will see them."""

from __future__ import annotations

import contextlib
import re
import ssl
from dataclasses import dataclass
from typing import Final, NamedTuple

from sardonyx_server.access.files import AccessFileError, read_bytes

_CERTIFICATE: Final = "certificate"
_KEY: Final = "private key"
_HEADLINES: Final = {
    _CERTIFICATE: re.compile(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----"),
    _KEY: re.compile(rb"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----"),
}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files.

    Attributes:
        cert: the server's certificate and those between it and its root, in this order.
        key: the certificate's private key, not encrypted.
        client_ca: roots of the certificates that callers must show; empty: they need none.
    """

    cert: str
    key: str
    client_ca: str

    @property
    def paths(self) -> list[str]:
        """Every file that is named."""
        return [path for path in (self.cert, self.key, self.client_ca) if path]


class Pems(NamedTuple):
    """What the files hold; ``client_ca`` is None where callers need no certificate."""

    cert: bytes
    key: bytes
    client_ca: bytes | None


class Life(NamedTuple):
    """From when until when a certificate is valid, in seconds since 1970."""

    begin: float
    end: float


def read_pems(files: TlsFiles) -> Pems:
    """Read and check the files.

    Raises:
        AccessFileError: one is missing or no PEM, or the key does not fit the certificate.
    """
    pems = Pems(read_bytes(files.cert), read_bytes(files.key), read_bytes(files.client_ca) if files.client_ca else None)
    _check_pair(files, pems)
    if pems.client_ca is not None:
        _check_roots(files.client_ca, pems.client_ca)
    return pems


def life_of(files: TlsFiles) -> Life | None:
    """When a certificate that OpenSSL took is valid; None where a caller that trusts it would refuse it today.

    OpenSSL tells it to whoever has shaken hands alone, so both sides do, here.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.cert, files.key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # The certificate is enough, whoever has issued it.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(files.cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    try:
        # In TLS 1.3 each speaks once, and the client has seen all that it judges by.
        for side in (*sides, sides[0]):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError:
        return None
    shown = sides[0].getpeercert() or {}
    return Life(*(ssl.cert_time_to_seconds(str(shown[name])) for name in ("notBefore", "notAfter")))


def _check_pair(files: TlsFiles, pems: Pems) -> None:
    """OpenSSL judges; gRPC itself would accept anything, and fail each handshake."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.cert, files.key, password=_refuse_password)
    except ssl.SSLError as error:
        raise AccessFileError(_reason_of(files, pems, error)) from None
    except ValueError:
        raise AccessFileError(f"The key in {files.key!r} is encrypted. Give one without a password.") from None
    except OSError as error:
        raise AccessFileError(f"{files.cert!r} and {files.key!r} cannot be read: {error.strerror}.") from None


def _reason_of(files: TlsFiles, pems: Pems, error: ssl.SSLError) -> str:
    """What is wrong of a pair; OpenSSL itself says little more than that something is."""
    in_cert, in_key = _kinds(pems.cert), _kinds(pems.key)
    if in_cert == {_KEY} and in_key == {_CERTIFICATE}:
        return (
            f"--tls-cert {files.cert!r} holds a private key, and --tls-key {files.key!r} a certificate: they are"
            " swapped. Give each option the other's file."
        )
    for option, path, kinds, wanted in (
        ("--tls-cert", files.cert, in_cert, _CERTIFICATE),
        ("--tls-key", files.key, in_key, _KEY),
    ):
        if wanted not in kinds:
            found = f"a {kinds.pop()} and " if kinds else ""
            return f"{option} {path!r} holds {found}no {wanted} in PEM form. Name the file of the server's {wanted}."
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"The key in {files.key!r} does not fit the certificate in {files.cert!r}. Give both of one pair."
    return (
        f"The certificate in {files.cert!r} or the key in {files.key!r} is damaged. Copy them from their source again."
    )


def _kinds(pem: bytes) -> set[str]:
    """What a file holds, by its headlines."""
    return {kind for kind, headline in _HEADLINES.items() if headline.search(pem)}


def _refuse_password() -> str:
    raise ValueError


def _check_roots(path: str, roots: bytes) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=roots.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise AccessFileError(f"{path!r} holds no certificates in PEM form. Name the callers' root as PEM.") from None
