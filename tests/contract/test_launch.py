"""A console script whose extra is missing says which one to install."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

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


#: What says something and ends.
SAYING = [
    ("server", "--version"),
    ("server", "--help"),
    ("server", "check --registry {folder}"),
    ("server", "token anyone --model *"),
    ("exporter", "--version"),
    ("monitor", "--help"),
]


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(("part", "words"), SAYING)
def test_what_cannot_be_said_is_a_sentence(part: str, words: str, unbuffered: str, tmp_path: Path) -> None:
    """Where standard output is full each script says so in a line, without a traceback, and exits 1."""
    arguments = words.format(folder=tmp_path).split()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", f"sardonyx_{part}", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )

    assert done.returncode == 1
    assert done.stderr == "Error: Standard output cannot be written: No space left on device. Let it go elsewhere.\n"


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "sardonyx_{part}.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from sardonyx import launch
launch.{part}()
"""


@pytest.mark.parametrize("part", EXTRAS)
def test_a_program_that_is_interrupted_at_once_ends_quietly(part: str) -> None:
    """A Ctrl-C while a program is still imported ends it by that signal, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(part=part)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
