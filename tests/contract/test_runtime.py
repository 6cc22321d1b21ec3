"""ONNX Runtime reports nothing to its maker, whichever program loads it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SWITCH = "ORT_DISABLE_TELEMETRY"
LOADING = {
    "the contract": "import sardonyx.onnx.runtime",
    "the exporter": "from sardonyx_exporter import export",
    "a worker": "import sardonyx_server.worker",
    "a check": "import sardonyx_server.check",
    "a supervisor": "from sardonyx_server.config import parse_providers; parse_providers('CPUExecutionProvider,' * 2)",
}


def left_by(program: str, home: Path, **environment: str) -> tuple[str, list[str]]:
    """What the switch is at the end of a program, and the files that it left in its user's home.

    It gets a bare environment: where ONNX Runtime sees the name of a build service in it (CI, BUILDKITE, TF_BUILD and
    others), it reports nothing by itself.
    """
    home.mkdir()
    told = f"{program}\nimport os, sys; assert 'onnxruntime' in sys.modules; print(os.environ[{SWITCH!r}])"
    done = subprocess.run(
        [sys.executable, "-c", told],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
    )
    return done.stdout.strip(), [str(file.relative_to(home)) for file in home.rglob("*") if file.is_file()]


@pytest.mark.parametrize("program", LOADING.values(), ids=LOADING.keys())
def test_no_program_lets_it_report(program: str, tmp_path: Path) -> None:
    """Whatever loads ONNX Runtime has switched it off before: the user's home stays empty."""
    assert left_by(program, tmp_path / "home") == ("1", [])


def test_an_operator_may_let_it_report(tmp_path: Path) -> None:
    """A value that is set stays; what ONNX Runtime then writes is what the other tests find nothing of."""
    switch, files = left_by(LOADING["the contract"], tmp_path / "home", **{SWITCH: "0"})

    assert switch == "0"
    assert any(file.endswith("deviceid") for file in files)
