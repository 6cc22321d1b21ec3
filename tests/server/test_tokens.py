"""Tokens of callers: who may call what, over real sockets; the file, and the command that writes it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from sardonyx import telemetry
from sardonyx.errors import PermissionDenied, Unauthenticated
from sardonyx.oip import messages as oip
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_server.access import access as access_module
from sardonyx_server.access.access import LOOK_INTERVAL_S, Access
from sardonyx_server.access.files import BYTES_MAX, AccessFileError
from sardonyx_server.access.tokens import Role, Token, digest_of, new_token, read_tokens
from server.scene import (
    ALONE,
    CLASSIFIER,
    PATIENCE_S,
    REGRESSOR,
    Failure,
    array_of,
    ask,
    classifier_request,
    failure_of,
    frame_of,
    get_model,
    get_server,
    infer,
    is_ready,
    regressor_request,
    wait_until,
)
from server.sink import Sink, attribute, running
from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from server.scene import Scene

ROWS = 2
#: One token for each kind of caller; made once, since they are random.
BOOKING, SCREENS, ADMIN, EXPIRED = (new_token() for _ in range(4))
ENTRIES = [
    Token("booking", digest_of(BOOKING), frozenset({Role.INFER}), frozenset({REGRESSOR})),
    Token("screens", digest_of(SCREENS), frozenset({Role.READ}), frozenset()),
    Token("admin", digest_of(ADMIN), frozenset(Role), frozenset({"*"})),
    Token("expired", digest_of(EXPIRED), frozenset(Role), frozenset({"*"}), datetime(2026, 1, 1, tzinfo=UTC)),
]


def write(path: Path, *tokens: Token) -> Path:
    """A token file."""
    path.write_text("\n".join(token.to_toml() for token in tokens))
    return path


@pytest.fixture(scope="module")
def guarded(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for tokens; its address."""
    path = write(tmp_path_factory.mktemp("tokens") / "tokens.toml", *ENTRIES)
    with serving_with(scene, path) as (_, address):
        with calling(address, ADMIN) as channel:
            wait_until(lambda: is_ready(channel), "the server is ready")
        yield address


@contextlib.contextmanager
def serving_with(scene: Scene, path: Path, *options: str) -> Iterator[tuple[Program, str]]:
    """A server of one worker with a token file; its program and address."""
    fixed = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    program = Program.start("sardonyx_server", *fixed, "--token-file", str(path), *options)
    try:
        yield program, program.wait_for(r"listening on (\S+:\d+)")[1]
    finally:
        assert program.stop() == 0, "".join(program.lines)


class _WithToken(
    grpc.UnaryUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds an authorization to every call."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(self._with(client_call_details), request)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return continuation(self._with(client_call_details), request_iterator)

    def _with(self, details: Any) -> Any:
        return details._replace(metadata=[("authorization", self._authorization)])


@contextlib.contextmanager
def calling(address: str, token: str, scheme: str = "Bearer") -> Iterator[grpc.Channel]:
    """A channel whose calls carry a token; none where it is empty."""
    with grpc.insecure_channel(address) as channel:
        yield grpc.intercept_channel(channel, _WithToken(f"{scheme} {token}")) if token else channel


def infer_regressor(channel: grpc.Channel) -> Any:
    """A prediction that the caller `booking` may make."""
    return infer(channel, regressor_request(array_of(seed=3, rows=ROWS)))


def infer_classifier(channel: grpc.Channel) -> Any:
    """A prediction that it may not."""
    return infer(channel, classifier_request(frame_of(seed=3, rows=ROWS)))


def metadata_of(model: str) -> Callable[[grpc.Channel], Any]:
    """ModelMetadata."""
    return lambda channel: ask(
        channel, "ModelMetadata", oip.ModelMetadataRequest(name=model), oip.ModelMetadataResponse
    )


def readiness_of(model: str) -> Callable[[grpc.Channel], Any]:
    """ModelReady."""
    return lambda channel: ask(channel, "ModelReady", oip.ModelReadyRequest(name=model), oip.ModelReadyResponse)


def server_metadata(channel: grpc.Channel) -> Any:
    """ServerMetadata."""
    return ask(channel, "ServerMetadata", oip.ServerMetadataRequest(), oip.ServerMetadataResponse)


def list_models(channel: grpc.Channel) -> Any:
    """ModelService.ListModels."""
    call = channel.unary_unary(
        "/sardonyx.serving.v1.ModelService/ListModels",
        request_serializer=serving.ListModelsRequest.SerializeToString,
        response_deserializer=serving.ListModelsResponse.FromString,
    )
    return call(serving.ListModelsRequest(), timeout=PATIENCE_S)


def reflect(channel: grpc.Channel) -> Any:
    """Server reflection."""
    return list(ProtoReflectionDescriptorDatabase(channel).get_services())


def check_health(channel: grpc.Channel) -> Any:
    """grpc.health.v1."""
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)


