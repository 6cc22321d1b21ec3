"""Errors cross a real wire and come back as what they were."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from sardonyx import errors
from sardonyx.errors import Violation
from sardonyx.status import DETAILS_KEY, DOMAIN, from_rpc, retry_after_s, to_rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

METHOD = "/test.Errors/Fail"
CALL_TIMEOUT_S = 20
#: gRPC's default: beyond it a call fails by chance, and always beyond twice as much.
METADATA_SOFT_LIMIT = 8192

ERRORS: list[errors.SardonyxError] = [
    errors.InvalidInput([Violation("inputs[distance]", "expected FP64, got BYTES.")]),
    errors.InvalidInput([Violation("inputs[hour].shape", "expected [3], got [2]."), Violation("id", "is empty.")]),
    errors.InvalidInput([Violation("inputs[carrier]", "'ÅÄ – 😀' is no known category.\nSend one of 'AA'.", row=7)]),
    errors.NotFound("There is nothing here."),
    errors.ModelNotFound("flight-dealy", ["flight-delay", "tips"]),
    errors.ModelNotFound("nothing-like-it", ["flight-delay"]),
    errors.VersionNotFound("flight-delay", "7", ["1", "2", "v1"]),
    errors.VersionNotFound("flight-delay", "canary"),
    errors.RouteNotFound("flight-delay", "v2", ["v1"]),
    errors.RouteNotFound("flight-delay", "v2", ["v1", "canary", "3", "4"]),
    errors.RouteNotFound("flight-delay", ""),
    errors.InterfaceRetired("flight-delay", "v1", ["v2", "4"]),
    errors.InterfaceRetired("flight-delay", "v1"),
    errors.Unavailable("The registry cannot be reached. Try again.", 2.5),
    errors.VersionNotReady("flight-delay", 3, "LOADING", 0.25),
    errors.ServerDraining(1.5),
    errors.Overloaded("The queue of 'flight-delay' is full: 4096 rows wait. Try again.", 0.05),
    errors.DeadlineExceeded("The deadline passed while the request was waiting. Allow more time."),
    errors.Unauthenticated("No key was sent. Send one as metadata 'authorization'."),
    errors.PermissionDenied("The key 'replay' may not call 'flight-delay'. Ask its owner."),
    errors.RuleBroken("Version 4 is breaking for v1. Promote it as v2.", ["input 'hour' is gone", "the task changed"]),
    errors.RuleBroken("Not now."),
    errors.InternalError("4f1d0c2b"),
]

#: Raised where there is no wire: by the registry, and the bases that nobody raises.
LOCAL: set[type[errors.SardonyxError]] = {
    errors.SardonyxError,
    errors.AccessDenied,
    errors.RegistryError,
    errors.RegistryMissing,
    errors.RegistryCorrupt,
    errors.RegistryReplaced,
}


def _family(kind: type[errors.SardonyxError] = errors.SardonyxError) -> set[type[errors.SardonyxError]]:
    """The classes of the contract's own module; a part's own are not meant for the wire."""
    below = {each for child in kind.__subclasses__() for each in _family(child)}
    return {each for each in (kind, *below) if each.__module__ == errors.__name__}


@pytest.fixture(scope="module")
def fail() -> Iterator[Callable[[errors.SardonyxError], grpc.RpcError]]:
    """A server on loopback that aborts with an error, and its client: what gRPC raises for that error."""
    pending: list[errors.SardonyxError] = []

    def abort(_: bytes, context: grpc.ServicerContext) -> bytes:
        code, message, metadata = to_rpc(pending.pop())
        context.set_trailing_metadata(metadata)
        context.abort(code, message)

    server = grpc.server(ThreadPoolExecutor(1))
    handler: Any = grpc.unary_unary_rpc_method_handler(abort)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Errors", {"Fail": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(METHOD)

        def raised(error: errors.SardonyxError) -> grpc.RpcError:
            pending.append(error)
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=CALL_TIMEOUT_S)
            return caught.value

        yield raised
    server.stop(grace=None).wait()


def _received(rpc: Any) -> errors.SardonyxError:
    return from_rpc(rpc.code(), rpc.details(), rpc.trailing_metadata())


def _same(found: errors.SardonyxError, sent: errors.SardonyxError) -> None:
    assert type(found) is type(sent)
    assert found.message == sent.message
    assert vars(found) == vars(sent)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_it_was_sent(
    fail: Callable[[errors.SardonyxError], grpc.RpcError], error: errors.SardonyxError
) -> None:
    """Through a real server and client, an error keeps its class, its message and its attributes."""
    _same(_received(fail(error)), error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_may_be_copied_and_sent_to_another_process(error: errors.SardonyxError) -> None:
    """Its message is not made into another one, and it keeps what it knows."""
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        _same(twin, error)


def test_every_class_that_crosses_the_wire_is_tried() -> None:
    """The list above holds every class of the family but those that stay at home."""
    assert {type(error) for error in ERRORS} == _family() - LOCAL


@pytest.mark.parametrize("kind", sorted(LOCAL, key=str))
def test_an_error_that_stays_at_home_is_no_status(kind: type[errors.SardonyxError]) -> None:
    """What is no answer to a caller has no status: the server must say InternalError instead."""
    with pytest.raises(TypeError, match=f"{kind.__name__} does not cross the wire"):
        to_rpc(kind("secret"))


CODES = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.ModelNotFound: grpc.StatusCode.NOT_FOUND,
    errors.VersionNotFound: grpc.StatusCode.NOT_FOUND,
    errors.RouteNotFound: grpc.StatusCode.NOT_FOUND,
    errors.InterfaceRetired: grpc.StatusCode.NOT_FOUND,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.VersionNotReady: grpc.StatusCode.UNAVAILABLE,
    errors.ServerDraining: grpc.StatusCode.UNAVAILABLE,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.RuleBroken: grpc.StatusCode.FAILED_PRECONDITION,
    errors.InternalError: grpc.StatusCode.INTERNAL,
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_status_follows_the_design(
    fail: Callable[[errors.SardonyxError], grpc.RpcError], error: errors.SardonyxError
) -> None:
    """The code and the kinds of details are those of the design's table, for a client in any language."""
    rpc: Any = fail(error)
    packed = dict(rpc.trailing_metadata())[DETAILS_KEY]
    status = status_pb2.Status.FromString(packed)
    info = error_details_pb2.ErrorInfo()

    assert rpc.code() is CODES[type(error)]
    assert (status.code, status.message) == (rpc.code().value[0], rpc.details())
    assert status.details[0].Unpack(info)
    assert info.domain == "sardonyx"
    assert info.reason.replace("_", "").lower() == type(error).__name__.lower()
    rest = [detail.TypeName().removeprefix("google.rpc.") for detail in status.details[1:]]
    waits = isinstance(error, (errors.Unavailable, errors.Overloaded))
    assert rest == ["RetryInfo"] * waits + ["BadRequest"] * isinstance(error, errors.InvalidInput)


