"""The client in a generated package: what it takes, what it refuses before anything is sent, and what it raises."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import importlib
import math
import pickle
import socket
import sys
import threading
from array import array
from concurrent import futures
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
import pandas as pd
import pytest
import trustme
from google.protobuf import wrappers_pb2
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st
from sklearn.naive_bayes import GaussianNB

from sardonyx import errors, status
from sardonyx.interface import number_tensors
from sardonyx.protobuf import varint
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx.typed import form_of, schema
from sardonyx_exporter import export, promote, write_stubs
from sardonyx_exporter.stubs import python
from sardonyx_exporter.stubs.alone.errors import CallFailed, InvalidArgument, Violation, explained
from sardonyx_exporter.stubs.described import describe
from server.scene import ALONE, CLASSIFIER, fit_classifier, frame_of, truth_of, wait_until
from server.sink import free_port
from server.test_tls import pair_of, root_of
from server.test_tokens import ADMIN, BOOKING, ENTRIES, write
from support.programs import Program, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

TIMEOUT_S: Final = 30.0
TOKEN: Final = ADMIN
#: An input of each kind, and some with three values a row.
KINDS: Final = {
    "share": pb.DATATYPE_FP64,
    "small": pb.DATATYPE_FP32,
    "count": pb.DATATYPE_INT64,
    "month": pb.DATATYPE_INT32,
    "is_new": pb.DATATYPE_BOOL,
    "carrier": pb.DATATYPE_BYTES,
    "weights": pb.DATATYPE_FP64,
    "slim": pb.DATATYPE_FP32,
    "tags": pb.DATATYPE_BYTES,
}
#: Those with three values a row.
VECTORS: Final = ("weights", "slim", "tags")
ROW: Final[dict[str, Any]] = {
    "share": 0.5,
    "small": 0.25,
    "count": 7,
    "month": 3,
    "is_new": True,
    "carrier": "UA",
    "weights": [1.0, 2.0, 3.0],
    "slim": [1.0, 2.0, 3.0],
    "tags": ["a", "b", "c"],
}
COLUMNS: Final[dict[str, Any]] = {name: [value, value] for name, value in ROW.items()}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package of a model with an input of each kind."""
    manifest = Manifest(model="every-kind", version=1, interface_major=1)
    for name, kind in KINDS.items():
        manifest.interface.inputs.add(name=name, datatype=kind, width=3 if name in VECTORS else 0)
    manifest.interface.outputs.add(name="value", kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64)
    manifest.ledger.CopyFrom(number_tensors(manifest.interface, pb.Ledger()))
    described = describe(schema(form_of(manifest)), manifest.model, 1)
    folder = tmp_path_factory.mktemp("kinds")
    python.write(python.package(described, manifest), described.path, folder)
    with _importable(folder):
        yield importlib.import_module("every_kind.v1")


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


