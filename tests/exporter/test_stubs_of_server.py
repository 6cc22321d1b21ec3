"""Callers without a registry get what they compile from a running server, by reflection alone."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pandas as pd
import pytest
import trustme
from click.testing import CliRunner
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from sardonyx.errors import (
    InvalidInput,
    ModelNotFound,
    RouteNotFound,
    RuleBroken,
    SardonyxError,
    Unauthenticated,
    Unavailable,
)
from sardonyx.interface import number_tensors
from sardonyx.registry import Registry
from sardonyx.registry.v1.interface_pb2 import DATATYPE_FP64
from sardonyx.typed import text, typed_service
from sardonyx_exporter import evaluation, export, promote, write_stubs, write_stubs_of_server
from sardonyx_exporter.app import main
from server.scene import ALONE, wait_until
from server.test_tls import pair_of, root_of
from server.test_tokens import ADMIN, ENTRIES, write
from support.programs import Program, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sklearn.pipeline import Pipeline

Frame = tuple[pd.DataFrame, "pd.Series[bool]"]
NAME = "flight-delay"
#: A name that no machine has (RFC 2606).
ELSEWHERE = "server.invalid:8001"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, pipeline: Pipeline, holdout: Frame) -> Path:
    """A registry with a prefix; two models, of which one has two generations that are live."""
    folder = tmp_path_factory.mktemp("stubs") / "registry"
    init = ["init", "--proto-prefix", "acme.models", "--registry", str(folder)]
    assert CliRunner().invoke(main, init).exit_code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "RESAMPLES_MIN", 2)
        patch.setattr(evaluation, "RESAMPLES_MAX", 2)
        for name in (NAME, "two", "json"):
            stated: dict[str, Any] = {
                "units": {"distance": "mi"},
                "descriptions": {"hour": 'Of departure: "scheduled" | """ \\'},
            }
            export(pipeline, name=name, holdout=holdout, registry=str(folder), **stated)
            promote(name, 1, registry=str(folder))
        export(pipeline, name="two", holdout=holdout, registry=str(folder), units={"distance": "km"})
    promote("two", 2, registry=str(folder))
    return folder


@pytest.fixture(scope="module")
def address(registry: Path) -> Iterator[str]:
    """A sardonyx-server that answers all of them."""
    with running_server(registry, *ALONE) as address:
        wait_until(lambda: "two" in _names(address), "all are listed")
        yield address


def _names(address: str) -> str:
    with pytest.raises(ModelNotFound) as refused:
        write_stubs_of_server("nothing-of-that-kind", server=address, folder="never")
    return refused.value.message


def _files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [NAME, "two"])
@pytest.mark.parametrize("language", ["proto", "python"])
def test_they_are_the_registrys(registry: Path, address: str, tmp_path: Path, name: str, language: str) -> None:
    """A sardonyx-server sends its comments: every file is the same, byte for byte.

    But for what a server does not say: the version, and what was seen on the hold-out.
    """
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    write_stubs(name, registry=str(registry), folder=ours, language=language, major=1)
    result = write_stubs_of_server(name, server=address, folder=theirs, language=language, major=1)
    expected, found = _files(ours), _files(theirs)

    assert (result.version, result.interface_major, set(result.files)) == (None, 1, set(expected))
    assert found.keys() == expected.keys()
    told = {file for file in found if found[file] != expected[file]}
    assert told == ({"README.md", "pyproject.toml"} if language == "python" else set())
    if told:
        assert expected["pyproject.toml"].replace('version = "1.1"', 'version = "1.0"') == found["pyproject.toml"]
        lines = [line.partition(" Seen on the hold-out")[0] for line in expected["README.md"].splitlines()]
        assert [line.removesuffix(" |") for line in found["README.md"].splitlines()] == [
            line.removesuffix(" |") for line in lines
        ]


