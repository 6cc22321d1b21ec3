"""The command line: what it prints, what it exits with, and what it says where something is wrong."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import joblib
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from sardonyx import __version__
from sardonyx.registry import Registry
from sardonyx_exporter import evaluation, export
from sardonyx_exporter.app import main

if TYPE_CHECKING:
    from click.testing import Result
    from sklearn.pipeline import Pipeline

Frame = tuple[pd.DataFrame, "pd.Series[bool]"]

pytestmark = pytest.mark.usefixtures("few_resamples")

#: Wide enough that no table is cut.
WIDE = {"COLUMNS": "240", "SARDONYX_REGISTRY": ""}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, pipeline: Pipeline, holdout: Frame) -> Path:
    """A folder with a model and its hold-out, as parquet and as CSV, and with files that are neither."""
    folder = tmp_path_factory.mktemp("files")
    joblib.dump(pipeline, folder / "pipeline.joblib")
    joblib.dump(clone(pipeline), folder / "unfitted.joblib")
    joblib.dump({"a": 1}, folder / "dict.joblib")
    frame = holdout[0].assign(late=holdout[1])
    frame.to_parquet(folder / "holdout.parquet")
    frame.to_csv(folder / "holdout.csv", index=False)
    frame.iloc[:0].to_parquet(folder / "empty.parquet")
    frame.drop(columns="hour").to_parquet(folder / "narrow.parquet")
    (folder / "holdout.json").write_text("[]")
    (folder / "empty.csv").write_text("")
    for name in ("garbage.joblib", "garbage.parquet"):
        (folder / name).write_bytes(b"\x00\xffno such thing")
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, pipeline: Pipeline, holdout: Frame) -> Path:
    """A registry with three versions of one model and nothing live."""
    folder = tmp_path_factory.mktemp("published") / "registry"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "RESAMPLES_MIN", 2)
        patch.setattr(evaluation, "RESAMPLES_MAX", 2)
        for author in ("ada", "bob", "eve"):
            export(pipeline, name="flight-delay", holdout=holdout, registry=str(folder), author=author)
    return folder


@pytest.fixture
def registry(tmp_path: Path, published: Path) -> str:
    """A registry of one's own with three versions of one model and nothing live."""
    folder = tmp_path / "registry"
    for file in published.rglob("*.json"):
        (folder / file.relative_to(published)).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.relative_to(published)).write_bytes(file.read_bytes())
    return str(folder)


def _run(*arguments: object) -> Result:
    return CliRunner(env=WIDE).invoke(main, [str(argument) for argument in arguments])


def _done(*arguments: object) -> str:
    result = _run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def _no_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")


def _json(*arguments: object) -> Any:
    """What a command prints with --json, read as strictly as any other language would."""
    return json.loads(_done(*arguments, "--json"), parse_constant=_no_constant)


def _refusal(*arguments: object, status: int = 1) -> str:
    """What a command says as it refuses: on standard error, without a traceback, with nothing on standard output."""
    result = _run(*arguments)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert (result.exit_code, result.stdout) == (status, "")
    return " ".join(result.stderr.split())


def _export(files: Path, registry: object, **options: object) -> list[object]:
    chosen = {"name": "flight-delay", "data": files / "holdout.parquet", "target": "late", **options}
    model = chosen.pop("model", files / "pipeline.joblib")
    return ["export", model, "--registry", registry, *(part for key in chosen for part in (f"--{key}", chosen[key]))]


# -------------------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("data", ["holdout.parquet", "holdout.csv"])
def test_export_publishes(files: Path, tmp_path: Path, data: str) -> None:
    """A model with its hold-out, as parquet or CSV, becomes version 1, and the figures are printed."""
    said = _done(*_export(files, tmp_path / "new", data=files / data, author="ada", description="late"))
    manifest = Registry(str(tmp_path / "new")).manifest("flight-delay", 1)

    assert said.startswith("flight-delay version 1 (interface v1, first)\n")
    assert "accuracy: 0." in said
    assert (manifest.author, manifest.description) == ("ada", "late")