class _Keeping(grpc.GenericRpcHandler):
    """Answers every call with nothing, and keeps it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.metadata: list[dict[str, Any]] = []

    def service(self, details: Any) -> Any:
        """Called by gRPC for each call."""
        self.metadata.append(dict(details.invocation_metadata))

        def answer(request: bytes, _: Any) -> bytes:
            self.requests.append(request)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.contextmanager
def _serving(handler: grpc.GenericRpcHandler) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


# ------------------------------------------------------------------------------------------------------ before it sends


@pytest.fixture(scope="module")
def nobody(kinds: ModuleType) -> Iterator[Any]:
    """A client of a server that is not there: what it refuses for another reason was never sent."""
    with kinds.EveryKindClient(f"127.0.0.1:{free_port()}") as client:
        yield client


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("share", "far", "share: 'far' is no number. What is missing is None."),
        ("count", 7.5, "count: 7.5 is no int."),
        ("count", math.nan, "count: nan is no int."),
        ("month", 2**40, "month: 1099511627776 cannot be sent: "),
        ("is_new", "False", "is_new: 'False' is no bool."),
        ("is_new", 2, "is_new: 2 is no bool."),
        ("is_new", math.nan, "is_new: nan is no bool."),
        ("carrier", math.nan, "carrier: nan is no str."),
        ("carrier", 5, "carrier: 5 is no str."),
        ("carrier", pd.NA, "carrier: <NA> is no str."),
        ("small", 1e300, "small: 1e+300 does not fit into 32 bits."),
        ("small", -3.5e38, "small: -3.5e+38 does not fit into 32 bits."),
        ("slim", [1.0, 2.0, 1e39], "slim: [1.0, 2.0, 1e+39] does not fit into 32 bits."),
        ("weights", [1.0, "x", 3.0], "weights: [1.0, 'x', 3.0] is no sequence of number. What is missing is None."),
    ],
)
def test_a_value_of_another_type_is_named(nobody: Any, name: str, value: Any, says: str) -> None:
    """A row's value that its field cannot hold is a TypeError; nothing is made of it in silence."""
    with pytest.raises(TypeError) as refused:
        nobody.predict(**{**ROW, name: value})
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("share", None, "share: None is no column. Give a list or an array."),
        ("share", 5.0, "share: 5.0 is no column."),
        ("share", [1.0, None], "share: None in row 1 is no number. NaN is a missing one."),
        ("count", [1, 1.5], "count: 1.5 in row 1 is no int."),
        ("count", pd.Series([1, None], dtype="Int64"), "count: np.float64(1.0) in row 0 is no int."),
        ("month", [1, 2**40], "month: 1099511627776 in row 1 does not fit into 32 bits."),
        ("is_new", [True, "False"], "is_new: 'False' in row 1 is no bool."),
        ("is_new", [True, math.nan], "is_new: nan in row 1 is no bool."),
        ("is_new", [True, None], "is_new: None in row 1 is no bool."),
        ("carrier", "UA", "carrier: 'UA' is no column of texts. Give a list of str."),
        ("carrier", ["UA", math.nan], "carrier: nan in row 1 is no text."),
        ("small", [0.5, 1e300], "small: 1e+300 in row 1 does not fit into 32 bits."),
        ("small", np.array([math.nan, -1e39]), "small: np.float64(-1e+39) in row 1 does not fit into 32 bits."),
        ("slim", [[1.0, 2.0, 3.0], [1.0, 2.0, 1e39]], "slim: 1e+39 in row "),
        ("share", np.ones((2, 1)), "share: an array of 2 dimensions is no such column. Give one value a row."),
        ("small", np.ones((2, 1)), "small: an array of 2 dimensions is no such column."),
        ("share", pd.DataFrame({"a": [0.5, 0.5]}), "share: an array of 2 dimensions is no such column."),
        ("share", np.array(0.5), "share: an array of 0 dimensions is no such column."),
        ("weights", np.array(0.5), "weights: an array of 0 dimensions is no such column. Give a matrix."),
        ("weights", np.ones((2, 3, 1)), "weights: an array of 3 dimensions is no such column."),
        ("carrier", np.array("UA", dtype=object), "carrier: an array of 0 dimensions is no such column."),
        ("carrier", pd.DataFrame({"UA": ["AA"], "DL": ["AA"]}), "carrier: an array of 2 dimensions is no such column."),
    ],
)
def test_a_column_with_a_value_of_another_type_is_named(nobody: Any, name: str, value: Any, says: str) -> None:
    """With the row of the first that cannot be sent."""
    with pytest.raises(TypeError) as refused:
        nobody.predict_batch(**{**COLUMNS, name: value})
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("change", "violations"),
    [
        ({"share": []}, {"columns.share": "no rows, others have 2. To leave a column out, do not give it."}),
        ({"carrier": []}, {"columns.carrier": "no rows, others have 2. To leave a column out, do not give it."}),
        ({"share": [0.5]}, {"columns.share": "1 row, others have 2."}),
        (
            {"share": [0.5] * 3, "carrier": ["UA"]},
            {"columns.share": "3 rows, others have 2.", "columns.carrier": "1 row, others have 2."},
        ),
        ({"weights": [[1.0, 2.0, 3.0]]}, {"columns.weights": "1 row, others have 2."}),
        ({"weights": np.ones((3, 3))}, {"columns.weights": "3 rows, others have 2."}),
        ({"weights": [[1.0, 2.0], [3.0]]}, {"columns.weights": "rows of 1 and 2 values. Give each as many."}),
        (dict.fromkeys(COLUMNS, ()), {"columns": "no rows: give at least one."}),
    ],
)
def test_columns_that_do_not_fit_together_are_named(
    nobody: Any, change: dict[str, Any], violations: dict[str, str]
) -> None:
    """The odd ones, with both lengths, and never those that agree; an empty one is not taken for left out."""
    with pytest.raises(grpc.RpcError) as refused:
        nobody.predict_batch(**{**COLUMNS, **change})
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert type(refused.value).__name__ == "InvalidArgument"
    assert {each.field: each.description for each in getattr(refused.value, "violations")} == violations  # noqa: B009


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_columns_of_any_lengths(nobody: Any, lengths: list[int]) -> None:
    """They are sent where all have one length; else every one is named that has another than those that are right."""
    names = [name for name in COLUMNS if name not in VECTORS]
    columns = {name: [ROW[name]] * length for name, length in zip(names, lengths, strict=True)}
    with pytest.raises(grpc.RpcError) as failed:
        nobody.predict_batch(**columns, **{name: ROW[name] for name in VECTORS})
    named = {each.field.removeprefix("columns.") for each in getattr(failed.value, "violations")}  # noqa: B009
    right = set(lengths) - {len(columns[name]) for name in named & columns.keys()}
    if not any(lengths):
        assert named == {"columns"}
    elif len(set(lengths)) == 1:
        assert (failed.value.code(), named) == (grpc.StatusCode.UNAVAILABLE, set())
    else:
        assert len(right) == 1
        assert right != {0}
        assert max(lengths.count(each) for each in right) == max(lengths.count(each) for each in lengths if each)


