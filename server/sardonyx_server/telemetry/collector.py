"""Where spans go, and how: the collector's address, and what OpenTelemetry's environment variables say of it.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/: a variable for traces alone wins over the one for all.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

_PREFIXES: Final = ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_")
#: What OTLP/gRPC knows. None by default, as in OpenTelemetry's SDKs: gzip takes 2 µs a span, and as much to undo.
COMPRESSIONS: Final = ("none", "gzip")
TIMEOUT_S: Final = 10.0
#: gRPC takes the deadline of some centuries for one that has passed.
TIMEOUT_S_MAX: Final = 86_400.0
#: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a key that ends in -bin has a value of bytes.
_KEY: Final = re.compile(r"[0-9a-z_.-]+(?<!-bin)")
_VALUE: Final = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Collector:
    """An OTLP/gRPC collector.

    Attributes:
        endpoint: ``http://host:port``, or ``https://host:port`` for TLS.
        compression: one of COMPRESSIONS.
        headers: sent with each call.
        timeout_s: how long a call may take.
        roots: certificates of the authorities to trust, PEM; None: the system's.
        key, chain: the client's own key and certificates, PEM, where the collector asks for them.
    """

    endpoint: str
    compression: str = "none"
    headers: tuple[tuple[str, str | bytes], ...] = ()
    timeout_s: float = TIMEOUT_S
    roots: bytes | None = None
    key: bytes | None = None
    chain: bytes | None = None

    @classmethod
    def of(cls, endpoint: str, compression: str, environ: Mapping[str, str] = os.environ) -> Collector:
        """What the command line and the environment say together.

        Raises:
            ValueError: a variable makes no sense, or names a file that cannot be read; the text says which.
        """
        return cls(
            endpoint,
            compression,
            _read_headers(environ),
            _read_timeout_s(environ),
            _read_file(environ, "CERTIFICATE"),
            _read_file(environ, "CLIENT_KEY"),
            _read_file(environ, "CLIENT_CERTIFICATE"),
        )

    def channel(self) -> grpc.Channel:
        """A channel to it; connects by itself."""
        # Only here: the supervisor reads the environment too, and does without gRPC.
        import grpc

        scheme, _, target = self.endpoint.partition("://")
        compression = grpc.Compression.Gzip if self.compression == "gzip" else grpc.Compression.NoCompression
        if scheme == "http":
            return grpc.insecure_channel(target, compression=compression)
        credentials = grpc.ssl_channel_credentials(self.roots, self.key, self.chain)
        return grpc.secure_channel(target, credentials, compression=compression)


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable that counts, and its text; empty where none is set."""
    for prefix in _PREFIXES:
        if text := environ.get(prefix + name, "").strip():
            return prefix + name, text
    return "", ""


def _read_headers(environ: Mapping[str, str]) -> tuple[tuple[str, str | bytes], ...]:
    """``key=value`` pairs, separated by commas, values in percent-encoding (as W3C Baggage)."""
    name, text = _variable(environ, "HEADERS")
    headers: list[tuple[str, str | bytes]] = []
    for pair in filter(None, map(str.strip, text.split(","))):
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            # The pair may hold a secret: it is not repeated.
            raise ValueError(f"{name} is no list of key=value, separated by commas. Write it so.")
        # gRPC's metadata keys are lower-case.
        header = key.strip().lower(), unquote(value.strip())
        if not _KEY.fullmatch(header[0]) or not _VALUE.fullmatch(header[1]):
            raise ValueError(
                f"{name} has a header that gRPC cannot send. Write keys of letters, digits, '_', '-' and '.' that do"
                " not end in -bin, and values of printable ASCII."
            )
        headers.append(header)
    return tuple(headers)


def _read_timeout_s(environ: Mapping[str, str]) -> float:
    """The specification counts in milliseconds."""
    name, text = _variable(environ, "TIMEOUT")
    try:
        timeout_s = float(text) / 1000 if text else TIMEOUT_S
    except ValueError:
        timeout_s = 0.0
    if not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise ValueError(
            f"{name} is {text!r}. Write a number of milliseconds, such as 10000, and no more than a day's."
        )
    return timeout_s


def _read_file(environ: Mapping[str, str], what: str) -> bytes | None:
    name, text = _variable(environ, what)
    try:
        return Path(text).read_bytes() if text else None
    except OSError as error:
        raise ValueError(f"{name} names {text!r}: {error.strerror}. Name a PEM file that can be read.") from None
