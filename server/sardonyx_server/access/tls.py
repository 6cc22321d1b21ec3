"""The port's certificates: TLS, or mutual TLS, with files that may be replaced while connections stand.

gRPC asks for the certificate at the start of each handshake, so a new one needs no restart: connections that stand keep
theirs. Only HTTP/2 is agreed on (ALPN ``h2``), and nothing older than TLS 1.2: both are gRPC's own rules.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc

from sardonyx_server.access.certificates import TlsFiles, read_pems
from sardonyx_server.access.reread import Reread

if TYPE_CHECKING:
    from sardonyx_server.config import Config


class Certificates:
    """What a port shows, read again when a file has changed; bad files change nothing and are named once.

    Several servers may show them.

    Args:
        config: names the files.

    Raises:
        AccessFileError: the files cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self._files = TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca)
        self._lock = threading.Lock()
        # Looked at for each handshake; a pair of files is replaced one after the other.
        self._shown = Reread(
            self._files.paths,
            lambda: _configuration(self._files),
            "tls: the old certificate stays",
            lambda _: "tls: the certificate was read again",
        )

    def credentials(self) -> grpc.ServerCredentials:
        """What one server's port is opened with: gRPC asks for the initial certificate once for each."""
        shown = self._shown.stamp

        def changed() -> grpc.ServerCertificateConfiguration | None:
            """Called by gRPC before each handshake, in threads of its own: what is new, or None."""
            nonlocal shown
            with self._lock:
                self._shown.look()
                if self._shown.stamp == shown:
                    return None
                shown = self._shown.stamp
                return self._shown.content

        return grpc.dynamic_ssl_server_credentials(
            self._shown.content,
            changed,  # type: ignore[arg-type]  # the stubs do not say that None means no change
            require_client_authentication=bool(self._files.client_ca),
        )


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    """The files, as gRPC takes them.

    Raises:
        AccessFileError: they cannot be used.
    """
    pems = read_pems(files)
    return grpc.ssl_server_certificate_configuration([(pems.key, pems.cert)], pems.client_ca)