def test_numbers_at_the_ends_of_a_type_are_sent(kinds: ModuleType) -> None:
    """The largest of single precision, and infinity where it was given: whether that is allowed the server says."""
    values = [float(np.finfo(np.float32).max), -math.inf, math.inf, math.nan]
    keeping = _Keeping()
    with _serving(keeping) as address, kinds.EveryKindClient(address) as client:
        for value in values:
            client.predict(**{**ROW, "small": value}, timeout_s=TIMEOUT_S)
        columns = {name: [value] * len(values) for name, value in ROW.items()}
        client.predict_batch(**{**columns, "small": values}, timeout_s=TIMEOUT_S)
    *rows, batch = keeping.requests
    sent = [kinds.every_kind_pb2.PredictRequest.FromString(row).features.small for row in rows]
    np.testing.assert_array_equal(sent, values)
    np.testing.assert_array_equal(kinds.every_kind_pb2.PredictBatchRequest.FromString(batch).columns.small, values)


def test_columns_of_every_sort_are_the_same_message(kinds: ModuleType) -> None:
    """Lists, iterators, arrays of any type and order, Series, frames and matrices, numpy's truth values and texts."""
    given: list[dict[str, Any]] = [
        COLUMNS,
        {name: tuple(values) for name, values in COLUMNS.items()},
        {name: iter(values) for name, values in COLUMNS.items()},
        {name: np.array(values) for name, values in COLUMNS.items()},
        {name: pd.Series(values) for name, values in COLUMNS.items()},
        {**pd.DataFrame({**COLUMNS, "carrier": pd.Categorical(["UA", "UA"])})},
        {**COLUMNS, "weights": [1.0, 2.0, 3.0] * 2},
        {**COLUMNS, "tags": pd.DataFrame([["a", "b", "c"]] * 2), "carrier": pd.Series(["UA", "UA"], dtype="string")},
        {**COLUMNS, "weights": np.asfortranarray([[1, 2, 3], [1, 2, 3]])},
        {**COLUMNS, "weights": pd.DataFrame([[1.0, 2.0, 3.0]] * 2).to_numpy(np.float32)},
        {**COLUMNS, "share": array("d", [0.5, 0.5]), "count": array("q", [7, 7]), "is_new": [1, np.True_]},
        {**COLUMNS, "share": np.array([0.5, 0.5], ">f8"), "count": np.array([7, 7], np.uint8)},
        {**COLUMNS, "share": np.array([0.5, 0.0, 0.5])[::2], "small": [[0.25], [0.25]][0] * 2},
    ]
    keeping = _Keeping()
    with _serving(keeping) as address, kinds.EveryKindClient(address) as client:
        for columns in given:
            client.predict_batch(**columns, timeout_s=TIMEOUT_S)
    messages = [kinds.every_kind_pb2.PredictBatchRequest.FromString(each).columns for each in keeping.requests]

    assert len(messages) == len(given)
    assert list(messages[0].weights) == [1.0, 2.0, 3.0] * 2
    assert (list(messages[0].is_new), list(messages[0].carrier)) == ([True, True], ["UA", "UA"])
    assert [position for position, each in enumerate(messages) if each != messages[0]] == []


