"""What a version is: a line of a list, or the whole of it.

What authors wrote is shown as Text, never as rich's markup: a column may well be called ``delay [min]``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from rich.table import Table
from rich.text import Text

from sardonyx.interface import DATATYPE_NAMES, shape_of
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx.registry.v1.manifest_pb2 import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from google.protobuf.message import Message

    from sardonyx.registry import Routes
    from sardonyx.registry.v1.manifest_pb2 import Manifest, Metric
    from sardonyx_exporter.exporting import ExportResult


_ALWAYS: Final = {"model": "model", "version": "version", "interface": "interface", "routes": "routes"}
#: What a line of ``list`` has, with its headings: from all of it to what fits 80 columns.
_LIST_COLUMNS: Final[Sequence[Mapping[str, str]]] = (
    {**_ALWAYS, "interval": "hold-out", "created": "created", "author": "author"},
    {**_ALWAYS, "interval": "hold-out", "created": "created"},
    {**_ALWAYS, "figure": "hold-out", "created": "created"},
    {**_ALWAYS, "figure": "hold-out"},
)
_LESS: Final = "A wider terminal shows more of each, and --json all."


def export_data(result: ExportResult) -> dict[str, Any]:
    """An export, for scripts."""
    return {
        "model": result.manifest.model,
        "version": result.version,
        "interface_major": result.manifest.interface_major,
        "verdict": str(result.verdict.kind),
        "reasons": [_plain(reason) | {"breaking": reason.breaking} for reason in result.manifest.verdict.reasons],
        "metrics": {metric.name: _metric_data(metric) for metric in result.manifest.evaluation.metrics},
        "parity": _plain(result.manifest.parity),
        "notes": list(result.notes),
    }


def list_data(entries: Iterable[tuple[Manifest, Routes]]) -> list[dict[str, Any]]:
    """Versions, for scripts."""
    return [
        {
            "model": manifest.model,
            "version": manifest.version,
            "interface_major": manifest.interface_major,
            "live": manifest.version in routes.live_versions,
            "default": _is_default(manifest, routes),
            **_shares_data(manifest, routes),
            "retired": routes.is_retired(manifest.version, manifest.interface_major),
            "created": manifest.create_time.ToJsonString(),
            "author": manifest.author,
            "primary_metric": manifest.evaluation.primary,
            "metrics": {metric.name: _metric_data(metric) for metric in manifest.evaluation.metrics},
        }
        for manifest, routes in entries
    ]


def list_tables(entries: Sequence[tuple[Manifest, Routes]]) -> Iterator[Table]:
    """Versions, for people: tables that take ever less room, and say so."""
    rows = [_list_cells(manifest, routes) for manifest, routes in entries]
    for columns in _LIST_COLUMNS:
        is_whole = columns == _LIST_COLUMNS[0]
        table = Table(*columns.values(), caption=None if is_whole else _LESS, caption_justify="left")
        for cells in rows:
            _add_row(table, *(cells[column] for column in columns))
        yield table


def _list_cells(manifest: Manifest, routes: Routes) -> dict[str, str | Text]:
    primary = next((each for each in manifest.evaluation.metrics if each.name == manifest.evaluation.primary), None)
    return {
        "model": manifest.model,
        "version": str(manifest.version),
        "interface": f"v{manifest.interface_major}",
        "routes": _routes_mark(manifest, routes),
        "interval": _metric_text(primary) if primary else "",
        "figure": f"{primary.name} {primary.value:.4f}" if primary else "",
        "created": manifest.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M"),
        "author": manifest.author,
    }


def show_data(manifest: Manifest, routes: Routes, events: Sequence[Event]) -> dict[str, Any]:
    """One version whole, for scripts."""
    return {
        "live": manifest.version in routes.live_versions,
        **_shares_data(manifest, routes),
        "retired": routes.is_retired(manifest.version, manifest.interface_major),
        "manifest": _plain(manifest),
        "events": [_plain(event) for event in events],
    }


def show_tables(manifest: Manifest, routes: Routes, events: Sequence[Event]) -> list[Table | Text]:
    """One version whole, for people."""
    parity, graph = manifest.parity, manifest.graph
    heading = Text.assemble(
        (f"{manifest.model} version {manifest.version}", "bold"),
        f", interface v{manifest.interface_major} ",
        _routes_mark(manifest, routes),
    )
    facts = [
        manifest.description,
        f"exported {manifest.create_time.ToDatetime():%Y-%m-%d %H:%M} UTC by {manifest.author}",
        (
            f"parity: {parity.holdout_rows} hold-out rows and {parity.edge_rows} edge rows, at most"
            f" {parity.absolute_difference_max:.1e} apart ({graph.strategy}, opset {graph.opset})"
        ),
        (
            f"git {manifest.lineage.git_commit[:12] or 'none'}{' (changed)' if manifest.lineage.git_dirty else ''};"
            f" training data: {manifest.lineage.training_data or 'not stated'}"
        ),
    ]
    return [
        Text("\n").join([heading, *(Text(fact) for fact in (*facts, *_verdict_lines(manifest.verdict)) if fact)]),
        _inputs(manifest),
        _outputs(manifest),
        _metrics(manifest),
        _events(events),
    ]


def _verdict_lines(verdict: Verdict) -> Iterator[str]:
    """What the version meant to callers when it was published; nothing for one of before verdicts were kept."""
    kind = Verdict.Kind.Name(verdict.kind).removeprefix("KIND_").lower()
    if verdict.version:
        yield f"{kind} for those who call version {verdict.version}"
    for reason in verdict.reasons:
        mark = "breaks" if reason.breaking else "changes"
        yield f"  {mark}: {reason.change} ({reason.rule}). {reason.meaning}"


def _plain(message: Message) -> dict[str, Any]:
    """A message as JSON has it, with whole numbers as numbers: proto3 writes those of 64 bits as text."""
    return _with_numbers(json_format.MessageToDict(message, preserving_proto_field_name=True), message.DESCRIPTOR)


def _with_numbers(data: dict[str, Any], kind: Any) -> dict[str, Any]:
    for field in kind.fields:
        value = data.get(field.name)
        if value is None:
            continue
        if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64):
            data[field.name] = [int(each) for each in value] if isinstance(value, list) else int(value)
        elif field.message_type is not None:
            for each in value if isinstance(value, list) else [value]:
                # Times are text, maps have no fields of their own.
                if isinstance(each, dict) and not field.message_type.GetOptions().map_entry:
                    _with_numbers(each, field.message_type)
    return data


def _inputs(manifest: Manifest) -> Table:
    columns = ("no.", "input", "type", "shape", "unit", "range", "missing", "unknown category")
    table = Table(*columns, title="inputs", title_justify="left")
    for tensor in manifest.interface.inputs:
        _add_row(
            table,
            str(tensor.number),
            tensor.name,
            DATATYPE_NAMES[tensor.datatype],
            str(shape_of(tensor)),
            tensor.unit,
            _range_text(tensor),
            _missing_text(tensor),
            _unknown_text(tensor),
        )
    return table


def _missing_text(tensor: pb.Input) -> str:
    allowed = "allowed" if tensor.missing == pb.MISSING_POLICY_ALLOWED else "refused"
    return f"{allowed}, optional" if tensor.optional else allowed


def _range_text(tensor: pb.Input) -> str:
    low = f"{tensor.minimum:g}" if tensor.HasField("minimum") else ""
    high = f"{tensor.maximum:g}" if tensor.HasField("maximum") else ""
    return f"{low} … {high}".strip() if low or high else ""


def _unknown_text(tensor: pb.Input) -> str:
    if tensor.unknown_category == pb.UNKNOWN_CATEGORY_POLICY_REFUSED:
        return f"refused; {len(tensor.categories)} known"
    return "allowed" if tensor.unknown_category == pb.UNKNOWN_CATEGORY_POLICY_ALLOWED else ""


def _outputs(manifest: Manifest) -> Table:
    table = Table("no.", "output", "type", "shape", "classes", title="outputs", title_justify="left")
    for output in manifest.interface.outputs:
        shape = str(shape_of(output))
        _add_row(
            table, str(output.number), output.name, DATATYPE_NAMES[output.datatype], shape, ", ".join(output.classes)
        )
    return table


def _metrics(manifest: Manifest) -> Table:
    evaluation = manifest.evaluation
    title = f"hold-out: {evaluation.rows} rows, 95 % bootstrap intervals of {evaluation.resamples} resamples"
    table = Table("metric", "value", "interval", "better", title=title, title_justify="left")
    for metric in evaluation.metrics:
        mark = " *" if metric.name == evaluation.primary else ""
        better = "higher" if metric.higher_is_better else "lower"
        _add_row(table, f"{metric.name}{mark}", f"{metric.value:.4f}", f"{metric.low:.4f} – {metric.high:.4f}", better)
    return table


def _events(events: Sequence[Event]) -> Table:
    table = Table("no.", "time (UTC)", "event", "interface", "by", "reason", title="events", title_justify="left")
    for event in events:
        _add_row(
            table,
            str(event.sequence),
            event.time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
            _event_text(event),
            f"v{event.interface_major}",
            event.actor,
            event.reason,
        )
    return table


def _event_text(event: Event) -> str:
    """What happened, in words; a kind of a later release has a number only."""
    if event.kind not in Event.Kind.values():
        return f"kind {event.kind}"
    name = Event.Kind.Name(event.kind).removeprefix("KIND_").lower().replace("_", "-")
    if event.kind not in (Event.KIND_CANARY, Event.KIND_SHADOW):
        return name
    return f"{name} {event.percent:g} %" if event.percent else f"{name} ended"


def _is_default(manifest: Manifest, routes: Routes) -> bool:
    return manifest.version in routes.live_versions and manifest.interface_major == routes.default_major


def _shares_data(manifest: Manifest, routes: Routes) -> dict[str, float]:
    """Its shares beside the live version in percent; 0 where it has none."""
    canary, shadow = _shares(manifest, routes)
    return {"canary_percent": canary, "shadow_percent": shadow}


def _shares(manifest: Manifest, routes: Routes) -> tuple[float, float]:
    state = routes.majors.get(manifest.interface_major)
    shares = (state.canary, state.shadow) if state is not None else (None, None)
    canary, shadow = (share.percent if share and share.version == manifest.version else 0.0 for share in shares)
    return canary, shadow


def _routes_mark(manifest: Manifest, routes: Routes) -> Text:
    """Which routes lead to a version, in words; empty where none does."""
    canary, shadow = _shares(manifest, routes)
    marks = [
        ("live", "green", manifest.version in routes.live_versions),
        ("default", "green", _is_default(manifest, routes)),
        (f"canary {canary:g} %", "yellow", canary),
        (f"shadow {shadow:g} %", "yellow", shadow),
        ("retired", "red", routes.is_retired(manifest.version, manifest.interface_major)),
    ]
    return Text(", ").join(Text(word, style) for word, style, is_so in marks if is_so)


def _add_row(table: Table, *cells: str | Text) -> None:
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _metric_text(metric: Metric) -> str:
    return f"{metric.name} {metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]"


def _metric_data(metric: Metric) -> dict[str, float | None]:
    """None where a figure is not defined, such as R² of one row: JSON has no NaN."""
    figures = {"value": metric.value, "low": metric.low, "high": metric.high}
    return {name: figure if math.isfinite(figure) else None for name, figure in figures.items()}
