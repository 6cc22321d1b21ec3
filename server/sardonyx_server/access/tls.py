"""The port's certificates: TLS, or mutual TLS, with files that may be replaced while connections stand.

gRPC asks for the certificate at the start of each handshake, so a new one needs no restart: connections that stand keep
theirs. Only HTTP/2 is agreed on (ALPN ``h2``), and nothing older than TLS 1.2: both are gRPC's own rules.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc

from sardonyx_server.access.certificates import TlsFiles, read_pems
from sardonyx_server.access.files import AccessFileError, stamp_of
from sardonyx_server.log import LOG

if TYPE_CHECKING:
    from sardonyx_server.access.files import Stamp
    from sardonyx_server.config import Config


class Certificates:
    """What the port shows, read again when a file has changed; bad files change nothing and are named once.

    Raises:
        AccessFileError: the files cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp: Stamp | None = stamp_of(files.paths)
        self._error = ""
        self.initial = _configuration(files)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC before each handshake, in threads of its own: what is new, or None."""
        with self._lock:
            try:
                stamp = stamp_of(self._files.paths)
                if stamp == self._stamp:
                    return None
                renewed = _configuration(self._files)
            except AccessFileError as error:
                self._report(str(error))
                return None
            self._stamp, self._error = stamp, ""
            LOG.info("tls: the certificate was read again")
            return renewed

    def _report(self, error: str) -> None:
        """Log a reason once, not at each handshake; a pair of files is replaced one after the other."""
        if error != self._error:
            LOG.error("tls: the old certificate stays: %s", error)
        self._error = error


def credentials_of(config: Config) -> grpc.ServerCredentials | None:
    """What a port with certificates is opened with; None where there are none.

    Raises:
        AccessFileError: the certificates cannot be used.
    """
    if not config.tls_cert:
        return None
    certificates = Certificates(TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca))
    return grpc.dynamic_ssl_server_credentials(
        certificates.initial,
        certificates.changed,  # type: ignore[arg-type]  # the stubs do not say that None means no change
        require_client_authentication=bool(config.tls_client_ca),
    )


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    """The files, as gRPC takes them.

    Raises:
        AccessFileError: they cannot be used.
    """
    pems = read_pems(files)
    return grpc.ssl_server_certificate_configuration([(pems.key, pems.cert)], pems.client_ca)