# ------------------------------------------------------------------------------------------------------- where it calls


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (("foo",), ValueError, "'foo' is no address. Write host:port, such as localhost:8001."),
        (("",), ValueError, "'' is no address."),
        (("localhost:99999",), ValueError, "'localhost:99999' is no address."),
        (("::1:8001",), ValueError, "'::1:8001' is no address."),
        (("a:1,b:2",), ValueError, "'a:1,b:2' is no address."),
        (("http://localhost:8001",), ValueError, "'http://localhost:8001' is a URL: leave out 'http://'."),
        ((None,), TypeError, "None is no address, and no grpc"),
        (("localhost:1", {"credentials": "ca.pem"}), TypeError, "credentials: 'ca.pem' is none."),
        (("localhost:1", {"caller": "a b"}), ValueError, "'a b' is no caller's name:"),
        (("localhost:1", {"token": "secret\n"}), ValueError, "token: it is text of letters"),
        (("elsewhere.example:1", {"token": "secret"}), ValueError, "token: it would travel unencrypted to elsewhere"),
    ],
)
@pytest.mark.parametrize("way", ["", "Async"])
async def test_arguments_that_cannot_be_are_refused_at_once(
    kinds: ModuleType, way: str, arguments: Any, kind: type[Exception], says: str
) -> None:
    """With what to give instead; gRPC would take another port, or fail at the first call."""
    target, *rest = arguments
    with pytest.raises(kind) as refused:
        getattr(kinds, f"{way}EveryKindClient")(target, **(rest[0] if rest else {}))
    assert str(refused.value).startswith(says)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("timeout_s", "kind"),
    [
        *((wrong, ValueError) for wrong in (0, -1.0, math.nan, math.inf, 1e20)),
        *((wrong, TypeError) for wrong in ("x", True)),
    ],
)
async def test_a_time_that_is_none_is_refused_at_once(kinds: ModuleType, timeout_s: Any, kind: type[Exception]) -> None:
    """What gRPC would take for no limit, or for a time that is over, is named before anything is sent."""
    target = f"127.0.0.1:{free_port()}"
    with kinds.EveryKindClient(target) as client:
        for method, arguments in ((client.predict, ROW), (client.predict_batch, COLUMNS)):
            with pytest.raises(kind, match="timeout_s: "):
                method(**arguments, timeout_s=timeout_s)
    async with kinds.AsyncEveryKindClient(target) as asking:
        with pytest.raises(kind, match="timeout_s: "):
            await asking.predict(**ROW, timeout_s=timeout_s)


async def test_a_closed_client_says_so(kinds: ModuleType) -> None:
    """A call after the end says what happened, and not what gRPC makes of it."""
    target = f"127.0.0.1:{free_port()}"
    client, asking = kinds.EveryKindClient(target), kinds.AsyncEveryKindClient(target)
    client.close()
    await asking.close()
    with pytest.raises(RuntimeError, match="This client is closed"):
        client.predict(**ROW, timeout_s=TIMEOUT_S)
    with pytest.raises(RuntimeError, match="This client is closed"):
        await asking.predict(**ROW, timeout_s=TIMEOUT_S)


class _Silent(grpc.GenericRpcHandler):
    """Answers nobody until it ends."""

    def __init__(self) -> None:
        self.asked, self.ended = threading.Semaphore(0), threading.Event()

    def service(self, _details: Any) -> Any:
        """Called by gRPC for each call."""

        def answer(_request: bytes, _context: Any) -> bytes:
            self.asked.release()
            self.ended.wait(TIMEOUT_S)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


async def test_a_client_that_is_closed_under_a_call_says_so(kinds: ModuleType) -> None:
    """The call fails as others do: nobody cancelled its task, and so it is no CancelledError."""
    silent = _Silent()
    with _serving(silent) as target:
        client, asking = kinds.EveryKindClient(target), kinds.AsyncEveryKindClient(target)
        calls = [
            asyncio.create_task(asking.predict(**ROW)),
            asyncio.create_task(asking.predict_batch(**COLUMNS)),
            asyncio.create_task(asyncio.to_thread(client.predict, **ROW)),
        ]
        for _ in calls:
            assert await asyncio.to_thread(silent.asked.acquire, timeout=TIMEOUT_S)
        calls[1].cancel()
        await asyncio.wait(calls[1:2])
        await asking.close()
        client.close()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        silent.ended.set()
    assert isinstance(ended[1], asyncio.CancelledError)
    for each in (ended[0], ended[2]):
        assert isinstance(each, kinds.CallFailed), repr(each)
        assert each.message.startswith("This client was closed before there was an answer.")


