"""docs/OBSERVABILITY.md names what there is: no metric, field or method is missing, and none is named that is not."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_server.call import SERVER_TIMING
from sardonyx_server.check import Checked, Report
from sardonyx_server.log import LOG, set_up_logging
from sardonyx_server.telemetry import timing
from sardonyx_server.telemetry.metrics.names import METRICS, Kind
from sardonyx_server.telemetry.record import Record
from sardonyx_server.telemetry.requestlog import Line, RequestLog

if TYPE_CHECKING:
    import pytest

TEXT: Final = (Path(__file__).resolve().parents[2] / "docs" / "OBSERVABILITY.md").read_text()


def table(header: str) -> dict[str, list[str]]:
    """The rows of a table below its first column's title: the other cells by the first."""
    (body,) = re.findall(rf"^\| {header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    rows = [re.split(r" \| ", line.strip("| ")) for line in body.splitlines()]
    return {first.strip("`"): rest for first, *rest in rows}


def test_every_metric_is_in_the_table_as_it_is() -> None:
    """Name, kind, labels and meaning of each metric, in the code's order."""
    expected = {
        metric.exposed: [metric.kind.value, ", ".join(f"`{label}`" for label in metric.labels) or "–", metric.meaning]
        for metric in METRICS.values()
    }
    assert table("metric") == expected
    assert list(table("metric")) == list(expected)


def test_queries_and_alerts_name_what_there_is() -> None:
    """Every metric in the examples is one, with labels that it has and values that they take."""
    samples = {
        sample: metric
        for metric in METRICS.values()
        for sample in (
            [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]
            if metric.kind is Kind.HISTOGRAM
            else [metric.exposed]
        )
    }
    used = [
        match
        for block in re.findall(r"```(?:promql|yaml)\n(.*?)```", TEXT, re.DOTALL)
        for match in re.finditer(r"\b(sardonyx_\w+)(?:\{([^}]*)\})?", block)
    ]
    assert len(used) > 20
    for match in used:
        labels = set(re.findall(r"(\w+)!?=", match[2] or ""))
        assert labels <= set(samples[match[1]].labels), match[0]


def test_every_field_of_a_log_line_is_in_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of each kind has just the fields that the tables name."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        root.handlers = []
        set_up_logging(json_lines=True)
        try:
            raise ValueError("any")
        except ValueError:
            LOG.exception("failed")
        RequestLog().take([Record("any")], missed=0)
    finally:
        root.handlers = before
        root.setLevel(level)
    failed, request = (json.loads(line) for line in written.getvalue().splitlines())
    assert list(failed) == list(table("field"))
    assert list(Line._fields) == list(table("field of a request"))
    assert request.keys() == (table("field").keys() - {"traceback"}) | table("field of a request").keys()


def test_a_library_that_warns_writes_a_line_like_any_other() -> None:
    """Python's warnings are log lines: what reads JSON meets nothing else."""
    program = (
        "import warnings; from sardonyx_server.log import set_up_logging; set_up_logging(json_lines=True);"
        " warnings.warn('this will change', stacklevel=1)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["level"] == "warning"
    assert "this will change" in json.loads(line)["message"]


def test_the_trailer_is_as_it_is_written() -> None:
    """The example of server timing is what the code writes for these times."""
    key, value = timing.trailer((21_000, 0, 34_000, 9_000))
    assert f"{key}: {value}\n" in TEXT
    assert f"`{SERVER_TIMING}: 1`" in TEXT


def test_every_field_of_a_check_is_in_its_table() -> None:
    """What `check --json` prints is described, field by field."""
    report = Report("registry", [Checked("model", 1, ["live"], "ready")], []).as_data()
    assert set(table("field of the report")) == report.keys()
    assert list(table("field of a version")) == list(report["versions"][0])


def test_every_method_of_model_service_is_in_the_table() -> None:
    """Each method has its row."""
    methods = serving.DESCRIPTOR.services_by_name["ModelService"].methods
    assert list(table("method")) == [method.name for method in methods]
