"""Who may import whom: the parts know the contract, and never one another."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "sardonyx": ROOT / "protos" / "sardonyx",
    "sardonyx_server": ROOT / "server" / "sardonyx_server",
    "sardonyx_exporter": ROOT / "exporter" / "sardonyx_exporter",
    "sardonyx_monitor": ROOT / "monitor" / "sardonyx_monitor",
}
PARTS = sorted(FOLDERS.keys() - {"sardonyx"})


def _imported(file: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it; strings given to import_module count too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        match node:
            case ast.Import(names=names):
                found.update(alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module)
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
                found.add(module)
    return {name.partition(".")[0] for name in found}


def _all_imported(package: str) -> dict[str, set[str]]:
    return {str(file.relative_to(ROOT)): _imported(file) for file in sorted(FOLDERS[package].rglob("*.py"))}


def test_there_is_something_to_look_at() -> None:
    """Every folder of the four packages holds modules: the tests below see the real ones."""
    assert all(len(_all_imported(package)) > 3 for package in FOLDERS)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_no_other_part(part: str) -> None:
    """Server, exporter and monitor share the contract alone."""
    others = set(PARTS) - {part}

    assert {file: names & others for file, names in _all_imported(part).items() if names & others} == {}


def test_the_contract_imports_no_part() -> None:
    """The contract stands below all three."""
    assert {file: names for file, names in _all_imported("sardonyx").items() if names & set(PARTS)} == {}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_uses_the_contract(part: str) -> None:
    """Each part imports the contract's package."""
    assert any("sardonyx" in names for names in _all_imported(part).values())


#: Where ONNX Runtime is told what it may not do.
RUNTIME = "protos/sardonyx/onnx/runtime.py"
#: What a bare install holds beside the standard library, by import name.
BARE = {"sardonyx", "grpc", "google", "numpy", "obstore", "click", "onnxruntime"}


def test_the_contract_needs_a_bare_install_only() -> None:
    """The contract and the client import nothing of an extra but obstore, click and ONNX Runtime.

    Only the registry's stores need the first, only what all three command lines share the second, and the third is for
    the programs that run graphs.
    """
    allowed = BARE | set(sys.stdlib_module_names)
    found = {file: names - allowed for file, names in _all_imported("sardonyx").items()}

    def needing(package: str) -> list[str]:
        return [file for file, names in _all_imported("sardonyx").items() if package in names]

    # DataFrames are taken where the caller has pandas: the import is the caller's own.
    assert {file: names for file, names in found.items() if names - {"pandas"}} == {}
    assert needing("obstore") == [f"protos/sardonyx/registry/{name}.py" for name in ("directory", "location", "store")]
    assert needing("click") == ["protos/sardonyx/command_line.py"]
    assert needing("onnxruntime") == [RUNTIME]


def test_onnx_runtime_is_imported_in_one_place() -> None:
    """Every program has it from the contract, which keeps it from reporting to its maker."""
    imported = {file: names for package in FOLDERS for file, names in _all_imported(package).items()}

    assert [file for file, names in imported.items() if "onnxruntime" in names] == [RUNTIME]


HEAVY = ["onnxruntime", "onnx", "skl2onnx", "sklearn", "pandas", "duckdb", "obstore", "click", "plotly", "starlette"]


def loaded_by(module: str) -> set[str]:
    """Which heavy packages a module's import loads."""
    program = f"import {module}, sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["sardonyx", "sardonyx.client", "sardonyx.status", "sardonyx.telemetry"])
def test_a_client_loads_nothing_heavy(module: str) -> None:
    """Importing the client loads no package of an extra."""
    assert loaded_by(module) == set()


def test_a_command_waits_for_no_scikit_learn() -> None:
    """The exporter's command line begins with what all of its commands need; only ``export`` loads the rest."""
    assert loaded_by("sardonyx_exporter.app") == {"click", "obstore"}


def test_what_is_loaded_later_is_there_to_be_found() -> None:
    """Help and completion show all that the exporter has, and a name that it has not is an AttributeError."""
    import sardonyx_exporter

    assert set(sardonyx_exporter.__all__) <= set(dir(sardonyx_exporter))
    assert all(getattr(sardonyx_exporter, name) for name in sardonyx_exporter.__all__)
    assert not hasattr(sardonyx_exporter, "nothing")
