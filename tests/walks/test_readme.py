"""The README runs: every block of it, in order, as a reader would."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sardonyx_exporter.app import main as exporter
from sardonyx_monitor.app import main as monitor
from sardonyx_server.app import main as server
from server.sink import free_port
from support.node import has_node, link_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(python|bash|js)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Any block, whether it runs or not.
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
#: What is named within a sentence.
SPAN = re.compile(r"`([^`]+)`")
PROGRAMS: dict[str, click.Command] = {
    "sardonyx-exporter": exporter,
    "sardonyx-server": server,
    "sardonyx-monitor": monitor,
}
#: The README's ports, each replaced by a free one: whatever else runs on this machine is not disturbed.
PORTS = ("8001", "4317", "8080")
#: So many connections meet each of a few workers.
CONNECTIONS = 20
#: The folder for what the README installs.
LIBRARY = "library"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A shell in an empty folder, with the console scripts on its path; what it started ends with it."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        # What the README installs is not for this environment, and what it needs is at hand.
        "PIP_TARGET": str(tmp_path / LIBRARY),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # as pip has it, this is to say: none
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    with subprocess.Popen(
        ["bash", "-eu"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def test_every_block_of_the_readme_runs(
    shell: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run one after the other in one folder, the README's Python, shell and Node blocks do what they say."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / LIBRARY).mkdir()
    monkeypatch.syspath_prepend(tmp_path / LIBRARY)
    ports = {port: str(free_port()) for port in PORTS}
    printed = ""
    namespace: dict[str, Any] = {}
    for language, code in BLOCK.findall(README):
        if "make demo" in code:
            continue  # tests/walks/test_demo.py runs that story; `make test` is what runs this test.
        for port, free in ports.items():
            code = code.replace(f":{port}", f":{free}")  # noqa: PLW2901 - the block, as this machine can run it
        if language == "python":
            exec(compile(code, "README.md", "exec"), namespace)  # noqa: S102 - our own README
        elif language == "js":
            printed += _run_in_node(tmp_path, code) if has_node() else ""
        else:
            if "--server" in code:
                _wait_until_served(ports["8001"])
            _run(shell, code)
            # What it installed is found, as it is by a Python that starts afterwards.
            importlib.invalidate_caches()
            if "sardonyx-server" in code:
                _wait_until_ready(ports["8001"])
            if "sardonyx-monitor" in code:
                _wait_until_ready(ports["4317"])
    assert namespace["answer"].version == 1
    assert len(namespace["answer"].labels) == 2
    # The same row, in another way.
    probabilities = namespace["response"].prediction.probabilities
    assert probabilities.class_true == pytest.approx(namespace["answer"].probabilities[0, 1], abs=1e-6)
    # Which field of which row, by its name.
    assert namespace["wrong"] == [("columns.age", 1)]
    if has_node():
        assert f"class_true: {probabilities.class_true!r}" in printed
        assert f"label: 'LABEL_{str(namespace['churned']).upper()}'" in printed


def test_commands_within_sentences_are_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each that the README names has the arguments and options that its program takes; so has each option alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.joblib").touch()
    (tmp_path / "holdout.parquet").touch()
    monkeypatch.setenv("SARDONYX_REGISTRY", "registry/")
    spans = [shlex.split(span) for span in SPAN.findall(FENCED.sub("", README))]
    named = [span if span[0] in PROGRAMS else ["sardonyx-exporter", *span] for span in spans if _is_command(span)]
    alone = {word for span in spans for word in span[:1] if word.startswith("--")}

    assert {"export", "promote", "rollback", "shadow", "canary", "retire", "token"} <= {words[1] for words in named}
    for program, *words in named:
        _parse(PROGRAMS[program], ["1" if word == "VERSION" else word for word in words])
    assert alone - {option for command in _commands() for each in command.params for option in each.opts} == set()


def test_targets_that_the_readme_names_exist() -> None:
    """Each of them is one of the Makefile's."""
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "soak"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_files_that_the_readme_links_exist() -> None:
    """Every relative link and picture of the README leads to a file of the repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def _is_command(span: list[str]) -> bool:
    """Whether it says more than a name."""
    return len(span) > 1 and (span[0] in PROGRAMS or span[0] in getattr(exporter, "commands", {}))


def _parse(command: click.Command, words: list[str]) -> None:
    """Take a command line as its program does, and do nothing."""
    if isinstance(command, click.Group):
        _, found, words = command.resolve_command(click.Context(command), words)
        assert found is not None
        command = found
    command.make_context(command.name, words)


def _commands() -> Iterator[click.Command]:
    for program in PROGRAMS.values():
        yield from program.commands.values() if isinstance(program, click.Group) else [program]


def _run(shell: subprocess.Popen[str], code: str) -> None:
    """Run a block in the shell and wait until it is through; what it puts in the background stays there."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{code}\necho BLOCK-DONE\n")
    shell.stdin.flush()
    for line in shell.stdout:
        if line.strip() == "BLOCK-DONE":
            return
    pytest.fail(f"the shell ended in: {code}")


def _run_in_node(folder: Path, code: str) -> str:
    """What a script prints."""
    link_packages(folder)
    (folder / "readme.mjs").write_text(code)
    return subprocess.run(["node", "readme.mjs"], cwd=folder, capture_output=True, text=True, check=True).stdout


def _wait_until_ready(port: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=30)


def _wait_until_served(port: str) -> None:
    """Until every worker has its models: each connection meets one of them, by chance."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    in_a_row, deadline = 0, time.monotonic() + 30
    while in_a_row < CONNECTIONS and time.monotonic() < deadline:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        in_a_row = in_a_row + 1 if health.status == health_pb2.HealthCheckResponse.SERVING else 0
    assert in_a_row == CONNECTIONS