def test_export_speaks_json(files: Path, tmp_path: Path) -> None:
    """With --json an export is one object with version, verdict and figures, and nothing else is printed."""
    data = _json(*_export(files, tmp_path / "new"))

    assert (data["model"], data["version"], data["interface_major"], data["verdict"]) == ("flight-delay", 1, 1, "first")
    assert set(data["metrics"]["accuracy"]) == {"value", "low", "high"}
    assert data["parity"]["holdout_rows"] == 120


def test_a_figure_that_is_no_number_is_json_all_the_same(
    files: Path, tmp_path: Path, pipeline: Pipeline, train: Frame
) -> None:
    """R² of one row is undefined: --json still prints what a strict parser reads."""
    model = make_pipeline(clone(pipeline[0]), LinearRegression()).fit(train[0], train[0]["distance"])
    joblib.dump(model, tmp_path / "regressor.joblib")
    train[0].iloc[:1].assign(late=0.5).to_parquet(tmp_path / "one.parquet")
    registry = tmp_path / "new"
    options = {"model": tmp_path / "regressor.joblib", "data": tmp_path / "one.parquet"}

    assert _json(*_export(files, registry, **options))["metrics"]["mae"]["value"] >= 0
    assert _json("list", "--registry", registry)[0]["version"] == 1
    assert _json("show", "flight-delay", "--registry", registry)["live"] is False
    assert "mae" in _done("show", "flight-delay", "--registry", registry)


def test_export_takes_the_registry_from_the_environment(files: Path, tmp_path: Path) -> None:
    """SARDONYX_REGISTRY stands for --registry."""
    arguments = [str(part) for part in _export(files, "")]
    position = arguments.index("--registry")
    del arguments[position : position + 2]
    result = CliRunner(env={**WIDE, "SARDONYX_REGISTRY": str(tmp_path / "new")}).invoke(main, arguments)

    assert result.exit_code == 0, result.output
    assert Registry(str(tmp_path / "new")).versions("flight-delay") == [1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "none.joblib"}, "none.joblib'. Give the path of a model written by joblib.dump()."),
        ({"model": "garbage.joblib"}, "cannot be loaded"),
        ({"model": "unfitted.joblib"}, "The model is not fitted. Call fit() first."),
        ({"model": "dict.joblib"}, "dict has no predict()"),
        ({"model": "."}, "Give the path of a model written by joblib.dump()."),
        ({"data": "none.parquet"}, "none.parquet'. Give the hold-out as .parquet or .csv."),
        ({"data": "holdout.json"}, "is neither .parquet nor .csv"),
        ({"data": "garbage.parquet"}, "cannot be read"),
        ({"data": "empty.csv"}, "cannot be read"),
        ({"data": "empty.parquet"}, "The hold-out has no rows"),
        ({"data": "narrow.parquet"}, "The hold-out lacks 'hour', which the model was fitted on. Add them."),
        ({"target": "delayed"}, "has no column 'delayed'. Its columns are distance, hour, carrier, late"),
        ({"name": "Flight Delay"}, "'Flight Delay' is no model name"),
        ({"model": "empty.csv"}, "empty.csv' cannot be loaded: EOFError. Write it with joblib.dump()"),
        ({"primary-metric": "auc"}, "There is no metric 'auc' for this model. Choose one of accuracy"),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_export_refuses_in_a_sentence(files: Path, tmp_path: Path, options: dict[str, str], said: str) -> None:
    """Whatever is wrong with model, hold-out or name is a sentence and exit 1, and nothing is published."""
    paths = {key: files / value if key in ("model", "data") else value for key, value in options.items()}

    assert said in _refusal(*_export(files, tmp_path / "new", **paths))
    assert not list((tmp_path / "new").rglob("*.json"))


# -------------------------------------------------------------------------------------------------------- list and show