def test_an_internal_error_says_nothing_of_its_cause() -> None:
    """The text is fixed but for the id."""
    assert errors.InternalError("a1").message.replace("a1", "b2") == errors.InternalError("b2").message


LARGE: list[errors.SardonyxError] = [
    errors.InvalidInput([Violation(f"inputs[column {number}]", "missing. Send it as FP64.") for number in range(1000)]),
    errors.InvalidInput([Violation("inputs[carrier]", "x" * 50_000, row=3)]),
    errors.RuleBroken("Version 2 is breaking for v1.", [f"input 'column {number}' is gone" for number in range(1000)]),
    errors.ModelNotFound("m" * 50_000),
    errors.VersionNotFound("flight-delay", "7", [str(number) for number in range(5000)]),
]


@pytest.mark.parametrize("error", LARGE, ids=lambda error: type(error).__name__)
def test_an_error_with_much_to_say_keeps_its_class(
    fail: Callable[[errors.SardonyxError], grpc.RpcError], error: errors.SardonyxError
) -> None:
    """Metadata beyond gRPC's limits becomes another status: whatever a caller sent, an error stays below them."""
    status = to_rpc(error)

    assert len(status.message.encode()) + sum(len(value) for _, value in status.trailing_metadata) < METADATA_SOFT_LIMIT
    assert type(_received(fail(error))) is type(error)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.lists(TEXT, max_size=3)
#: RetryInfo counts nanoseconds, Python microseconds.
SECONDS = st.integers(0, 10**9).map(lambda microseconds: microseconds / 1e6)
VIOLATION = st.builds(Violation, TEXT.map(lambda name: f"inputs[{name}]"), TEXT, st.none() | st.integers(0, 10**6))
ANY_ERROR: st.SearchStrategy[errors.SardonyxError] = st.one_of(
    st.lists(VIOLATION, max_size=4).map(errors.InvalidInput),
    st.builds(errors.ModelNotFound, TEXT, NAMES),
    st.builds(errors.VersionNotFound, TEXT, TEXT, NAMES),
    st.builds(errors.RouteNotFound, TEXT, TEXT, NAMES),
    st.builds(errors.InterfaceRetired, TEXT, TEXT, NAMES),
    st.builds(errors.VersionNotReady, TEXT, st.integers(1), TEXT, SECONDS),
    st.builds(errors.ServerDraining, SECONDS),
    st.builds(errors.Overloaded, TEXT, SECONDS),
    st.builds(errors.RuleBroken, TEXT, NAMES),
    st.builds(errors.InternalError, TEXT),
)


@given(ANY_ERROR)
def test_any_text_crosses_the_wire(
    fail: Callable[[errors.SardonyxError], grpc.RpcError], error: errors.SardonyxError
) -> None:
    """Names and sentences of any characters come back as they were."""
    _same(_received(fail(error)), error)