def test_an_event_loop_has_a_client_of_its_own(kinds: ModuleType) -> None:
    """One that is made before there is a loop, or called from another, is told so; gRPC speaks of attached futures."""

    async def make() -> Any:
        return kinds.AsyncEveryKindClient("localhost:1")

    with pytest.raises(RuntimeError, match=r"No event loop runs here\. Make this client within the coroutine"):
        kinds.AsyncEveryKindClient("localhost:1")
    with asyncio.Runner() as mine, asyncio.Runner() as other:
        client = mine.run(make())
        for method, arguments in ((client.predict, ROW), (client.predict_batch, COLUMNS)):
            with pytest.raises(RuntimeError, match=r"made in another event loop\. Make one in each"):
                other.run(method(**arguments))
            with pytest.raises(kinds.Unavailable):
                mine.run(method(**arguments, timeout_s=TIMEOUT_S))
        mine.run(client.close())


@pytest.mark.parametrize(
    "target",
    ["localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1", "ipv4:127.0.0.1:1", "unix:/nowhere/socket"],
)
def test_what_stays_on_this_machine_may_carry_a_token(kinds: ModuleType, target: str) -> None:
    """However gRPC spells it; and where nobody listens, that is what the error says, with the address."""
    with kinds.EveryKindClient(target, token=TOKEN) as client, pytest.raises(kinds.Unavailable) as failed:
        client.predict(**ROW, timeout_s=TIMEOUT_S)
    assert failed.value.message.startswith(f"{target} cannot be reached: ")
    assert "Check " in failed.value.message


def test_who_calls_is_sent(kinds: ModuleType) -> None:
    """The token with each call, and the name before gRPC's own; a channel of one's own has names of its own."""
    keeping = _Keeping()
    with _serving(keeping) as address:
        with kinds.EveryKindClient(address, token=TOKEN, caller="checkout") as client:
            client.predict(**ROW, timeout_s=TIMEOUT_S)
            client.predict_batch(**COLUMNS, timeout_s=TIMEOUT_S)
        with grpc.insecure_channel(address, options=[("grpc.primary_user_agent", "own")]) as channel:
            kinds.EveryKindClient(channel, token=TOKEN).predict(**ROW, timeout_s=TIMEOUT_S)
            with pytest.raises(ValueError, match="a channel's own"):
                kinds.EveryKindClient(channel, caller="checkout")
    agents = [each["user-agent"].partition(" ")[0] for each in keeping.metadata]
    assert agents == ["checkout", "checkout", "own"]
    assert [each["authorization"] for each in keeping.metadata] == [f"Bearer {TOKEN}"] * 3


def test_nobody_and_no_grpc(kinds: ModuleType) -> None:
    """A server that is down, a host that does not exist, and a port that does not speak gRPC: each is told apart."""
    gone = f"127.0.0.1:{free_port()}"
    said = {gone: "nothing listens there", "nowhere.invalid:1": "its host is not found"}
    for address, cause in said.items():
        with kinds.EveryKindClient(address) as client, pytest.raises(kinds.Unavailable) as failed:
            client.predict(**ROW, timeout_s=TIMEOUT_S)
        assert failed.value.message.startswith(f"{address} cannot be reached: {cause}. Check ")
    with _closing() as page, kinds.EveryKindClient(page) as client, pytest.raises(kinds.Unavailable) as failed:
        client.predict(**ROW, timeout_s=TIMEOUT_S)
    assert page in failed.value.message


