"""One log line a request, for those who ask for it (``--log-requests``); written beside the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sardonyx_server.log import LOG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sardonyx_server.telemetry.record import Record
    from sardonyx_server.telemetry.usual import Usual


class Line(NamedTuple):
    """What a line says.

    Attributes:
        method, model, route, code, rows, prediction_id, caller: as in ``Record``.
        version: what answered; 0: nothing did.
        ms: how long it took, in milliseconds.
    """

    method: str
    model: str
    version: int
    route: str
    code: str
    rows: int
    ms: float
    prediction_id: str
    caller: str


class RequestLog:
    """Writes a line for every prediction: about 30 µs each, so not by default."""

    def take(self, records: Sequence[Record], missed: int) -> None:
        """Write their lines."""
        for record in records:
            _write(_line_of(record))
        if missed:
            LOG.warning("requests not logged: %d", missed)

    def take_usual(self, usual: Usual) -> None:
        """Write their lines."""
        for line in _lines_of(usual):
            _write(line)


def _write(line: Line) -> None:
    LOG.info("request", extra={"fields": line._asdict()})


def _line_of(record: Record) -> Line:
    return Line(
        record.method,
        record.model,
        record.served.version if record.served else 0,
        record.route,
        record.code,
        record.rows,
        _ms(record.duration_ns),
        record.prediction_id,
        record.caller,
    )


def _lines_of(usual: Usual) -> Iterator[Line]:
    kind = usual.kind
    for duration_ns, written_id in zip(usual.rows["duration_ns"].tolist(), usual.rows["id"], strict=True):
        prediction_id = written_id.tobytes().decode()
        yield Line(
            kind.method, kind.model, kind.version, kind.route, "OK", 1, _ms(duration_ns), prediction_id, kind.caller
        )


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 3)
