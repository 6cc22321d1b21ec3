"""What is checked of certificates and tokens before anything starts."""

from __future__ import annotations

import ipaddress
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sardonyx_server.access.certificates import TlsFiles, life_of, read_pems
from sardonyx_server.access.files import others_may_read, others_may_write
from sardonyx_server.access.tokens import read_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sardonyx_server.config import Config

#: Of a certificate's life: who renews in time has done so before.
_LAST_PART: Final = 0.1


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
    warnings = [*_of_tls(config)] if config.tls_cert else []
    if config.token_file:
        warnings += _of_tokens(config)
    elif not config.tls_cert and not is_loopback(config.host):
        metrics = " and read its metrics" if config.metrics_port else ""
        warnings.append(
            f"Whoever reaches {config.address} may call every model{metrics}, in the clear. Give --tls-cert and"
            " --token-file, or let a network keep others away."
        )
    return warnings


def _of_tls(config: Config) -> Iterator[str]:
    files = TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca)
    read_pems(files)
    life = life_of(files)
    if life is None:
        yield f"Callers refuse the certificate in {files.cert!r}: it has expired, or is not valid yet. Renew it."
    elif life.end - time.time() < (life.end - life.begin) * _LAST_PART:
        yield f"The certificate in {files.cert!r} ends on {datetime.fromtimestamp(life.end, UTC):%Y-%m-%d}. Renew it."
    if others_may_read(files.key):
        yield f"Anyone on this machine may read {files.key!r}, and so pass for this server: chmod o-r it."


def _of_tokens(config: Config) -> Iterator[str]:
    if not read_tokens(config.token_file):
        yield f"{config.token_file!r} holds no tokens: nobody may call. Make one: sardonyx-server token."
    if others_may_write(config.token_file):
        yield f"Anyone on this machine may write {config.token_file!r}, and so let in callers: chmod o-w it."
    if not config.tls_cert and not is_loopback(config.host):
        yield (
            f"Tokens travel in the clear to {config.address}: whoever listens can use them. Give --tls-cert and"
            " --tls-key, or let a proxy on this machine end TLS."
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
