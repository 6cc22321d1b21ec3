"""Callers get what they compile: a .proto for any language, and a Python package whose types hold."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import pandas as pd
import pytest
from click.testing import CliRunner

from contract.drawn import AWKWARD
from sardonyx.errors import ModelNotFound, RouteNotFound, RuleBroken, SardonyxError
from sardonyx.interface import number_tensors
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx.typed import form_of, schema, text, typed_service
from sardonyx.typed.columns import read_columns
from sardonyx_exporter import evaluation, export, promote, write_stubs
from sardonyx_exporter.app import main
from sardonyx_exporter.stubs import python
from sardonyx_exporter.stubs.described import describe
from server.sink import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sklearn.pipeline import Pipeline

    from sardonyx.typed import TypedService

Frame = tuple[pd.DataFrame, "pd.Series[bool]"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, pipeline: Pipeline, holdout: Frame) -> str:
    """A registry with a prefix, with one version that is live."""
    folder = str(tmp_path_factory.mktemp("stubs") / "registry")
    assert _run("init", "--proto-prefix", "acme.models", "--registry", folder).exit_code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "RESAMPLES_MIN", 2)
        patch.setattr(evaluation, "RESAMPLES_MAX", 2)
        export(pipeline, name="flight-delay", holdout=holdout, registry=folder, units={"distance": "mi"})
        export(pipeline, name="json", holdout=holdout, registry=folder)
    promote("flight-delay", 1, registry=folder)
    return folder


def _run(*arguments: object) -> Any:
    return CliRunner(env={"SARDONYX_REGISTRY": ""}).invoke(main, [str(argument) for argument in arguments])


def test_the_proto_lies_in_the_folders_of_its_package(registry: str, tmp_path: Path) -> None:
    """It is the text of the interface, byte for byte, and nothing else is written."""
    result = write_stubs("flight-delay", registry=registry, folder=tmp_path, language="proto")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert result.files == ("acme/models/flight_delay/v1/flight_delay.proto",)
    assert files == [tmp_path / result.files[0]]
    assert files[0].read_text() == text(schema(form_of(Registry(registry).manifest("flight-delay", 1))))


def test_what_is_not_there_is_said(registry: str, tmp_path: Path) -> None:
    """An unknown model or generation is named, with what there is."""
    with pytest.raises(ModelNotFound, match="Did you mean 'flight-delay'"):
        write_stubs("flight-delays", registry=registry, folder=tmp_path)
    with pytest.raises(RouteNotFound, match=r"no route 'v7'\. Routes are 'v1'"):
        write_stubs("flight-delay", registry=registry, folder=tmp_path, major=7)


def test_a_package_that_python_could_not_import_is_refused(
    tmp_path: Path, pipeline: Pipeline, holdout: Frame, few_resamples: None
) -> None:
    """A model named like a module of Python needs a prefix; its .proto does not."""
    registry = str(tmp_path / "registry")
    export(pipeline, name="json", holdout=holdout, registry=registry)

    with pytest.raises(RuleBroken, match=r"a package named 'json' already.*init --proto-prefix"):
        write_stubs("json", registry=registry, folder=tmp_path / "stubs")
    assert write_stubs("json", registry=registry, folder=tmp_path, language="proto").files == ("json/v1/json.proto",)


def test_a_folder_has_one_package(registry: str, tmp_path: Path) -> None:
    """Written anew it is the same; another's is refused, and so is a project of the user's own: nothing is lost."""
    for _ in range(2):
        write_stubs("flight-delay", registry=registry, folder=tmp_path)
    before = (tmp_path / "pyproject.toml").read_text()
    with pytest.raises(RuleBroken, match=r"of 'acme-models-flight-delay-v1'\. Give 'acme-models-json-v1' a folder of"):
        write_stubs("json", registry=registry, folder=tmp_path)
    assert (tmp_path / "pyproject.toml").read_text() == before
    assert not (tmp_path / "acme/models/json").exists()
    for own in ("[tool.ruff]", "no TOML", "project = 1"):
        (tmp_path / "pyproject.toml").write_text(own)
        with pytest.raises(RuleBroken, match=r"has a pyproject\.toml already, of another project\."):
            write_stubs("flight-delay", registry=registry, folder=tmp_path)
        assert (tmp_path / "pyproject.toml").read_text() == own
    write_stubs("json", registry=registry, folder=tmp_path, language="proto")
    described = tmp_path / "described"
    described.mkdir()
    (described / "README.md").write_text("mine")
    with pytest.raises(RuleBroken, match=r"described' has a README\.md already\. Give 'acme-models-flight-delay-v1' a"):
        write_stubs("flight-delay", registry=registry, folder=described)
    assert [each.name for each in described.iterdir()] == ["README.md"]


def test_a_file_is_no_folder(registry: str, tmp_path: Path) -> None:
    """What is a file, or has one on its way, is said to be; a name within the folder that is taken is named."""
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RuleBroken, match="is a file, or leads through one"):
            write_stubs("flight-delay", registry=registry, folder=folder)
    (tmp_path / "acme").write_text("in the way")
    with pytest.raises(SardonyxError, match=r"/acme/?.*' cannot be written"):
        write_stubs("flight-delay", registry=registry, folder=tmp_path)


def test_the_command_line_says_what_it_wrote(registry: str, tmp_path: Path) -> None:
    """Both languages, for people and for scripts; what is wrong is a sentence and exit 1."""
    said = _run("stubs", "flight-delay", "--lang", "proto", "-o", tmp_path, "--registry", registry)
    data = json.loads(_run("stubs", "flight-delay", "-o", tmp_path, "--registry", registry, "--json").stdout)
    people = _run("stubs", "flight-delay", "-o", tmp_path, "--registry", registry).stdout
    refused = _run("stubs", "nothing", "-o", tmp_path, "--registry", registry)
    again = _run("init", "--proto-prefix", "other", "--registry", registry)
    wrong = _run("init", "--proto-prefix", "No", "--registry", tmp_path)

    assert said.stdout.startswith("acme.models.flight_delay.v1 of flight-delay version 1, for all versions of v1:")
    assert people.splitlines()[-1] == f"Install it: pip install {tmp_path}/"
    assert "pip install" not in said.stdout
    assert (data["version"], data["package"]) == (1, "acme.models.flight_delay.v1")
    assert all((tmp_path / file).is_file() for file in data["files"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "has settings already" in again.stderr
    assert "'No' is no package" in wrong.stderr
    for hidden in ("google", "json.models"):
        said = _run("init", "--proto-prefix", hidden, "--registry", tmp_path / "other")
        assert (said.exit_code, said.stdout) == (1, "")
        assert f"Choose another prefix, such as acme.{hidden}." in said.stderr
    assert not (tmp_path / "other").exists()


def test_a_generation_is_written_as_people_write_it(registry: str, tmp_path: Path) -> None:
    """v1 and 1 are the same generation; what is none is wrong usage."""
    options = ("--lang", "proto", "-o", tmp_path, "--registry", registry)
    for major in ("v1", "1"):
        assert _run("stubs", "flight-delay", "--major", major, *options, "--json").exit_code == 0
    for major in ("0", "v0", "one", "-1", "1.5", "v1 "):
        wrong = _run("stubs", "flight-delay", "--major", major, *options)
        assert (wrong.exit_code, wrong.stdout) == (2, "")
        assert f"'{major}' is no interface generation. Write v2, or 2." in wrong.stderr
    assert "no route 'v7'" in _run("stubs", "flight-delay", "--major", "v7", *options).stderr


def test_of_two_sources_none_is_chosen_in_silence(registry: str, tmp_path: Path) -> None:
    """A registry and a server are refused together; a registry in the environment gives way to a server."""
    nobody = f"127.0.0.1:{free_port()}"
    asked = ("stubs", "flight-delay", "-o", str(tmp_path), "--server", nobody)
    both = CliRunner(env={"SARDONYX_REGISTRY": ""}).invoke(main, [*asked, "--registry", registry])
    around = CliRunner(env={"SARDONYX_REGISTRY": registry}).invoke(main, list(asked))

    assert (both.exit_code, both.stdout) == (2, "")
    assert "--registry and --server are two sources. Give the one that is to be asked." in both.stderr
    assert around.exit_code == 1
    assert f"No server answers at {nobody}" in around.stderr


# ------------------------------------------------------------------------------------------------------- the package

PROGRAM = """
import asyncio, sys
from array import array