def test_list_shows_every_version(registry: str) -> None:
    """Each version has a line with what is live, and the same as JSON."""
    _done("promote", "flight-delay", 2, "--registry", registry)
    lines = [line for line in _done("list", "--registry", registry).splitlines() if "flight-delay" in line]
    data = _json("list", "--registry", registry)

    assert len(lines) == 3
    assert ["live" in line for line in lines] == [False, True, False]
    assert [(each["version"], each["live"], each["default"]) for each in data] == [
        (1, False, False),
        (2, True, True),
        (3, False, False),
    ]
    assert [each["author"] for each in data] == ["ada", "bob", "eve"]
    assert all(each["primary_metric"] in each["metrics"] for each in data)


def _on_terminal(columns: int, *arguments: object) -> list[str]:
    """The lines that a command prints on a terminal of such a width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "sardonyx_exporter", *map(str, arguments)]
    terminal = {**environment, "TERM": "xterm"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=terminal) as process:
        os.close(theirs)
        said = b""
        # Linux ends a terminal that nobody writes to any more with an error.
        with contextlib.suppress(OSError):
            while more := os.read(ours, 4096):
                said += more
    os.close(ours)
    assert process.returncode == 0, said
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).splitlines()


def test_list_fits_the_terminal(registry: str) -> None:
    """A version is one line of 80 columns; where there is room, or nobody looks, it is all there is."""
    arguments = ("list", "--registry", registry)
    _done("promote", "flight-delay", 2, "--registry", registry)
    narrow, wide = (_on_terminal(columns, *arguments) for columns in (80, 200))
    piped = CliRunner(env={**WIDE, "COLUMNS": "80"}).invoke(main, list(map(str, arguments))).stdout.splitlines()

    assert max(map(len, narrow)) <= 80
    rows = [line for line in narrow if "flight-delay" in line]
    assert len(rows) == 3
    assert all("accuracy 0." in line and " v1 " in line for line in rows)
    assert "live, default" in rows[1]
    assert narrow[-1].strip() == "A wider terminal shows more of each, and --json all."
    for lines in (wide, piped):
        rows = [line for line in lines if "flight-delay" in line]
        assert [author in line for author, line in zip(("ada", "bob", "eve"), rows, strict=True)] == [True] * 3
        assert all("]" in line and ":" in line for line in rows)


def test_list_of_an_empty_registry_is_empty(tmp_path: Path) -> None:
    """Nothing published is nothing listed, and no error."""
    assert _json("list", "--registry", tmp_path) == []
    assert "Error" not in _done("list", "--registry", tmp_path)


def test_show_shows_the_latest_or_the_one_asked_for(registry: str) -> None:
    """Without a number the latest version is shown."""
    assert _done("show", "flight-delay", "--registry", registry).startswith("flight-delay version 3,")
    assert _json("show", "flight-delay", "--registry", registry)["manifest"]["version"] == 3
    assert _json("show", "flight-delay", 1, "--registry", registry)["manifest"]["author"] == "ada"


def test_show_tells_the_whole_version(registry: str) -> None:
    """Interface, figures, parity and events of a version are all there, for people and for scripts."""
    _done("promote", "flight-delay", 1, "--registry", registry, "--reason", "the better one")
    said = _done("show", "flight-delay", 1, "--registry", registry)
    data = _json("show", "flight-delay", 1, "--registry", registry)

    for word in ("distance", "FP64", "carrier", "BYTES", "roc_auc", "120 hold-out rows", "the better one", "approved"):
        assert word in said
    assert data["live"] is True
    assert [event["kind"] for event in data["events"]] == ["KIND_APPROVED", "KIND_LIVE"]
    assert len(data["manifest"]["interface"]["inputs"]) == 3


MARKUP = ["delay [min]", "[/]", "[bold]x[/bold]", "a [/red] b", "\\[x]"]


@pytest.mark.parametrize("text", MARKUP)
def test_text_is_printed_as_it_was_written(tmp_path: Path, pipeline: Pipeline, holdout: Frame, text: str) -> None:
    """Brackets in a description, an author, a reason or a column's name are text and no markup."""
    registry = str(tmp_path)
    names = {"distance": text}
    model = clone(pipeline)
    model[0].transformers = [
        (name, step, [names.get(c, c) for c in columns]) for name, step, columns in model[0].transformers
    ]
    rows = holdout[0].rename(columns=names)
    model.fit(rows, holdout[1])
    export(
        model,
        name="m",
        holdout=(rows, holdout[1]),
        registry=registry,
        description=text,
        author=text,
        training_data=text,
    )
    promoted = _done("promote", "m", 1, "--registry", registry, "--reason", text)
    shown = _done("show", "m", "--registry", registry)

    assert promoted.startswith("m: promoted version 1")
    # description, author, training data, input and the two events' reason
    assert shown.count(text) >= 6
    assert text in _done("list", "--registry", registry)


