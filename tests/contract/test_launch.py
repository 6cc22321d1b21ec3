"""A console script whose extra is missing says which one to install."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

# In a process of its own: packages of the extra cannot be found, as in a bare install.
PROGRAM = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["sardonyx-{part}", "--help"]
from sardonyx import launch
launch.{part}()
"""

EXTRAS = {
    "server": ["click", "grpc_health", "grpc_reflection", "onnxruntime", "opentelemetry", "uvloop", "obstore"],
    "exporter": [
        "click",
        "joblib",
        "obstore",
        "onnx",
        "onnxruntime",
        "pandas",
        "pyarrow",
        "rich",
        "skl2onnx",
        "sklearn",
    ],
    "monitor": ["click", "duckdb", "jinja2", "obstore", "opentelemetry", "plotly", "starlette", "uvicorn"],
}
#: One package that only this part needs.
ALONE = [("server", "onnxruntime"), ("exporter", "skl2onnx"), ("exporter", "sklearn"), ("monitor", "duckdb")]


def _launch(part: str, missing: list[str]) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(part=part, missing=set(missing))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("part", EXTRAS)
def test_a_missing_extra_is_named(part: str) -> None:
    """In a bare install each script says what to install in one line, without a traceback, and exits 2."""
    done = _launch(part, EXTRAS[part])

    assert done.returncode == 2
    assert f"pip install 'sardonyx[{part}]'" in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


@pytest.mark.parametrize(("part", "package"), ALONE)
def test_a_single_missing_package_is_named(part: str, package: str) -> None:
    """Where one package is missing, it is named beside the extra, before anything runs."""
    done = _launch(part, [package])

    assert done.returncode == 2
    assert f"sardonyx-{part} needs {package}" in done.stderr
    assert f"pip install 'sardonyx[{part}]'" in done.stderr


@pytest.mark.parametrize(("part", "installed"), [*itertools.permutations(EXTRAS, 2)])
def test_another_parts_extra_is_not_enough(part: str, installed: str) -> None:
    """Where another part's extra alone is installed, a script names its own before anything runs."""
    done = _launch(part, sorted(set(EXTRAS[part]) - set(EXTRAS[installed])))

    assert done.returncode == 2
    assert f"pip install 'sardonyx[{part}]'" in done.stderr


@pytest.mark.parametrize("part", EXTRAS)
def test_a_part_that_is_broken_says_so(part: str) -> None:
    """A module of sardonyx's own that is missing is a bug and no missing extra."""
    done = _launch(part, [f"sardonyx_{part}"])

    assert done.returncode == 1
    assert "pip install" not in done.stderr


@pytest.mark.parametrize("part", EXTRAS)
def test_with_everything_installed_the_program_answers(part: str) -> None:
    """With its extra a script prints its help and exits 0."""
    done = _launch(part, [])

    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