OPEN = {"health": check_health, "ready": is_ready}
#: By what they take.
BOOKINGS = {
    "infer": infer_regressor,
    "metadata": metadata_of(REGRESSOR),
    "readiness": readiness_of(REGRESSOR),
}
READS = {
    "server metadata": server_metadata,
    "list": list_models,
    "model": lambda channel: get_model(channel, CLASSIFIER),
    "server": get_server,
    "reflection": reflect,
    "metadata of any": metadata_of(CLASSIFIER),
    "readiness of any": readiness_of(CLASSIFIER),
}
INFERS = {"infer": infer_regressor, "infer another": infer_classifier}


def denied(call: Callable[[], Any]) -> Failure:
    """The status of a call that the caller may not make."""
    failure = failure_of(call)
    assert failure.code is grpc.StatusCode.PERMISSION_DENIED
    assert (failure.info.reason, failure.info.domain) == ("PERMISSION_DENIED", "sardonyx")
    return failure


def unknown(call: Callable[[], Any]) -> Failure:
    """The status of a call whose caller is not known."""
    failure = failure_of(call)
    assert failure.code is grpc.StatusCode.UNAUTHENTICATED
    assert (failure.info.reason, failure.info.domain) == ("UNAUTHENTICATED", "sardonyx")
    return failure


@pytest.mark.parametrize("name", OPEN)
def test_probes_need_no_token(guarded: str, name: str) -> None:
    """Health and the server's readiness answer everyone."""
    with calling(guarded, "") as channel:
        assert OPEN[name](channel)


@pytest.mark.parametrize("name", [*INFERS, *READS])
def test_nothing_else_answers_without_a_token(guarded: str, name: str) -> None:
    """Every other call without a token is UNAUTHENTICATED, and says how to send one."""
    with calling(guarded, "") as channel:
        assert "authorization: Bearer <token>" in unknown(lambda: {**READS, **INFERS}[name](channel)).message


@pytest.mark.parametrize("name", [*INFERS, *READS])
@pytest.mark.parametrize(
    "token",
    [new_token(), EXPIRED, "", BOOKING[:-1], BOOKING + "x", BOOKING.upper()],
    ids=["unknown", "expired", "empty", "shortened", "lengthened", "in capitals"],
)
def test_a_token_that_is_none(guarded: str, name: str, token: str) -> None:
    """Unknown, expired, empty, shortened, lengthened or changed in case: UNAUTHENTICATED, without the token's text."""
    with grpc.insecure_channel(guarded) as plain:
        channel = grpc.intercept_channel(plain, _WithToken(f"Bearer {token}"))
        failure = unknown(lambda: {**READS, **INFERS}[name](channel))
    assert not token or token not in failure.message


@pytest.mark.parametrize(
    "authorization",
    [BOOKING, f"Basic {BOOKING}", "Bearer", "bearer:", "x"],
    ids=["a token alone", "Basic", "Bearer alone", "a colon", "another word"],
)
def test_another_scheme_is_named(guarded: str, authorization: str) -> None:
    """What is no bearer token is UNAUTHENTICATED, and the message shows the form."""
    with grpc.insecure_channel(guarded) as plain:
        channel = grpc.intercept_channel(plain, _WithToken(authorization))
        assert "authorization: Bearer <token>" in unknown(lambda: infer_regressor(channel)).message


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("name", BOOKINGS)
def test_a_caller_reaches_its_own_model(guarded: str, name: str, scheme: str) -> None:
    """The role `infer` with a model: predictions, metadata and readiness of that model; the scheme in any case."""
    with calling(guarded, BOOKING, scheme) as channel:
        assert BOOKINGS[name](channel)


@pytest.mark.parametrize("name", READS)
def test_a_caller_reads_nothing_else(guarded: str, name: str) -> None:
    """The same caller may not read of other models, nor the lists, nor by reflection."""
    with calling(guarded, BOOKING) as channel:
        assert "'booking'" in denied(lambda: READS[name](channel)).message


