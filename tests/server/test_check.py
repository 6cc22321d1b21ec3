"""``sardonyx-server check``, and that serving needs no command's name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_exporter import promote
from server.scene import (
    ALONE,
    CLASSIFIER,
    LOOKUP,
    REGRESSOR,
    SLOW,
    Scene,
    blob_path,
    export_regressor,
    get_model,
    states_of,
    wait_until,
)
from server.summed import interface_of, publish_sum
from support.programs import Program, running_server

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD, GONE, WRONG = "good", "gone", "wrong"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The console script, to its end."""
    command = [str(Path(sys.executable).parent / "sardonyx-server"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1", **environment}
    )


def checked(registry: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status of a check, and its JSON."""
    done = run("check", "--registry", str(registry), "--json", *arguments)
    return done.returncode, json.loads(done.stdout)


def reason_of(channel: grpc.Channel, model: str, number: int) -> str:
    """Why a version failed on a server, once it has."""
    wait_until(lambda: states_of(channel, model).get(number) == serving.STATE_FAILED, f"{model} {number} fails")
    (failed,) = [version for version in get_model(channel, model).versions if version.version == number]
    return failed.reason


def publish_wrong(registry: Path, model: str) -> None:
    """Make live what answers otherwise than its golden rows say."""
    promote(model, export_regressor(registry, model, seed=1), registry=str(registry))
    store = Registry(str(registry))
    manifest = Manifest()
    manifest.CopyFrom(store.manifest(model, 1))
    manifest.golden.outputs[0].doubles.values[0] += 1
    graph = store.blob(manifest.artifact)
    promote(model, store.publish(model, graph, lambda _versions: manifest).version, registry=str(registry))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one model that is well, one whose bytes are gone and one that proves wrong."""
    registry = tmp_path_factory.mktemp("check") / "registry"
    for seed, model in enumerate((GOOD, GONE), start=1):
        promote(model, export_regressor(registry, model, seed=seed), registry=str(registry))
    blob_path(registry, GONE, 1).unlink()
    publish_wrong(registry, WRONG)
    return registry


def test_a_registry_that_would_serve_passes(scene: Scene) -> None:
    """Every live version is proven, its golden rows are counted, and the status is 0."""
    status, report = checked(scene.registry)
    assert status == 0, report
    assert report["passed"]
    assert {version["model"] for version in report["versions"]} == set(Registry(str(scene.registry)).models())
    assert all(version["state"] == "ready" and version["golden_rows"] > 0 for version in report["versions"])
    assert all(version["one_row_us"] > 0 and version["load_ms"] > 0 for version in report["versions"])


def test_the_table_says_the_same(scene: Scene) -> None:
    """For people there is a table with a line for each version and a verdict; progress goes to standard error."""
    done = run("check", SARDONYX_REGISTRY=str(scene.registry))
    assert done.returncode == 0, done.stderr
    heading, *lines, verdict = done.stdout.splitlines()
    assert heading.split()[:4] == ["model", "version", "route", "state"]
    models = Registry(str(scene.registry)).models()
    assert [line.split()[:4] for line in lines] == [[model, "1", "live", "ready"] for model in models]
    assert verdict == f"{len(models)} versions: all would serve."
    assert all(f"{model} 1 (live)" in done.stderr for model in models)


def test_each_versions_own_service_is_proven(scene: Scene) -> None:
    """It reads the golden rows, in rows and in columns, as tensors are read; a version without one is well too."""
    _, report = checked(scene.registry)
    services = {version["model"]: version["service"] for version in report["versions"]}
    assert services == {
        CLASSIFIER: "flight_delay.v1.FlightDelayService",
        REGRESSOR: "arrival.v1.ArrivalService",
        LOOKUP: "",
        SLOW: "",
    }
    assert "flight_delay.v1.FlightDelayService" in run("check", "--registry", str(scene.registry)).stdout


@pytest.mark.parametrize("text", [False, True])
def test_golden_rows_that_no_caller_may_send_are_found(tmp_path: Path, *, text: bool) -> None:
    """A graph may answer its golden rows and its service refuse them: that is said by the field."""
    value = pb.Input(name="the value", datatype=pb.DATATYPE_FP64)
    if text:
        value.datatype, value.unknown_category = pb.DATATYPE_BYTES, pb.UNKNOWN_CATEGORY_POLICY_REFUSED
        value.categories.append("B6")
    else:
        value.minimum = 5
    publish_sum(tmp_path, "sums", interface_of([value]))
    promote("sums", 1, registry=str(tmp_path))
    status, report = checked(tmp_path)
    assert status == 1
    (version,) = report["versions"]
    assert version["state"] == "failed"
    assert "Callers may not send the golden rows: inputs[the value], row 0: " in version["reason"]


def test_what_would_not_serve_is_named_with_its_reason(broken: Path) -> None:
    """Each broken version has its reason, the good one is proven all the same, and the status is 1."""
    status, report = checked(broken)
    assert status == 1
    assert not report["passed"]
    versions = {version["model"]: version for version in report["versions"]}
    assert versions[GOOD]["state"] == "ready"
    assert versions[GONE]["state"] == versions[WRONG]["state"] == "failed"
    assert "is missing from" in versions[GONE]["reason"]
    assert versions[WRONG]["version"] == 2
    assert "golden rows differ" in versions[WRONG]["reason"]
    assert "Of 3 versions 2 would not serve." in run("check", "--registry", str(broken)).stdout


def test_a_server_fails_the_same_versions_for_the_same_reasons(broken: Path) -> None:
    """What a check says of a version is what a server says of it."""
    _, report = checked(broken)
    reasons = {version["model"]: version["reason"] for version in report["versions"] if version["reason"]}
    with running_server(broken, *ALONE) as address, grpc.insecure_channel(address) as channel:
        assert {GONE: reason_of(channel, GONE, 1), WRONG: reason_of(channel, WRONG, 2)} == reasons


def test_a_log_of_events_that_was_changed_is_a_problem(broken: Path, tmp_path: Path) -> None:
    """A model whose events cannot be read is named, the others are checked, and the status is 1."""
    registry = tmp_path / "registry"
    for model in ("first", "second"):
        promote(model, export_regressor(registry, model, seed=1), registry=str(registry))
    event = next(path for path in (registry / "models" / "first" / "events").iterdir())
    event.write_text("{")
    status, report = checked(registry)
    assert status == 1
    assert [version["model"] for version in report["versions"]] == ["second"]
    assert "models/first/events" in report["problems"][0]


def test_an_empty_registry_is_well(tmp_path: Path) -> None:
    """A server would start and wait for the first version, so there is nothing wrong; the text says so."""
    done = run("check", "--registry", str(tmp_path))
    assert done.returncode == 0
    assert "Nothing is live" in done.stdout


def test_what_cannot_be_opened_or_used_is_a_sentence(tmp_path: Path) -> None:
    """No registry ends with 1; a wrong option, or none, with 2; each with a sentence and without a traceback."""
    missing = run("check", "--registry", str(tmp_path / "nowhere"))
    assert missing.returncode == 1
    assert "There is no registry at" in missing.stderr
    wrong = run("check", "--registry", str(tmp_path), "--providers", "AbacusExecutionProvider")
    assert wrong.returncode == 2
    assert "AbacusExecutionProvider: this onnxruntime has" in wrong.stderr
    assert "CPUExecutionProvider" in wrong.stderr
    none = run("check")
    assert none.returncode == 2
    assert "--registry" in none.stderr
    assert "Traceback" not in missing.stderr + wrong.stderr + none.stderr


@pytest.mark.parametrize("command", [(), ("serve",)])
def test_serving_needs_no_name(scene: Scene, command: tuple[str, ...]) -> None:
    """``sardonyx-server --registry …`` serves, and so does ``sardonyx-server serve --registry …``."""
    arguments = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    program = Program.start("sardonyx_server", *command, *arguments)
    program.wait_for(r"listening on (\S+:\d+)")
    assert program.stop() == 0


def test_the_help_shows_the_options_of_serving_and_the_commands() -> None:
    """Who asks for help sees how to serve and what else there is; a command's own help says what it does."""
    whole = run("--help").stdout
    assert "--poll-interval-s" in whole
    assert "SARDONYX_REGISTRY" in whole
    assert "\nCommands:\n" in whole
    assert "check" in whole.partition("\nCommands:\n")[2]
    own = run("check", "--help").stdout
    assert "--json" in own
    assert "--onnx-threads" in own
    assert "Exit codes" in own


def test_only_the_models_that_would_be_served_are_checked(scene: Scene) -> None:
    """--models is what a server would be told: others are not looked at, and one that there is not is a problem."""
    status, report = checked(scene.registry, "--models", REGRESSOR)
    assert (status, {each["model"] for each in report["versions"]}) == (0, {REGRESSOR})
    status, report = checked(scene.registry, "--models", f"{REGRESSOR},nosuch")
    assert status == 1
    assert any("nosuch" in problem for problem in report["problems"])


def test_a_manifest_that_lacks_a_part_is_a_row_of_the_report(tmp_path: Path) -> None:
    """A version that cannot be proven fails with a sentence, whatever is missing, and the others are checked."""
    registry = tmp_path / "registry"
    for model in (GOOD, WRONG):
        export_regressor(registry, model, seed=1)
        promote(model, 1, registry=str(registry))
    (path,) = (registry / "models" / WRONG / "versions").glob("*.json")
    manifest = json.loads(path.read_text())
    del manifest["golden"]["inputs"]
    path.write_text(json.dumps(manifest))
    status, report = checked(registry)
    assert status == 1
    assert {each["model"]: each["state"] for each in report["versions"]} == {GOOD: "ready", WRONG: "failed"}
    (reason,) = [each["reason"] for each in report["versions"] if each["model"] == WRONG]
    assert reason == ("It cannot be proven: its manifest holds no golden rows of 'features'. Export the version again.")


def test_a_version_whose_manifest_is_gone_is_said_to_be(tmp_path: Path) -> None:
    """The log leads to what is not there: the reason says so, and what to do."""
    registry = tmp_path / "registry"
    promote(GOOD, export_regressor(registry, GOOD, seed=1), registry=str(registry))
    (path,) = (registry / "models" / GOOD / "versions").glob("*.json")
    path.unlink()
    status, report = checked(registry)
    assert status == 1
    (version,) = report["versions"]
    assert version["reason"] == (
        "The registry leads to it and does not hold it. Restore models/good/versions from a backup, or promote another"
        " version."
    )


def test_a_registry_that_cannot_be_read_is_json_too(tmp_path: Path) -> None:
    """Whoever asked for JSON gets it, whatever is wrong, with what it is."""
    status, report = checked(tmp_path / "nowhere")
    assert (status, report["passed"], report["versions"]) == (1, False, [])
    assert "There is no registry at" in report["problems"][0]
    (tmp_path / "models").write_text("")
    status, report = checked(tmp_path)
    assert (status, report["passed"]) == (1, False)
    assert "models should be a folder" in report["problems"][0]


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir])
def test_an_event_that_is_no_file_is_a_problem(tmp_path: Path, put: Callable[[Path], None]) -> None:
    """The model that it belongs to is not passed over, as if nothing of it were live."""
    registry = tmp_path / "registry"
    promote(GOOD, export_regressor(registry, GOOD, seed=1), registry=str(registry))
    event = max((registry / "models" / GOOD / "events").iterdir())
    event.unlink()
    put(event)
    status, report = checked(registry)
    assert (status, report["passed"]) == (1, False)
    assert f"{event} should be a file, and is none" in report["problems"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("chek", "--registry", "registry"), "No such command 'chek'. Did you mean 'check'? There are serve, check,"),
        (("start",), "No such command 'start'. There are serve, check, health, token; without one, serve runs."),
        (("",), "No such command ''. There are"),
    ],
)
def test_an_unknown_command_is_told_which_there_are(words: tuple[str, ...], said: str) -> None:
    """Wrong usage, and not a word too many of a command that was never meant."""
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--batch-delay-ms", "nan"), "--batch-delay-ms"),
        (("--poll-interval-s", "nan"), "--poll-interval-s"),
        (("--slow-ms", "inf"), "--slow-ms"),
        (("--message-bytes-max", "99999999999999"), "--message-bytes-max"),
        (("--listen", "127.0.0.1:18303", "--metrics-port", "18303"), "both port 18303"),
    ],
)
def test_an_option_that_would_end_the_workers_is_refused(scene: Scene, options: tuple[str, ...], said: str) -> None:
    """What no worker could start with is a usage error of check and of serving, and nothing is started."""
    for command in (("check",), ()):
        done = run(*command, "--registry", str(scene.registry), *options)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("models", [",", " ", " , "])
def test_models_that_name_none_are_no_wish_for_all(models: str) -> None:
    """What is left of a list whose names were forgotten is wrong usage."""
    done = run("--registry", "registry", "--models", models)
    assert done.returncode == 2
    assert "names no model." in done.stderr


@pytest.mark.parametrize("command", ["check", "health", "token"])
def test_a_command_behind_options_is_told_where_it_goes(command: str) -> None:
    """Wrong usage, with what to do; any other word there is named as click names it."""
    done = run("--registry", "registry", command)
    assert done.returncode == 2
    assert f"Put '{command}' first: sardonyx-server {command} …" in done.stderr
    assert "unexpected extra argument (chek)" in run("--registry", "registry", "chek").stderr