# ------------------------------------------------------------------------------------------------------ other servers

FOREIGN = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidInput,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidInput,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.FAILED_PRECONDITION: errors.RuleBroken,
}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_status_of_another_server_is_an_error_of_the_family(code: grpc.StatusCode) -> None:
    """A bare status becomes the nearest error, with the other server's words."""
    error = from_rpc(code, "The other server's words.")

    assert type(error) is FOREIGN.get(code, errors.SardonyxError)
    assert error.message == "The other server's words."


def _trailer(*details: Any) -> list[tuple[str, bytes]]:
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="x")
    for detail in details:
        status.details.add().Pack(detail)
    return [(DETAILS_KEY, status.SerializeToString())]


def _unreadable(kind: str) -> list[tuple[str, bytes]]:
    """A detail that is not what it says."""
    status = status_pb2.Status()
    status.details.add(type_url=f"type.googleapis.com/google.rpc.{kind}", value=b"\xff")
    return [(DETAILS_KEY, status.SerializeToString())]


@pytest.mark.parametrize(
    "trailer",
    [
        [],
        [("other", "value")],
        [(DETAILS_KEY, b"\xff\xff no status")],
        [(DETAILS_KEY, "text")],
        _trailer(),
        _trailer(error_details_pb2.ErrorInfo(reason="MODEL_NOT_FOUND", domain="example.com")),
        _trailer(error_details_pb2.ErrorInfo(reason="NEXT_YEARS_ERROR", domain=DOMAIN)),
        _trailer(any_pb2.Any(type_url="type.googleapis.com/of.NextYear", value=b"\xff")),
        _unreadable("ErrorInfo"),
        _unreadable("BadRequest"),
        _unreadable("RetryInfo"),
        _trailer(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=10**15))),
        _trailer(error_details_pb2.BadRequest(field_violations=[{"field": "x#²"}, {"field": "x#" + 5000 * "9"}])),
    ],
    ids=[
        *("none", "other", "garbage", "text", "empty", "foreign-domain", "later-reason", "later-detail"),
        *("bad-info", "bad-request", "bad-retry", "endless-retry", "bad-rows"),
    ],
)
def test_details_that_say_nothing_leave_the_code(trailer: list[tuple[str, Any]]) -> None:
    """Without details that this release knows, the code decides, and nothing else is raised."""
    error = from_rpc(grpc.StatusCode.NOT_FOUND, "Gone.", trailer)

    assert (type(error), error.message) == (errors.NotFound, "Gone.")


@pytest.mark.parametrize("reason", ["MODEL_NOT_FOUND", "VERSION_NOT_FOUND", "VERSION_NOT_READY", "RULE_BROKEN"])
def test_a_reason_without_its_variables_is_still_an_error_of_the_family(reason: str) -> None:
    """Details that lack a variable, by a release that renamed it, are no KeyError in the caller's hands."""
    trailer = _trailer(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))

    assert from_rpc(grpc.StatusCode.NOT_FOUND, "Gone.", trailer).message == "Gone."


@pytest.mark.parametrize("nearest", ["5", "[[]]", "[7]", "null", "{}", "x", "[" * 5000])
def test_a_variable_that_is_written_otherwise_is_still_an_error_of_the_family(nearest: str) -> None:
    """Names that are no list of texts leave the code and the server's words."""
    variables = {"model": "m", "nearest": nearest}
    trailer = _trailer(error_details_pb2.ErrorInfo(reason="MODEL_NOT_FOUND", domain=DOMAIN, metadata=variables))

    error = from_rpc(grpc.StatusCode.NOT_FOUND, "Gone.", trailer)
    assert (type(error), error.message) == (errors.NotFound, "Gone.")


def test_the_wait_is_read_where_there_is_one() -> None:
    """RetryInfo says how long to wait, whatever it says; without it, or where it cannot be read, nothing does."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(250)

    assert retry_after_s(_trailer(info)) == 0.25
    assert retry_after_s(_trailer(error_details_pb2.RetryInfo(retry_delay={"seconds": 10**15}))) == 1e15
    assert retry_after_s(_unreadable("RetryInfo")) is None
    assert retry_after_s(_trailer()) is None
    assert retry_after_s([]) is None


def test_routes_and_versions_are_told_apart() -> None:
    """A refusal says of each name whether it is a route's or a version's number."""
    both = errors.RouteNotFound("flight-delay", "v2", ["v1", "v3", "canary", "4", "5"])
    assert both.message.endswith("no route 'v2'. Routes are 'v1', 'v3' or 'canary'; versions are '4' or '5'.")
    assert errors.RouteNotFound("flight-delay", "v2", ["v1"]).message.endswith("no route 'v2'. Routes are 'v1'.")
    assert errors.RouteNotFound("flight-delay", "v2").message.endswith("no route 'v2'. Promote a version first.")