import numpy as np

from acme.models.flight_delay.v1 import (
    AsyncFlightDelayClient,
    CallFailed,
    FlightDelayClient,
    InvalidArgument,
    Label,
    Unavailable,
)

def one(address: str) -> float:
    with FlightDelayClient(address) as client:
        response = client.predict(distance=2.0, hour=7, carrier="UA", prediction_id="mine", timeout_s=30)
        assert response.prediction.label == Label.LABEL_TRUE
        assert response.prediction.label_value is True
        assert (response.prediction_id, response.model_version) == ("mine", 1)
        return response.prediction.probabilities.class_true

async def many(address: str) -> list[float]:
    async with AsyncFlightDelayClient(address) as client:
        one = await client.predict(distance=2.0, hour=7, carrier="UA", timeout_s=30)
        columns = [
            await client.predict_batch(distance=distance, hour=hour, carrier=["UA", "AA"], timeout_s=30)
            for distance, hour in (
                ([2.0, 3.0], [7, 8]),
                (np.array([2.0, 3.0]), np.array([7, 8])),
                (np.array([2.0, 3.0], np.float32), np.array([7, 8], np.int32)),
                (array("d", [2.0, 3.0]), (hour for hour in (7, 8))),
            )
        ]
        sums = [list(each.predictions.probabilities.class_true) for each in columns]
        assert all(each == sums[0] for each in sums), sums
        return [one.prediction.probabilities.class_true, *sums[0]]

