"""What is checked of certificates and tokens before anything starts."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from sardonyx_server.access.certificates import TlsFiles, read_pems
from sardonyx_server.access.files import others_may_write
from sardonyx_server.access.tokens import read_tokens

if TYPE_CHECKING:
    from sardonyx_server.config import Config


def check_options(config: Config) -> None:
    """Whether the options go together.

    Raises:
        ValueError: they do not.
    """
    if bool(config.tls_cert) != bool(config.tls_key):
        raise ValueError("--tls-cert and --tls-key go together. Give both, or none.")
    if config.tls_client_ca and not config.tls_cert:
        raise ValueError("--tls-client-ca asks callers for certificates, which takes --tls-cert and --tls-key too.")
    if config.metrics_port and config.metrics_port == config.port:
        raise ValueError(f"--listen and --metrics-port are both port {config.port}. Give two ports.")


def check_files(config: Config) -> list[str]:
    """Whether the files can be used; a sentence for each thing that an operator should know of them.

    Raises:
        AccessFileError: one cannot be used.
    """
    if config.tls_cert:
        read_pems(TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca))
    if not config.token_file:
        return []
    warnings: list[str] = []
    if not read_tokens(config.token_file):
        warnings.append(f"{config.token_file!r} holds no tokens: nobody may call. Make one: sardonyx-server token.")
    if others_may_write(config.token_file):
        warnings.append(f"Anyone on this machine may write {config.token_file!r}, and so let in callers: chmod o-w it.")
    if not config.tls_cert and not is_loopback(config.host):
        warnings.append(
            f"Tokens travel in the clear to {config.address}: whoever listens can use them. Give --tls-cert and"
            " --tls-key, or let a proxy on this machine end TLS."
        )
    return warnings


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