# ------------------------------------------------------------------------------------------------ promote and rollback


def test_promote_and_rollback_move_the_route(registry: str) -> None:
    """Versions go live and come back, and each act says what was before."""
    first = _done("promote", "flight-delay", 1, "--registry", registry)
    second = _json("promote", "flight-delay", 2, "--registry", registry)
    back = _done("rollback", "flight-delay", "--registry", registry)

    assert first == "flight-delay: promoted version 1, live for v1 now.\n"
    assert second == {
        "model": "flight-delay",
        "version": 2,
        "interface_major": 1,
        "previous": 1,
        "changed": True,
        "default_major": 1,
        "previous_default_major": 1,
    }
    assert back == "flight-delay: rolled back to version 1, live for v1 now, before it was 2.\n"
    assert Registry(registry).routes("flight-delay").live_versions == (1,)


def test_promoting_what_is_live_changes_nothing(registry: str) -> None:
    """The same promotion twice writes no second event, and says so."""
    _done("promote", "flight-delay", 1, "--registry", registry)
    events = len(Registry(registry).events("flight-delay"))
    again = _json("promote", "flight-delay", 1, "--registry", registry)

    assert (again["changed"], again["version"]) == (False, 1)
    assert "nothing changed" in _done("promote", "flight-delay", 1, "--registry", registry)
    assert len(Registry(registry).events("flight-delay")) == events


def test_rollback_goes_back_step_by_step(registry: str) -> None:
    """Two rollbacks go back two promotions; the third has nowhere to go and says so."""
    for version in (1, 2, 3):
        _done("promote", "flight-delay", version, "--registry", registry)
    versions = [_json("rollback", "flight-delay", "--registry", registry)["version"] for _ in range(2)]

    assert versions == [2, 1]
    assert "there is nothing to go back to" in _refusal("rollback", "flight-delay", "--registry", registry)