def test_a_refusal_does_not_say_whether_there_is_such_a_model(guarded: str) -> None:
    """A model that the caller may not call and one that does not exist are refused in the same words."""
    with calling(guarded, BOOKING) as channel:
        there = denied(lambda: infer_classifier(channel)).message
        request = regressor_request(array_of(seed=3, rows=ROWS), model="no-such-model")
        assert denied(lambda: infer(channel, request)).message == there.replace(CLASSIFIER, "no-such-model")
        missing = denied(lambda: metadata_of("no-such-model")(channel)).message
        assert missing == denied(lambda: metadata_of(CLASSIFIER)(channel)).message.replace(CLASSIFIER, "no-such-model")


def test_refused_predictions_are_recorded(scene: Scene, tmp_path: Path) -> None:
    """Whoever is turned away at the gate or behind it, through tensors or named fields, is seen by the operator."""
    path, collector = write(tmp_path / "tokens.toml", *ENTRIES), Sink()
    typed = "/flight_delay.v1.FlightDelayService/Predict"
    with (
        running(collector) as endpoint,
        serving_with(scene, path, "--otlp-endpoint", f"http://{endpoint}") as (_, address),
    ):
        with calling(address, ADMIN) as channel:
            wait_until(lambda: is_ready(channel), "the server is ready")
        with calling(address, "") as channel:
            failure_of(lambda: infer_classifier(channel))
        with calling(address, BOOKING) as channel:
            failure_of(lambda: infer_classifier(channel))
            for method in (typed, "/no.such.Service/Predict", typed.replace("Predict", "AnyText")):
                call: Any = channel.unary_unary(method)
                denied(lambda call=call: call(b"", timeout=PATIENCE_S))  # type: ignore[misc]

        def seen() -> list[tuple[str, str, str]]:
            names = (telemetry.RPC_METHOD, telemetry.MODEL_NAME, telemetry.RPC_STATUS)
            return [
                cast("tuple[str, str, str]", tuple(attribute(span, name).string_value for name in names))
                for span in collector.spans
            ]

        wait_until(lambda: len(seen()) == 3, "three are recorded")
        assert sorted(seen()) == [
            (typed[1:], CLASSIFIER, "PERMISSION_DENIED"),
            (telemetry.SPAN_MODEL_INFER, "", "UNAUTHENTICATED"),
            (telemetry.SPAN_MODEL_INFER, CLASSIFIER, "PERMISSION_DENIED"),
        ]


def test_a_model_that_is_not_there_yet_names_no_others(scene: Scene, tmp_path: Path) -> None:
    """Who may call a model that does not exist learns that, and not which models there are."""
    token = new_token()
    entry = Token("early", digest_of(token), frozenset({Role.INFER}), frozenset({"arrivals"}))
    with serving_with(scene, write(tmp_path / "tokens.toml", *ENTRIES, entry)) as (_, address):
        with calling(address, ADMIN) as channel:
            wait_until(lambda: is_ready(channel), "the server is ready")
        with calling(address, token) as channel:
            request = regressor_request(array_of(seed=3, rows=ROWS), model="arrivals")
            failure = failure_of(lambda: infer(channel, request))
    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.message == "There is no model named 'arrivals' here. Ask the server's operator which there are."
    assert not any(name in str(failure.status) for name in (f"{REGRESSOR!r}", CLASSIFIER))


@pytest.mark.parametrize("name", READS)
def test_a_reader_reads_everything(guarded: str, name: str) -> None:
    """The role `read` reads of every model."""
    with calling(guarded, SCREENS) as channel:
        assert READS[name](channel)


@pytest.mark.parametrize("name", INFERS)
def test_a_reader_predicts_nothing(guarded: str, name: str) -> None:
    """The role `read` alone calls no model."""
    with calling(guarded, SCREENS) as channel:
        denied(lambda: INFERS[name](channel))


@pytest.mark.parametrize("name", [*READS, *INFERS])
def test_both_roles_and_all_models(guarded: str, name: str) -> None:
    """With both roles and `*` nothing is refused."""
    with calling(guarded, ADMIN) as channel:
        assert {**READS, **INFERS}[name](channel)


def test_two_authorizations_are_refused(guarded: str) -> None:
    """Which of two tokens counts is nobody's guess."""
    with grpc.insecure_channel(guarded) as channel:
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
            f"/{oip.SERVICE}/ServerMetadata", request_serializer=oip.ServerMetadataRequest.SerializeToString
        )
        metadata = (("authorization", f"Bearer {ADMIN}"), ("authorization", f"Bearer {BOOKING}"))
        assert "several" in unknown(lambda: call(oip.ServerMetadataRequest(), metadata=metadata)).message