def mistaken(address: str) -> None:
    good = {"distance": [2.0, 3.0], "hour": [7, 8], "carrier": ["UA", "AA"]}
    with FlightDelayClient(address) as client:
        for name, wrong in (("carrier", "UA"), ("carrier", ["UA", 5]), ("distance", [2.0, None]), ("hour", 7)):
            try:
                client.predict_batch(**{**good, name: wrong})  # type: ignore[arg-type]
            except TypeError as error:
                assert str(error).startswith(f"{name}: "), error
            else:
                raise AssertionError(name)
        for name, wrong in (("carrier", 5), ("distance", "far"), ("hour", 10**400), ("carrier", chr(0xD800))):
            try:
                client.predict(**{"distance": 2.0, "hour": 7, "carrier": "UA", name: wrong})  # type: ignore[arg-type]
            except TypeError as error:
                assert str(error).startswith(f"{name}: "), error
            else:
                raise AssertionError(name)

def refused(address: str) -> tuple[str, str | None]:
    with FlightDelayClient(address, caller="checkout") as client:
        try:
            client.predict_batch(distance=[2.0], hour=[7, 8], carrier=["UA", "AA"], timeout_s=30)
        except InvalidArgument as error:
            return error.violations[0].field, error.details()
        except Unavailable as error:
            return error.message, str(error.retry_after_s)
        except CallFailed as error:
            return error.message, error.code().name
    return "", None

mistaken(sys.argv[1])
assert refused(sys.argv[1]) == ("columns.distance", "columns.distance: 1 row, others have 2."), refused(sys.argv[1])
print(one(sys.argv[1]), *asyncio.run(many(sys.argv[1])))
"""
MISTAKES = """
from acme.models.flight_delay.v1 import FlightDelayClient

