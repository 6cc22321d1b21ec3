"""The wheel: what it holds and what it asks for."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"onnxruntime", "scikit-learn", "duckdb", "obstore", "pandas", "skl2onnx", "plotly"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as pip builds it, with the packages at hand instead of fresh ones."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(folder),
        ".",
    ]
    subprocess.run(build, cwd=_copy_of_sources(tmp_path_factory.mktemp("sources")), check=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def _copy_of_sources(folder: Path) -> Path:
    """A copy without generated stubs, as a fresh clone is: the build must not depend on an earlier one."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def test_wheel_holds_four_packages_with_their_types(wheel: zipfile.ZipFile) -> None:
    """The wheel holds the four import packages, each marked as typed."""
    for package in ("sardonyx", "sardonyx_server", "sardonyx_exporter", "sardonyx_monitor"):
        assert f"{package}/py.typed" in wheel.namelist()
        assert f"{package}/__init__.py" in wheel.namelist()


def test_wheel_holds_generated_stubs(wheel: zipfile.ZipFile) -> None:
    """The stubs that the build hook generates travel in the wheel, with the schemas that they come from."""
    names = set(wheel.namelist())
    assert {"sardonyx/oip/inference.binpb", "sardonyx/oip/inference.proto"} <= names
    for stub in ("registry/v1/manifest", "serving/v1/model_service", "monitor/v1/outcome_service"):
        assert {f"sardonyx/{stub}_pb2.py", f"sardonyx/{stub}_pb2.pyi", f"sardonyx/{stub}.proto"} <= names


def test_wheel_holds_what_the_page_needs(wheel: zipfile.ZipFile) -> None:
    """The monitor's templates, styles and scripts travel in the wheel."""
    suffixes = {Path(name).suffix for name in wheel.namelist() if name.startswith("sardonyx_monitor/")}
    assert {".html", ".css", ".js"} <= suffixes


def test_bare_install_is_light(wheel: zipfile.ZipFile) -> None:
    """Without an extra the wheel asks for the client's packages alone."""
    (path,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    required = email.message_from_bytes(wheel.read(path)).get_all("Requires-Dist", [])
    bare = {
        requirement.split(">")[0].split("<")[0].strip() for requirement in required if "extra ==" not in requirement
    }
    assert bare == {"googleapis-common-protos", "grpcio", "numpy", "protobuf"}
    assert not bare & HEAVY