def test_the_file_is_read_again(scene: Scene, tmp_path: Path) -> None:
    """A token that leaves the file is refused, one that enters it is let in; a broken file changes nothing."""
    path = write(tmp_path / "tokens.toml", ENTRIES[2])
    with serving_with(scene, path) as (program, address), calling(address, ADMIN) as old:
        assert server_metadata(old)
        path.write_text("[[token]\nname =")
        wait_until(lambda: bool(server_metadata(old)) and logged(program, "is no TOML"), "the reason is logged")
        newcomer = new_token()
        write(path, Token("newcomer", digest_of(newcomer), frozenset({Role.READ}), frozenset()))
        with calling(address, newcomer) as new:
            wait_until(lambda: answers(server_metadata, new), "the newcomer is let in")
        unknown(lambda: server_metadata(old))
        assert sum("is no TOML" in line for line in program.lines) == 1


def test_a_file_that_is_missing_twice_is_named_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that came back as it was had its end: when it is gone again, that is said again, and known tokens stay."""
    monkeypatch.setattr(access_module, "LOOK_INTERVAL_S", 0.0)
    path = write(tmp_path / "tokens.toml", ENTRIES[2])
    access = Access(str(path))
    for _ in range(2):
        path.rename(tmp_path / "elsewhere")
        for _ in range(3):
            assert access.identify([("authorization", f"Bearer {ADMIN}")]) == "admin"
        (tmp_path / "elsewhere").rename(path)
        assert access.identify([("authorization", f"Bearer {ADMIN}")]) == "admin"
    assert ["cannot be read" in record.getMessage() for record in caplog.records] == [True, True]


def test_tokens_in_the_clear_are_warned_of(scene: Scene, tmp_path: Path) -> None:
    """Tokens on an address that others reach, and no TLS: a warning at the start, and not on loopback."""
    path = write(tmp_path / "tokens.toml", *ENTRIES)
    with serving_with(scene, path) as (program, _):
        assert not logged(program, "in the clear")
    with serving_with(scene, path, "--listen", "0.0.0.0:0") as (program, _):
        assert logged(program, "in the clear")


def test_an_open_address_is_warned_of(scene: Scene, tmp_path: Path) -> None:
    """Neither TLS nor tokens on an address that others reach: a warning at the start, and not on loopback."""
    fixed = ("--registry", str(scene.registry), *ALONE)
    for options, warned in (
        (("--listen", "127.0.0.1:0"), False),
        (("--listen", "0.0.0.0:0"), True),
        (("--listen", "0.0.0.0:0", "--token-file", str(write(tmp_path / "tokens.toml", *ENTRIES))), False),
    ):
        program = Program.start("sardonyx_server", *fixed, *options)
        try:
            program.wait_for("listening on")
        finally:
            assert program.stop() == 0, "".join(program.lines)
        assert any("may call every model, in the clear" in line for line in program.lines) is warned


def test_reflection_can_be_turned_off(scene: Scene) -> None:
    """With --no-reflection the service is not there, and the others are."""
    fixed = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    program = Program.start("sardonyx_server", *fixed, "--no-reflection")
    try:
        with grpc.insecure_channel(program.wait_for(r"listening on (\S+:\d+)")[1]) as channel:
            assert failure_of(lambda: reflect(channel)).code is grpc.StatusCode.UNIMPLEMENTED
            assert server_metadata(channel)
    finally:
        assert program.stop() == 0


def test_the_command_makes_a_token_that_is_let_in(scene: Scene, tmp_path: Path) -> None:
    """`sardonyx-server token` prints a token once and adds its digest to a file, which only its owner may read."""
    path = tmp_path / "tokens.toml"
    first = run("token", "booking", "--model", REGRESSOR, "--token-file", str(path)).stdout.strip()
    second = run("token", "screens", "--role", "read", "--expires-days", "1", "--token-file", str(path)).stdout.strip()
    written = path.read_text()
    assert first not in written
    assert second not in written
    assert path.stat().st_mode & 0o077 == 0
    tokens = read_tokens(str(path))
    assert tokens[digest_of(first)] == Token(
        "booking", digest_of(first), frozenset({Role.INFER}), frozenset({REGRESSOR})
    )
    expires = tokens[digest_of(second)].expires
    assert expires is not None
    assert timedelta(hours=23) < expires - datetime.now(UTC) < timedelta(hours=25)


def test_the_command_prints_an_entry(tmp_path: Path) -> None:
    """Without a file the entry for one is printed below the token."""
    token, _, entry = run("token", "admin", "--role", "infer", "--role", "read", "--model", "*").stdout.partition(
        "\n\n"
    )
    path = tmp_path / "tokens.toml"
    path.write_text(entry)
    assert read_tokens(str(path))[digest_of(token)].roles == frozenset(Role)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("booking",), "needs models"),
        (("booking", "--model", "../etc/passwd"), "no model's name"),
        (('a"b', "--model", "*"), "no caller's name"),
        (("booking", "--model", "*", "--role", "root"), "root"),
    ],
)
def test_the_command_refuses_what_is_wrong(arguments: tuple[str, ...], reason: str) -> None:
    """A token that may infer and names no model, names that are none: wrong usage, in a sentence."""
    done = run("token", *arguments, status=2)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_adds_nothing_to_another_file(tmp_path: Path) -> None:
    """A file that holds no tokens is left as it is."""
    path = tmp_path / "pyproject.toml"
    path.write_text("[project]\n")
    assert "Remove what is none" in run("token", "a", "--model", "*", "--token-file", str(path), status=1).stderr
    assert path.read_text() == "[project]\n"


GOOD = f'[[token]]\nname = "a"\nsha256 = "{digest_of("a")}"\nroles = ["infer"]\nmodels = ["*"]\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("sha256", "sha265"), "'sha265' is no key"),
        (GOOD.replace('["infer"]', '["write"]'), "roles is ['write']"),
        (GOOD.replace('["infer"]', "[]"), "roles is []"),
        (GOOD.replace('["infer"]', '"infer"'), "roles is no list"),
        (GOOD.replace('["*"]', "[]"), "models is missing"),
        (GOOD.replace('["*"]', '["a/../b"]'), "no model's name"),
        (GOOD.replace('"a"\n', "7\n"), "name is missing"),
        (GOOD.replace(digest_of("a"), "abc"), "64 lower-case hexadecimal digits"),
        (GOOD + "expires = 2027-01-01\n", "expires is no time"),
        (GOOD + "expires = 2027-01-01T00:00:00\n", "expires is no time"),
        (GOOD + GOOD, "that of another entry"),
        ("token = 7", "something else"),
        ("[[tokens]]", "something else"),
        ("token = [7]", "no table"),
        ("\0", "no TOML"),
        ("[" * 5000, "no TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_reason(tmp_path: Path, text: str, reason: str) -> None:
    """Whatever is wrong in a token file is said with the file's name, and nothing of it counts."""
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(AccessFileError, match=re.escape(reason)) as caught:
        Access(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "too large", "a folder"])