@contextlib.contextmanager
def _closing() -> Iterator[str]:
    """Something that ends every connection with a page's first line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_time_that_is_up_and_interfaces_that_are_gone(kinds: ModuleType) -> None:
    """Are said in words, with the address; gRPC says no more than 'Deadline Exceeded' and 'Method not found!'."""
    release = threading.Event()

    class Waiting(grpc.GenericRpcHandler):
        def service(self, _: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: bytes(release.wait(TIMEOUT_S)))

    class Nothing(grpc.GenericRpcHandler):
        def service(self, _: Any) -> None:
            return None

    with _serving(Waiting()) as address, kinds.EveryKindClient(address) as client:
        with pytest.raises(kinds.DeadlineExceeded) as late:
            client.predict(**ROW, timeout_s=0.2)
        release.set()
    assert str(late.value).startswith(f"There was no answer from {address} within 0.2 s.")
    with (
        _serving(Nothing()) as address,
        kinds.EveryKindClient(address) as client,
        pytest.raises(kinds.Unimplemented) as gone,
    ):
        client.predict(**ROW, timeout_s=TIMEOUT_S)
    assert str(gone.value).startswith(f"{address} does not serve every_kind.v1.EveryKindService: ")


# ---------------------------------------------------------------------------------------------------- a server's errors


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with the classifier, live."""
    folder = tmp_path_factory.mktemp("client") / "registry"
    frame = frame_of(seed=2, rows=100)
    export(fit_classifier(seed=1), name=CLASSIFIER, holdout=(frame, truth_of(frame)), registry=str(folder))
    promote(CLASSIFIER, 1, registry=str(folder))
    return folder