PROGRAM = """
import json, sys

from acme.models.flight_delay.v1 import FlightDelayClient

rows = json.load(sys.stdin)
with FlightDelayClient(sys.argv[1]) as client:
    ones = [client.predict(**row, timeout_s=30).prediction.probabilities.class_true for row in rows]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    many = client.predict_batch(**columns, timeout_s=30).predictions
print(json.dumps([ones, list(many.probabilities.class_true), list(many.label_value)]))
"""


def test_the_package_calls_the_server_that_it_came_from(
    address: str, tmp_path: Path, pipeline: Pipeline, holdout: Frame
) -> None:
    """Its client is answered as the source model answers, by row and in columns, for a text never seen too."""
    write_stubs_of_server(NAME, server=address, folder=tmp_path)
    frame = holdout[0].head(20).copy()
    frame.loc[frame.index[:3], "carrier"] = "never seen"
    rows = frame.to_json(orient="records", double_precision=15)
    command = [sys.executable, "-c", PROGRAM, address]
    ran = subprocess.run(command, input=rows, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    ones, many, labels = json.loads(ran.stdout)

    np.testing.assert_allclose(ones, pipeline.predict_proba(frame)[:, 1], atol=1e-6)
    np.testing.assert_allclose(many, ones, atol=1e-6)
    assert labels == pipeline.predict(frame).tolist()


def test_of_several_generations_one_is_named(address: str, tmp_path: Path) -> None:
    """Reflection does not say which one is the default: nobody guesses."""
    with pytest.raises(InvalidInput, match=r"has v1, v2 of 'two'\. Say which one, such as --major 2"):
        write_stubs_of_server("two", server=address, folder=tmp_path)
    result = write_stubs_of_server("two", server=address, folder=tmp_path, language="proto", major=2)
    assert result.files == ("acme/models/two/v2/two.proto",)
    assert "in km." in (tmp_path / result.files[0]).read_text()


def test_what_is_not_there_is_said(address: str, tmp_path: Path) -> None:
    """An unknown model or generation is named, with the nearest ones; services of other kinds are no models."""
    with pytest.raises(ModelNotFound, match="Did you mean 'flight-delay'"):
        write_stubs_of_server("flight-delays", server=address, folder=tmp_path)
    with pytest.raises(ModelNotFound, match=r"There is 'flight-delay', 'json' or 'two'\."):
        write_stubs_of_server("serving", server=address, folder=tmp_path)
    with pytest.raises(RouteNotFound, match=r"no route 'v7'\. Routes are 'v1'"):
        write_stubs_of_server(NAME, server=address, folder=tmp_path, major=7)
    with pytest.raises(InvalidInput, match="no model name"):
        write_stubs_of_server("../etc", server=address, folder=tmp_path)
    assert _files(tmp_path) == {}


def test_the_command_line(address: str, tmp_path: Path) -> None:
    """It says what it wrote; what is wrong is a sentence and exit 1, and without a source it is wrong usage."""
    run = CliRunner(env={"SARDONYX_REGISTRY": "", "SARDONYX_TOKEN": ""}).invoke
    said = run(main, ["stubs", NAME, "--lang", "proto", "-o", str(tmp_path), "--server", address])
    refused = run(main, ["stubs", "flight-delai", "-o", str(tmp_path), "--server", address])
    neither = run(main, ["stubs", NAME, "-o", str(tmp_path)])

    assert said.stdout.startswith("acme.models.flight_delay.v1 of flight-delay, for all versions of v1:"), said.stderr
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "Did you mean 'flight-delay'" in refused.stderr
    assert (neither.exit_code, "--registry or --server" in neither.stderr) == (2, True)


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With its address, and at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(Unavailable, match=f"No server answers at {address}: "):
            write_stubs_of_server(NAME, server=address, folder=tmp_path)


@pytest.mark.parametrize("server", ["", "somewhere", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:8001", ":8001"])
def test_what_is_no_address_is_said(tmp_path: Path, server: str) -> None:
    """Before gRPC takes it for another port or looks for a machine of that name."""
    with pytest.raises(InvalidInput, match="is no address") as refused:
        write_stubs_of_server(NAME, server=server, folder=tmp_path)
    assert refused.value.message == f"server: {server!r} is no address. Write host:port, such as 127.0.0.1:8001."


def test_reflection_that_is_off_is_said(registry: Path, tmp_path: Path) -> None:
    """With what to do instead."""
    with (
        running_server(registry, *ALONE, "--no-reflection") as address,
        pytest.raises(SardonyxError, match=r"has no server reflection\. Ask the registry instead, with --registry"),
    ):
        write_stubs_of_server(NAME, server=address, folder=tmp_path)


def test_a_server_that_asks_who_calls(registry: Path, tmp_path: Path) -> None:
    """Takes the token in SARDONYX_TOKEN, and refuses without."""
    tokens = tmp_path / "tokens.toml"
    write(tokens, *ENTRIES)
    arguments = ["stubs", NAME, "--lang", "proto", "-o", str(tmp_path / "stubs"), "--server"]
    with running_server(registry, *ALONE, "--token-file", str(tokens)) as address:
        with pytest.raises(Unauthenticated):
            write_stubs_of_server(NAME, server=address, folder=tmp_path / "stubs")
        wait_until(
            lambda: CliRunner(env={"SARDONYX_TOKEN": ADMIN}).invoke(main, [*arguments, address]).exit_code == 0,
            "the model is listed",
        )
    assert (tmp_path / "stubs" / "acme/models/flight_delay/v1/flight_delay.proto").is_file()


@contextlib.contextmanager
def _serving_tls(registry: Path, *options: str) -> Iterator[str]:
    program = Program.start("sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", *ALONE, *options)
    try:
        yield program.wait_for(r"listening on (\S+:\d+)")[1]
    finally:
        assert program.stop() == 0


def test_a_server_that_speaks_tls(registry: Path, tmp_path: Path) -> None:
    """Is asked by TLS where its authority is named."""
    authority = trustme.CA()
    pair = pair_of(tmp_path, authority.issue_cert("127.0.0.1"))
    root = tmp_path / "root.pem"
    root.write_bytes(root_of(authority))
    with _serving_tls(registry, *pair.options) as address:
        output = ["--lang", "proto", "-o", str(tmp_path / "stubs")]
        ask = ["stubs", NAME, *output, "--server", address, "--tls-ca", str(root)]
        wait_until(lambda: CliRunner().invoke(main, ask).exit_code == 0, "the model is listed")
        with pytest.raises(Unavailable, match=f"No server answers at {address}"):
            write_stubs_of_server(NAME, server=address, folder=tmp_path)
    assert (tmp_path / "stubs" / "acme/models/flight_delay/v1/flight_delay.proto").is_file()


def test_a_server_that_asks_for_a_certificate(registry: Path, tmp_path: Path) -> None:
    """Is shown the caller's own, of the authority that it trusts; to others it does not answer."""
    authority, clients = trustme.CA(), trustme.CA()
    server = pair_of(tmp_path, authority.issue_cert("127.0.0.1"))
    (tmp_path / "mine").mkdir()
    mine = pair_of(tmp_path / "mine", clients.issue_cert("caller.example"))
    (tmp_path / "strange").mkdir()
    strange = pair_of(tmp_path / "strange", trustme.CA().issue_cert("caller.example"))
    root, roots = tmp_path / "root.pem", tmp_path / "clients.pem"
    root.write_bytes(root_of(authority))
    roots.write_bytes(root_of(clients))
    with _serving_tls(registry, *server.options, "--tls-client-ca", str(roots)) as address:
        ask = ["stubs", NAME, "--lang", "proto", "-o", str(tmp_path / "stubs"), "--server", address]
        trusting = [*ask, "--tls-ca", str(root)]
        wait_until(lambda: CliRunner().invoke(main, [*trusting, *mine.options]).exit_code == 0, "the model is listed")
        for refused in (trusting, [*trusting, *strange.options], [*ask, "--tls", *mine.options]):
            said = CliRunner().invoke(main, refused)
            assert (said.exit_code, f"No server answers at {address}" in said.stderr) == (1, True), said.output
    assert (tmp_path / "stubs" / "acme/models/flight_delay/v1/flight_delay.proto").is_file()


def test_security_that_cannot_be_is_said(registry: Path, tmp_path: Path) -> None:
    """Half a pair, no PEM, options of a server where there is none, and a token that anybody on its way could read."""
    run = CliRunner(env={"SARDONYX_REGISTRY": "", "SARDONYX_TOKEN": ADMIN}).invoke
    ask = ["stubs", NAME, "-o", str(tmp_path), "--server"]
    half = run(main, [*ask, "127.0.0.1:1", "--tls-cert", "cert.pem"])
    nowhere = run(main, ["stubs", NAME, "-o", str(tmp_path), "--registry", str(registry), "--tls"])
    # What gRPC takes for several places, or for a port that is not said, is nobody's own machine.
    exposed = [run(main, [*ask, place]) for place in (ELSEWHERE, "ipv4:127.0.0.1:1,127.0.0.1:2", "dns:localhost")]
    allowed = run(main, [*ask, ELSEWHERE, "--allow-insecure-token"])

    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    garbled = [
        run(main, [*ask, "127.0.0.1:1", *given])
        for given in (["--tls-ca", str(text)], ["--tls-cert", str(text), "--tls-key", str(text)])
    ]

    for each in garbled:
        assert (each.exit_code, "text.pem' is no PEM: it has no line of -----BEGIN." in each.stderr) == (1, True)
    assert (half.exit_code, "belong together. Give both" in half.stderr) == (1, True), half.output
    assert (nowhere.exit_code, "--tls is of a server. Give --server too" in nowhere.stderr) == (2, True)
    for each in exposed:
        assert (each.exit_code, "it would travel unencrypted" in each.stderr) == (1, True), each.exception
    assert (allowed.exit_code, f"No server answers at {ELSEWHERE}" in allowed.stderr) == (1, True), allowed.output


# ------------------------------------------------------------------------------------------- servers of other libraries


@contextlib.contextmanager
def _serving(add: Any) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_an_older_reflection_without_comments_does(registry: Path, tmp_path: Path) -> None:
    """grpcio-reflection has v1alpha alone and forgets comments: the schema is the same, and the package's types hold.

    What is required is in the comments: without them every argument may be left out, and the server says what it lacks.
    """
    typed = typed_service(Registry(str(registry)).manifest(NAME, 1))
    write_stubs(NAME, registry=str(registry), folder=tmp_path / "ours", language="proto")
    names = [typed.name, reflection.SERVICE_NAME]
    with _serving(lambda server: reflection.enable_server_reflection(names, server, typed.pool)) as address:
        result = write_stubs_of_server(NAME, server=address, folder=tmp_path / "theirs")
    (path,) = (each for each in result.files if each.endswith(".proto"))
    ours, theirs = ((tmp_path / each / path).read_text().splitlines() for each in ("ours", "theirs"))
    check = [sys.executable, "-m", "mypy", "--strict", "-p", "acme.models.flight_delay.v1"]
    done = subprocess.run(check, cwd=tmp_path / "theirs", capture_output=True, text=True, timeout=120)

    assert theirs == [line for line in ours if not line.strip().startswith("//")]
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "distance: float | None = None," in (tmp_path / "theirs/acme/models/flight_delay/v1/client.py").read_text()


class _Liar(reflection_pb2_grpc.ServerReflectionServicer):  # type: ignore[misc]  # has no types
    """Lists one service, and says what it likes of it."""

    def __init__(self, service: str, file: FileDescriptorProto) -> None:
        self._service = service
        self._file = file

    def ServerReflectionInfo(self, requests: Any, _: Any) -> Iterator[reflection_pb2.ServerReflectionResponse]:  # noqa: N802 - gRPC's name
        for request in requests:
            response = reflection_pb2.ServerReflectionResponse()
            if request.HasField("list_services"):
                response.list_services_response.service.add(name=self._service)
            else:
                response.file_descriptor_response.file_descriptor_proto.append(self._file.SerializeToString())
            yield response


def test_thousands_of_inputs_with_long_descriptions_are_read(registry: Path, tmp_path: Path) -> None:
    """A descriptor may be larger than gRPC's 4 MiB; it comes whole."""
    manifest = Registry(str(registry)).manifest(NAME, 1)
    manifest.interface.ClearField("inputs")
    for number in range(3000):
        manifest.interface.inputs.add(name=f"column {number}", datatype=DATATYPE_FP64, description="long " * 400)
    manifest.ledger.CopyFrom(number_tensors(manifest.interface, manifest.ledger))
    typed = typed_service(manifest)
    wide = _Liar(typed.name, typed.file)
    with _serving(lambda server: reflection_pb2_grpc.add_ServerReflectionServicer_to_server(wide, server)) as address:
        write_stubs_of_server(NAME, server=address, folder=tmp_path, language="proto")

    assert typed.file.ByteSize() > 4 * 2**20
    assert list(_files(tmp_path).values()) == [text(typed.file)]


def _elsewhere(file: FileDescriptorProto) -> None:
    file.name = "../../outside.proto"


def _package(file: FileDescriptorProto) -> None:
    file.package = f"..{file.package}"


def _code(file: FileDescriptorProto) -> None:
    field = next(each for each in file.message_type if each.name == "Features").field[0]
    field.name = "x: int = __import__('os').getpid()"


def _bytes(file: FileDescriptorProto) -> None:
    next(each for each in file.message_type if each.name == "Features").field[0].type = FieldDescriptorProto.TYPE_BYTES


def _other(file: FileDescriptorProto) -> None:
    next(each for each in file.message_type if each.name == "Columns").name = "Rows"
    for message in file.message_type:
        for field in message.field:
            field.type_name = field.type_name.replace(".Columns", ".Rows")


@pytest.mark.parametrize("lie", [_elsewhere, _package, _code, _bytes, _other])
def test_a_server_writes_no_files_and_no_code_of_its_own(registry: Path, tmp_path: Path, lie: Any) -> None:
    """What sardonyx would not have written is refused before anything is: files and code follow from those names."""
    file = FileDescriptorProto()
    file.CopyFrom(typed_service(Registry(str(registry)).manifest(NAME, 1)).file)
    lie(file)
    liar = _Liar(f"{file.package}.FlightDelayService", file)
    with (
        _serving(lambda server: reflection_pb2_grpc.add_ServerReflectionServicer_to_server(liar, server)) as address,
        pytest.raises(SardonyxError),
    ):
        write_stubs_of_server(NAME, server=address, folder=tmp_path)
    assert _files(tmp_path) == {}


def test_a_package_that_python_could_not_import_is_refused(tmp_path: Path, pipeline: Pipeline, holdout: Frame) -> None:
    """As it is from a registry."""
    registry = tmp_path / "registry"
    export(pipeline, name="json", holdout=holdout, registry=str(registry))
    typed = typed_service(Registry(str(registry)).manifest("json", 1))
    names = [typed.name, reflection.SERVICE_NAME]
    with (
        _serving(lambda server: reflection.enable_server_reflection(names, server, typed.pool)) as address,
        pytest.raises(RuleBroken, match="a package named 'json' already"),
    ):
        write_stubs_of_server("json", server=address, folder=tmp_path / "stubs")