def test_what_has_no_end_is_no_file(tmp_path: Path, kind: str) -> None:
    """Only a regular file of a sensible size is read: a pipe would keep the server waiting, a device has no end."""
    path = tmp_path / "tokens.toml"
    match kind:
        case "a pipe":
            os.mkfifo(path)
        case "a device":
            path.symlink_to("/dev/zero")
        case "too large":
            with path.open("wb") as file:
                file.truncate(BYTES_MAX + 1)
        case _:
            path.mkdir()
    reasons = {"too large": "has more than 16 MiB", "a folder": "cannot be read: Is a directory"}
    with pytest.raises(AccessFileError, match=reasons.get(kind, "is no regular file")) as caught:
        Access(str(path))
    assert str(path) in str(caught.value)


def test_an_empty_file_lets_nobody_in(tmp_path: Path) -> None:
    """Taking the last token out of the file shuts the last caller out."""
    access = Access(str(write(tmp_path / "tokens.toml")))
    with pytest.raises(Unauthenticated):
        access.check((("authorization", f"Bearer {ADMIN}"),), Role.READ, None)


def test_the_name_of_the_caller_is_told(tmp_path: Path) -> None:
    """What the walk of a prediction gets is the caller's name, or an error that has it."""
    access = Access(str(write(tmp_path / "tokens.toml", *ENTRIES)))
    metadata = (("user-agent", "x"), ("authorization", f"Bearer {BOOKING}"))
    assert access.check(metadata, Role.INFER, REGRESSOR) == "booking"
    with pytest.raises(PermissionDenied, match="'booking' may not call model"):
        access.check(metadata, Role.INFER, CLASSIFIER)
    assert LOOK_INTERVAL_S <= 1


def logged(program: Program, text: str) -> bool:
    """Whether a line of the log holds this."""
    return any(text in line for line in program.lines)


def answers(call: Callable[[grpc.Channel], Any], channel: grpc.Channel) -> bool:
    """Whether a call is answered now."""
    try:
        call(channel)
    except grpc.RpcError:
        return False
    return True


def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """The server's command line, to its end."""
    command = [sys.executable, "-m", "sardonyx_server", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == status, done.stderr
    return done