client = FlightDelayClient("localhost:1")
client.predict(distance=2.0, hour=7)
client.predict(distance="far", hour=7, carrier="UA")
client.predict(distance=2.0, hour=7, carrier="UA").prediction.lable
"""


class _Summing(grpc.GenericRpcHandler):
    """Answers by the sum of a row's numbers: what a client sent shows in what it gets."""

    def __init__(self, service: TypedService) -> None:
        self._service = service

    def service(self, details: Any) -> Any:
        typed = self._service
        handlers = {
            f"/{typed.name}/Predict": (self._one, typed.predict_request),
            f"/{typed.name}/PredictBatch": (self._many, typed.batch_request),
        }
        answer, request = handlers[details.method]
        serialize = type(answer(request(), None)).SerializeToString
        return grpc.unary_unary_rpc_method_handler(answer, request.FromString, serialize)

    def _one(self, request: Any, _: Any) -> Any:
        response = self._service.predict_response(prediction_id=request.prediction_id, model_version=1)
        response.prediction.label, response.prediction.label_value = 2, True
        response.prediction.probabilities.class_true = request.features.distance + request.features.hour
        return response

    def _many(self, request: Any, _: Any) -> Any:
        response = self._service.batch_response(model_version=1)
        columns = read_columns(request.columns, self._service.form.inputs)
        if columns:
            response.predictions.probabilities.class_true.extend(columns["distance"] + columns["hour"])
        return response


@pytest.fixture(scope="module")
def address(registry: str) -> Iterator[str]:
    """A server of the typed service."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([_Summing(typed_service(Registry(registry).manifest("flight-delay", 1)))])
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield f"localhost:{port}"
    server.stop(None).wait()


def test_the_package_installs_calls_and_is_typed(registry: str, tmp_path: Path, address: str) -> None:
    """A fresh environment installs it, its clients call a server, and mypy --strict knows right calls from wrong ones.

    Lists, arrays of the right type, arrays of another, and iterators send the same. What cannot be sent is named.
    """
    source, environment = tmp_path / "source", tmp_path / "environment"
    write_stubs("flight-delay", registry=registry, folder=source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, timeout=120)
    (wheel,) = tmp_path.glob("acme_models_flight_delay_v1-1.1-*.whl")
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    (site,) = environment.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet", str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    # What it depends on is at hand already.
    (site / "at-hand.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    ran = subprocess.run([python, "program.py", address], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ran.stdout.split() == ["9.0", "9.0", "9.0", "11.0"], ran.stderr
    check = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python)]
    package = site / "acme" / "models" / "flight_delay" / "v1"
    for target in ("program.py", "-p", "mistakes.py"):
        arguments = ["-p", "acme.models.flight_delay.v1"] if target == "-p" else [target]
        done = subprocess.run([*check, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        if target == "mistakes.py":
            assert 'Missing named argument "carrier"' in done.stdout
            assert 'Argument "distance" to "predict"' in done.stdout
            assert '"Prediction" has no attribute "lable"' in done.stdout
        else:
            assert done.returncode == 0, done.stdout
    assert (package / "py.typed").is_file()


def test_awkward_names_make_a_package_whose_types_hold(tmp_path: Path) -> None:
    """Whatever people called their inputs and classes, each is an argument, and mypy --strict has nothing to say."""
    names = list(dict.fromkeys(AWKWARD))
    manifest = Manifest(model="import--class", version=12, interface_major=3)
    for number, name in enumerate(names):
        manifest.interface.inputs.add(
            name=name,
            datatype=pb.Datatype.values()[1 + number % 6],
            width=3 * (number % 7 == 0),
            missing=pb.MissingPolicy.values()[1 + number % 2],
            description=f'{name} """ \\',
        )
    manifest.interface.outputs.add(name="label", kind=pb.OUTPUT_KIND_LABEL, datatype=pb.DATATYPE_BYTES, classes=names)
    manifest.ledger.CopyFrom(number_tensors(manifest.interface, pb.Ledger()))
    described = describe(schema(form_of(manifest)), manifest.model, manifest.interface_major)
    python.write(python.package(described, manifest), described.path, tmp_path)
    check = [sys.executable, "-m", "mypy", "--strict", "-p", "import_dash_class.v3"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    program = (
        "import inspect; from import_dash_class.v3 import ImportDashClassClient as C;"
        " print(len(inspect.signature(C.predict).parameters), len(inspect.signature(C.predict_batch).parameters))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    # Beside the inputs: self, the two ids and the time.
    assert ran.stdout.split() == [str(len(names) + 4)] * 2, ran.stderr