@pytest.fixture(scope="module")
def flights(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Its package."""
    folder = tmp_path_factory.mktemp("flights")
    write_stubs(CLASSIFIER, registry=registry, folder=folder)
    with _importable(folder):
        yield importlib.import_module("flight_delay.v1")


@pytest.fixture(scope="module")
def address(registry: Path, flights: ModuleType) -> Iterator[str]:
    """A server that answers it."""
    with running_server(registry, *ALONE) as address:
        with flights.FlightDelayClient(address) as client:
            wait_until(lambda: _answers(flights, client), "the model is served")
        yield address


GOOD: Final[dict[str, Any]] = {"distance": 0.5, "hour": 7, "carrier": "UA", "origin": "EWR"}


def _answers(flights: ModuleType, client: Any) -> bool:
    try:
        client.predict(**GOOD, timeout_s=TIMEOUT_S)
    except (flights.Unimplemented, flights.Unavailable):
        return False
    return True


async def test_a_refusal_says_which_field_and_row(flights: ModuleType, address: str) -> None:
    """By the names of the arguments, the same from asyncio and from threads; gRPC's own ways to look at it hold."""
    columns = {name: [value] * 3 for name, value in GOOD.items()} | {"origin": ["EWR", "XXX", "YYY"]}
    with flights.FlightDelayClient(address) as client, pytest.raises(flights.InvalidArgument) as refused:
        client.predict_batch(**columns, timeout_s=TIMEOUT_S)
    async with flights.AsyncFlightDelayClient(address) as asking:
        with pytest.raises(flights.InvalidArgument) as again:
            await asking.predict_batch(**columns, timeout_s=TIMEOUT_S)
        with pytest.raises(grpc.aio.AioRpcError) as row:
            await asking.predict(**{**GOOD, "origin": None}, timeout_s=TIMEOUT_S)
    error: CallFailed = refused.value
    copied = pickle.loads(pickle.dumps(error)), copy.copy(error), again.value  # noqa: S301 - our own

    assert [(each.field, each.row) for each in error.violations] == [("columns.origin", 1), ("columns.origin", 2)]
    assert "'XXX' is an unknown category" in error.violations[0].description
    assert str(error) == error.message == error.details()
    assert (error.code(), error.retry_after_s) == (grpc.StatusCode.INVALID_ARGUMENT, None)
    for each in copied:
        assert (each.message, each.violations, each.code()) == (error.message, error.violations, error.code())
    assert [str(each) for each in row.value.violations] == ["features.origin: missing. This version needs it."]  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------------------------- sizes


@pytest.fixture(scope="module")
def digits(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package of a model of ten classes, which is live beside the classifier."""
    rows = np.random.default_rng(0).normal(size=(400, 2))
    digit = np.digitize(rows[:, 0], [-1.2, -0.8, -0.5, -0.2, 0.0, 0.2, 0.5, 0.8, 1.2])
    model = GaussianNB().fit(rows[:200], digit[:200])
    export(model, name="digits", holdout=(rows[200:], digit[200:]), registry=str(registry))
    promote("digits", 1, registry=str(registry))
    folder = tmp_path_factory.mktemp("digits")
    write_stubs("digits", registry=registry, folder=folder)
    with _importable(folder):
        yield importlib.import_module("digits.v1")


async def test_an_answer_as_large_as_servers_give_is_read(digits: ModuleType, address: str) -> None:
    """Beyond gRPC's own 4 MiB, by both clients; a channel of one's own says what it lacks, and not to try again."""
    many = np.zeros((60_000, 2))
    with digits.DigitsClient(address) as client:
        wait_until(lambda: _serves(digits, client), "the model of ten classes is served")
        answered = client.predict_batch(input_features=many, timeout_s=TIMEOUT_S)
    async with digits.AsyncDigitsClient(address) as asking:
        again = await asking.predict_batch(input_features=many, timeout_s=TIMEOUT_S)
    with grpc.insecure_channel(address) as channel, pytest.raises(digits.InvalidArgument) as refused:
        digits.DigitsClient(channel).predict_batch(input_features=many, timeout_s=TIMEOUT_S)

    assert answered.ByteSize() > 4 * 1024 * 1024
    assert again.predictions == answered.predictions
    (violation,) = refused.value.violations
    assert violation.field == "response"
    assert violation.description.endswith(
        "Ask for fewer rows at a time, or give the channel grpc.max_receive_message_length."
    )


def _serves(digits: ModuleType, client: Any) -> bool:
    try:
        client.predict(input_features=[0.0, 0.0], timeout_s=TIMEOUT_S)
    except (digits.Unimplemented, digits.Unavailable):
        return False
    return True


async def test_a_request_larger_than_the_server_takes_is_no_matter_of_waiting(
    flights: ModuleType, address: str
) -> None:
    """It comes as the code of a busy server, and is an InvalidArgument that says what to do; so are large metadata."""
    columns = {name: [value] * 1200 for name, value in GOOD.items()} | {"origin": ["x" * 60_000] * 1200}
    with flights.FlightDelayClient(address) as client, pytest.raises(flights.InvalidArgument) as refused:
        client.predict_batch(**columns, timeout_s=TIMEOUT_S)
    async with flights.AsyncFlightDelayClient(address) as asking:
        with pytest.raises(flights.InvalidArgument) as again:
            await asking.predict_batch(**columns, timeout_s=TIMEOUT_S)
    with (
        flights.FlightDelayClient(address, token="x" * 100_000) as client,
        pytest.raises(flights.InvalidArgument) as token,
    ):
        client.predict(**GOOD, timeout_s=TIMEOUT_S)

    for error in (refused.value, again.value):
        (violation,) = error.violations
        assert (violation.field, error.retry_after_s) == ("request", None)
        assert violation.description.endswith("Send fewer rows at a time.")
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "larger than max" in error.details()
    assert [each.field for each in token.value.violations] == ["metadata"]


def test_a_server_that_is_busy_is_asked_again() -> None:
    """What the server itself says of its queue stays what it is, whatever words it chooses."""
    for words in ("larger than max", "metadata size exceeds"):
        error = _explained(status.to_rpc(errors.Overloaded(f"The queue is {words}.", 0.5)))
        assert (error.code(), error.retry_after_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 0.5)


def test_a_server_that_asks_who_calls(registry: Path, flights: ModuleType, tmp_path: Path) -> None:
    """Tells callers without a token, and those whose token is for another model, apart; others are answered."""
    tokens = write(tmp_path / "tokens.toml", *ENTRIES)
    with running_server(registry, *ALONE, "--token-file", str(tokens)) as address:
        with flights.FlightDelayClient(address, token=ADMIN) as client:
            wait_until(lambda: _answers(flights, client), "the model is served")
        for token, kind in (("", flights.Unauthenticated), (BOOKING, flights.PermissionDenied)):
            with flights.FlightDelayClient(address, token=token) as client, pytest.raises(kind) as refused:
                client.predict(**GOOD, timeout_s=TIMEOUT_S)
            assert refused.value.message.endswith(".")


def test_a_server_that_speaks_tls(registry: Path, flights: ModuleType, tmp_path: Path) -> None:
    """Answers those with its authority's certificate; what others did wrong is said, with the address and the cure."""
    authority = trustme.CA()
    pair = pair_of(tmp_path, authority.issue_cert("127.0.0.1"))
    trusted, strange = (grpc.ssl_channel_credentials(root_of(each)) for each in (authority, trustme.CA()))
    fixed = ("--registry", str(registry), "--listen", "127.0.0.1:0", *ALONE)
    program = Program.start("sardonyx_server", *fixed, *pair.options)
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        with flights.FlightDelayClient(address, credentials=trusted) as client:
            wait_until(lambda: _answers(flights, client), "the model is served")
        elsewhere = address.replace("127.0.0.1", "localhost")
        for target, credentials, says in (
            (address, None, "it closes connections while they are made. It may speak TLS"),
            (address, strange, "its certificate comes from no authority that the credentials name"),
            (elsewhere, trusted, "its certificate is for other names"),
        ):
            with (
                flights.FlightDelayClient(target, credentials=credentials) as client,
                pytest.raises(flights.Unavailable) as failed,
            ):
                client.predict(**GOOD, timeout_s=TIMEOUT_S)
            assert failed.value.message.startswith(f"{target} cannot be reached: {says}")
    finally:
        assert program.stop() == 0


def test_a_server_in_plain_text(flights: ModuleType, address: str) -> None:
    """Is told apart from one that speaks TLS."""
    with (
        flights.FlightDelayClient(address, credentials=grpc.ssl_channel_credentials()) as client,
        pytest.raises(flights.Unavailable, match=r"does not speak TLS\. Leave credentials out"),
    ):
        client.predict(**GOOD, timeout_s=TIMEOUT_S)


# ------------------------------------------------------------------------------------------------------- their details


class _Raised(grpc.RpcError):
    """What gRPC raises, as far as it is looked at."""

    def __init__(self, told: status.RpcStatus) -> None:
        self._told = told

    def code(self) -> grpc.StatusCode:
        return self._told.code

    def details(self) -> str:
        return self._told.message

    def trailing_metadata(self) -> Any:
        return self._told.trailing_metadata


def _explained(told: status.RpcStatus) -> CallFailed:
    return explained(_Raised(told), "localhost:8001", "m.v1.MService", None)


fields = st.text(st.characters(exclude_characters="#", exclude_categories=["Cs"]), min_size=1, max_size=40)
violations = st.builds(errors.Violation, fields, fields, st.none() | st.integers(0, 10**6))


@given(st.lists(violations, min_size=1, max_size=20))
def test_violations_are_read_as_the_servers_own_client_reads_them(found: list[errors.Violation]) -> None:
    """A package needs no other package for that."""
    told = status.to_rpc(errors.InvalidInput(found))
    theirs = status.from_rpc(*told)
    ours = _explained(told)
    assert isinstance(theirs, errors.InvalidInput)
    assert isinstance(ours, InvalidArgument)
    assert ours.violations == tuple(Violation(each.field, each.description, each.row) for each in theirs.violations)


@given(
    st.floats(0, 1e6).map(lambda seconds: round(seconds, 6)), st.sampled_from([errors.Unavailable, errors.Overloaded])
)
def test_how_long_to_wait_is_read(seconds: float, kind: Callable[[str, float], errors.SardonyxError]) -> None:
    """Of both kinds that say so."""
    error = _explained(status.to_rpc(kind("Later.", seconds)))
    assert error.message == "Later."
    assert error.retry_after_s == pytest.approx(seconds)


@given(st.binary(max_size=60))
def test_details_that_are_none_do_no_harm(data: bytes) -> None:
    """Whatever bytes stand there, the code and the message are told."""
    for trailer in (data, wrappers_pb2.BytesValue(value=data).SerializeToString(), b"\x1a" + bytes([len(data)]) + data):
        told = status.RpcStatus(grpc.StatusCode.NOT_FOUND, "Gone.", ((status.DETAILS_KEY, trailer),))
        assert _explained(told).message == "Gone."


def test_a_wait_that_no_number_holds_does_no_harm() -> None:
    """Nor do seconds that are written as no message of protobuf's is."""
    seconds = b"\x08" + b"\xff" * 255 + b"\x7f"
    delay = b"\n" + varint(len(seconds)) + seconds
    said = status_pb2.Status()
    said.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=delay)
    trailers = ((status.DETAILS_KEY, said.SerializeToString()),)
    error = _explained(status.RpcStatus(grpc.StatusCode.NOT_FOUND, "Gone.", trailers))
    assert (error.message, error.retry_after_s) == ("Gone.", None)