def test_rollback_of_what_was_never_live_is_refused(registry: str) -> None:
    """Where nothing was ever live there is nothing to go back to; no generation that does not exist is named."""
    said = _refusal("rollback", "flight-delay", "--registry", registry)

    assert "Promote a version." in said
    assert "v0" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["promote", "flight-delay", "9"], "There is no version '9' of model 'flight-delay' here."),
        (["promote", "flight-dealy", "1"], "Did you mean 'flight-delay'?"),
        (["promote", "Flight", "1"], "'Flight' is no model name"),
        (["rollback", "flight-dealy"], "Did you mean 'flight-delay'?"),
        (["rollback", "flight-delay", "--major", "7"], "there is nothing to go back to"),
        (["show", "flight-delay", "9"], "There is no version '9'"),
        (["show", "flight-delay", "99999999999999999999"], "There is no version"),
        (["show", "flight-dealy"], "Did you mean 'flight-delay'?"),
        (["show", "../../etc"], "is no model name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_exist_is_said(registry: str, arguments: list[str], said: str) -> None:
    """An unknown model, version or generation is a sentence and exit 1, and no event is written."""
    assert said in _refusal(*arguments, "--registry", registry)
    assert Registry(registry).events("flight-delay") == []


@pytest.mark.parametrize("command", [["list"], ["show", "m"], ["promote", "m", "1"], ["rollback", "m"]])
def test_a_registry_that_is_not_there_is_said_and_not_made(tmp_path: Path, command: list[str]) -> None:
    """Only export makes a registry: the others say that there is none."""
    assert "There is no registry at" in _refusal(*command, "--registry", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", [["list"], ["show", "m"], ["promote", "m", "1"], ["init", "--proto-prefix", "a"]])
def test_a_registry_that_is_no_directory_is_said(tmp_path: Path, command: list[str]) -> None:
    """A file, and a home that nobody has, are named as what they are."""
    (tmp_path / "file").write_text("")

    assert "file' is a file. Give a directory." in _refusal(*command, "--registry", tmp_path / "file")
    assert "the home of a user who is not" in _refusal(*command, "--registry", "~nobody-of-that-name/registry")


#: Root may read everything: it becomes a user who may not.
AS_NOBODY = """
import os
from sardonyx_exporter.app import main
if not os.getuid():
    os.setgroups([])
    os.setuid(65534)
main()
"""


def test_a_registry_that_may_not_be_read_is_said(registry: str) -> None:
    """Who has no rights there gets a sentence, whether the folder or only what is in it cannot be seen."""
    Path(registry).chmod(0)
    try:
        for folder in (registry, f"{registry}/models"):
            command = [sys.executable, "-c", AS_NOBODY, "list", "--registry", folder]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith(f"Error: Registry '{folder}': could not ")
            assert "Permission denied" in done.stderr
    finally:
        Path(registry).chmod(0o700)


@pytest.mark.parametrize("broken", [b"{", b"\xff\xfe"], ids=["cut", "no-utf8"])
def test_a_broken_registry_is_said(registry: str, broken: bytes) -> None:
    """A manifest that cannot be read is named in a sentence."""
    next(Path(registry).rglob("versions/00000002.json")).write_bytes(broken)

    for command in (["list"], ["show", "flight-delay", 2], ["promote", "flight-delay", 2]):
        assert "versions/00000002.json cannot be read" in _refusal(*command, "--registry", registry)


# --------------------------------------------------------------------------------------------------------------- usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["sell", "flight-delay"],
        ["list"],
        ["list", "--registry", ".", "--nonsense"],
        ["promote", "flight-delay", "--registry", "."],
        ["promote", "flight-delay", "0", "--registry", "."],
        ["promote", "flight-delay", "one", "--registry", "."],
        ["promote", "flight-delay", "nan", "--registry", "."],
        ["canary", "flight-delay", "2", "--percent", "10%", "--registry", "."],
        ["init", "--proto-prefix", "", "--registry", "."],
        ["stubs", "flight-delay", "-o", "", "--registry", "."],
        ["rollback", "--registry", "."],
        ["rollback", "flight-delay", "--major", "0", "--registry", "."],
        ["show", "flight-delay", "-1", "--registry", "."],
        ["export", "--name", "m", "--registry", "."],
        ["export", "m.joblib", "--name", "m", "--registry", "."],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    """An unknown flag or command, a missing argument or a number out of range is wrong usage, and says how it goes."""
    said = _refusal(*arguments, status=2)

    assert "Usage: " in said
    assert "--help" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["promote", "m", "nan"], "'nan' is no version. Give its number, such as 3."),
        (["show", "m", "1.5"], "'1.5' is no version. Give its number, such as 3."),
        (["canary", "m", "2", "--percent", "10%"], "'10%' is no number. Write it without a sign, such as 12.5."),
        (["canary", "m", "2", "--percent", "nan"], "'nan' is no number."),
        (["export", "m.joblib", "--name", "m", "--tolerance", "inf"], "'inf' is no number."),
        (["export", "m.joblib", "--name", "m", "--tolerance", "nan"], "'nan' is no number."),
        (["init", "--proto-prefix", ""], "A registry whose packages have no prefix needs no init."),
        (["stubs", "m", "-o", ""], "It is empty. Name a folder."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_told_how_it_goes(arguments: list[str], said: str) -> None:
    """What is wrong with a value is said in the words of the command, and not of a type."""
    assert said in _refusal(*arguments, "--registry", ".", status=2)


@pytest.mark.parametrize(
    "arguments",
    [
        [b"promote", b"m", b"1", b"--registry", b".", b"--reason", b"\xff\xfe"],
        [b"stubs", b"m", b"--server", b"127.0.0.1:1", b"-o", b"\xff"],
        [b"export", b"m.joblib", b"--name", b"m", b"--describe", b"hour=\xff", b"--registry", b"."],
    ],
    ids=lambda value: value[0].decode(),
)
def test_bytes_that_are_no_text_are_wrong_usage(arguments: list[bytes]) -> None:
    """A shell passes on any bytes: those that nobody could read later are refused with what they are."""
    command = [os.fsencode(sys.executable), b"-m", b"sardonyx_exporter", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stdout) == (2, "")
    assert "is no UTF-8 text. Write it as one." in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_version(tmp_path: Path) -> None:
    """Help has an example and the exit codes; the version is the package's."""
    said = _done("--help")

    assert "Example:" in said
    assert "Exit codes: 0 done" in said
    assert all(command in said for command in ("export", "list", "show", "promote", "rollback"))
    assert __version__ in _done("--version")


def test_the_program_itself(files: Path, tmp_path: Path) -> None:
    """As a process, an export that is piped prints one JSON object and nothing else, and a refusal has no traceback."""
    command = [sys.executable, "-m", "sardonyx_exporter"]
    arguments = [str(part) for part in _export(files, tmp_path / "new")]
    done = subprocess.run([*command, *arguments, "--json"], capture_output=True, text=True, timeout=120)
    refused = subprocess.run(
        [*command, "promote", "flight-delay", "2", "--registry", str(tmp_path / "new")],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 1
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: There is no version '2' of model 'flight-delay' here.")
    assert "Traceback" not in refused.stderr


# -------------------------------------------------------------------------------------------- what callers may rely on


def test_export_states_and_show_tells(files: Path, tmp_path: Path) -> None:
    """Units, ranges and descriptions given on the command line are shown; a verdict is shown with its reasons."""
    registry = tmp_path / "new"
    options = {"unit": "distance=mi", "range": "hour=0..23", "describe": "hour=local time, as planned"}
    _done(*_export(files, registry, **options))
    data = _json(*_export(files, registry, unit="distance=km"))
    shown = _done("show", "flight-delay", "--registry", registry)
    manifest = Registry(str(registry)).manifest("flight-delay", 1)

    assert manifest.interface.inputs[1].description == "local time, as planned"
    assert "0 … 23" in _done("show", "flight-delay", 1, "--registry", registry)
    assert (data["verdict"], data["interface_major"]) == ("breaking", 2)
    assert [(each["rule"], each["breaking"]) for each in data["reasons"]] == [
        ("INPUT_UNIT_CHANGED", True),
        ("RANGE_WIDENED", False),
    ]
    assert "breaking for those who call version 1" in shown
    assert "breaks: input 'distance' is in km and was in mi (INPUT_UNIT_CHANGED). The number that a call sends" in shown


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"range": "hour"}, 2, "'hour' says nothing of an input. Write INPUT=TEXT."),
        ({"range": "hour=5"}, 2, "'5' is no range. Write LOW..HIGH, such as 0..24 or 0.. ."),
        ({"range": "hour=a..b"}, 2, "'a..b' is no range."),
        ({"unit": "=mi"}, 2, "says nothing of an input"),
        ({"optional": "hour"}, 1, "Input 'hour' cannot be left out"),
        ({"unit": "hours=h"}, 1, "The model has no input 'hours', named in units. Did you mean 'hour'? The inputs are"),
        ({"optional": "zzz"}, 1, "The model has no input 'zzz', named in optional. The inputs are 'distance', 'hour'"),
        ({"range": "hour=nan..5"}, 1, "The range of input 'hour' goes from nan to 5"),
    ],
)
def test_a_statement_that_cannot_be_is_a_sentence(
    files: Path, tmp_path: Path, options: dict[str, str], status: int, said: str
) -> None:
    """Wrong usage exits 2 and a refusal 1, both with what to write instead, and nothing is published."""
    assert said in _refusal(*_export(files, tmp_path / "new", **options), status=status)
    assert not list((tmp_path / "new").rglob("*.json"))
