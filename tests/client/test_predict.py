"""What both clients do alike for one caller: forms of data, ids, interfaces that change, refusals before a call."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from client import plain
from client.plain import MODEL, Plain
from sardonyx import AsyncClient, Client
from sardonyx.errors import InvalidInput
from sardonyx.prediction_id import ID_LENGTH_MAX, PredictionId
from server.scene import CLASSIFIER, REGRESSOR, Scene, array_of, frame_of, wait_until
from server.sink import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sardonyx import Answer, ModelInfo


class Blocking:
    """The asyncio client as a blocking one, for tests of what both do alike."""

    def __init__(self, address: str | list[str], **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(address, **options)

    def predict(self, model: str, data: Any, **options: Any) -> Answer:
        """As AsyncClient."""
        return self._runner.run(self._client.predict(model, data, **options))

    def describe(self, model: str, **options: Any) -> ModelInfo:
        """As AsyncClient."""
        return self._runner.run(self._client.describe(model, **options))

    def ready(self, model: str | None = None, **options: Any) -> bool:
        """As AsyncClient."""
        return self._runner.run(self._client.ready(model, **options))

    def close(self) -> None:
        """As AsyncClient; and its loop."""
        self._runner.run(self._client.close())
        self._runner.close()


Kind = type[Client] | type[Blocking]
both = pytest.mark.parametrize("kind", [Client, Blocking], ids=["blocking", "asyncio"])


@pytest.fixture(params=[Client, Blocking], ids=["blocking", "asyncio"])
def calling(request: pytest.FixtureRequest, address: str) -> Iterator[Client | Blocking]:
    """Either client."""
    client: Client | Blocking = request.param(address)
    yield client
    client.close()


def test_every_form_of_a_table_is_answered_alike(calling: Client | Blocking, scene: Scene) -> None:
    """DataFrame, dicts, columns as lists and arrays, and scalars: the source model's answers, in their order."""
    frame = frame_of(seed=61, rows=7)
    expected = scene.classifier.predict_proba(frame)
    for data in (
        frame,
        frame.to_dict("records"),
        frame.to_dict("list"),
        {name: frame[name].to_numpy() for name in frame},
        frame[reversed(frame.columns)],
        frame.convert_dtypes(),
    ):
        answer = calling.predict(CLASSIFIER, data)
        assert answer.probabilities is not None
        np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-4, atol=1e-6)
        assert answer.labels is not None
        assert answer.labels.tolist() == scene.classifier.predict(frame).tolist()
        assert list(answer.classes) == scene.classifier.classes_.tolist()
    for row, record in enumerate(frame.to_dict("records")):
        for data in (record, [record], {name: np.asarray(value)[()] for name, value in record.items()}):
            found = calling.predict(CLASSIFIER, data).outputs["probabilities"]
            np.testing.assert_allclose(found, expected[[row]], rtol=1e-4, atol=1e-6)


def test_every_form_of_an_array_is_answered_alike(calling: Client | Blocking, scene: Scene) -> None:
    """Arrays, lists, one row of either, the named input, whole numbers and other orders in memory."""
    array = np.round(array_of(seed=62, rows=5) * 10)
    expected = scene.regressor.predict(array)
    for data in (array, array.tolist(), {"features": array}, np.asfortranarray(array), array.astype(np.int64)):
        answer = calling.predict(REGRESSOR, data)
        assert answer.values is not None
        np.testing.assert_allclose(answer.values, expected, rtol=1e-6)
    for data in (array[0], array[0].tolist(), array[:1]):
        np.testing.assert_allclose(calling.predict(REGRESSOR, data).outputs["value"], expected[:1], rtol=1e-6)


def test_ids_are_the_callers_or_new_ones(calling: Client | Blocking) -> None:
    """A given id is the answer's; without one each call has an id of its own. Rows are counted from 0."""
    answer = calling.predict(REGRESSOR, np.ones((3, 3)), prediction_id="order-7 ü")
    assert answer.request_id == "order-7 ü"
    assert answer.prediction_ids == [PredictionId("order-7 ü", row) for row in range(3)]
    ids = {calling.predict(REGRESSOR, [1.0, 2.0, 3.0]).request_id for _ in range(5)}
    assert len(ids) == 5
    assert all(len(bytes.fromhex(each)) == 16 for each in ids)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"prediction_id": ""}, "prediction_id"),
        ({"prediction_id": "x" * (ID_LENGTH_MAX + 1)}, "prediction_id"),
        ({"prediction_id": "\ud800"}, "prediction_id"),
        ({"routing_key": ""}, "routing_key"),
        ({"routing_key": 7}, "routing_key"),
        ({"routing_key": "\ud800"}, "routing_key"),
        ({"metadata": [("traceparent", "00-ü")]}, "traceparent"),
        ({"metadata": [("tenant", "a\nb")]}, "tenant"),
        ({"metadata": [("tenant", b"\xff")]}, "tenant"),
        ({"metadata": [("Tenant", "a")]}, "Tenant"),
        ({"metadata": [("tenant", 7)]}, "tenant"),
        ({"metadata": {"tenant": 7}}, "tenant"),
        ({"metadata": {7: "a"}}, "metadata"),
        ({"metadata": {"blob-bin": "a"}}, "blob-bin"),
        ({"metadata": [("tenant",)]}, "metadata"),
        ({"metadata": ("tenant", "secret")}, "metadata"),
        ({"metadata": ["ab"]}, "metadata"),
        ({"metadata": "tenant"}, "metadata"),
        ({"metadata": 7}, "metadata"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"model": b"double"}, "model"),
        ({"model": ["double"]}, "model"),
        ({"model": "\ud800"}, "model"),
        ({"version": 1.5}, "version"),
        ({"version": True}, "version"),
        ({"version": [1]}, "version"),
        ({"version": "\ud800"}, "version"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": float("inf")}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"timeout_s": "1"}, "timeout_s"),
        ({"timeout_s": True}, "timeout_s"),
    ],
)
@both
def test_senseless_arguments_are_refused_unsent(kind: Kind, options: dict[str, Any], name: str) -> None:
    """A name, version, id, key or time that makes no sense is named, and nobody is called."""
    server = Plain()
    with plain.running(server) as address:
        client = kind(address)
        with pytest.raises(InvalidInput, match=name) as refused:
            client.predict(**{"model": MODEL, "data": {"x": 1.0}, **options})
        assert "secret" not in refused.value.message
        client.close()
    assert server.asked == 0


@both
def test_metadata_that_grpc_sends_is_sent(kind: Kind) -> None:
    """Text, bytes, and anything under a key that ends in -bin."""
    with plain.running(Plain()) as address:
        client = kind(address)
        metadata: list[tuple[str, str | bytes]] = [
            ("tenant", "a b~"),
            ("x.y_z-1", b"text"),
            ("blob-bin", b"\x00\xff"),
            ("empty", ""),
        ]
        forms: list[Any] = [metadata, dict(metadata), [list(entry) for entry in metadata]]
        for each in forms:
            assert client.predict(MODEL, {"x": 1.0}, metadata=each).outputs["value"].tolist() == [2.0]
        client.close()


@both
def test_numbers_of_any_type_are_numbers(kind: Kind) -> None:
    """Numpy's numbers and decimals are times and versions as Python's are."""
    times: list[Any] = [np.float32(9), np.int64(9), Decimal(9), 9]
    version: Any = np.int64(1)
    with plain.running(Plain()) as address:
        client = kind(address)
        for timeout_s in times:
            assert client.predict(MODEL, {"x": 1.0}, version=version, timeout_s=timeout_s).outputs["value"] == [2.0]
        client.close()


@both
def test_what_is_no_table_is_told_what_is(kind: Kind) -> None:
    """A row of a DataFrame, and all else that has no columns, with the names that are wanted."""
    with plain.running(Plain()) as address:
        client = kind(address)
        for data in (pd.Series({"x": 1.0}), np.ones(1), None, 7, "x", iter([{"x": 1.0}])):
            with pytest.raises(InvalidInput, match=r"takes named columns \(x\): give a DataFrame, a dict or dicts"):
                client.predict(MODEL, data)
        with pytest.raises(InvalidInput, match=r"A row of a DataFrame is a dict by its to_dict\(\)"):
            client.predict(MODEL, pd.Series({"x": 1.0}))
        assert client.predict(MODEL, pd.Series({"x": 1.0}).to_dict()).outputs["value"] == [2.0]
        client.close()


@both
def test_a_column_that_is_none_is_told_so(kind: Kind) -> None:
    """One value beside columns, and a column of columns."""
    with plain.running(Plain()) as address:
        client = kind(address)
        for data, found in (({"x": np.ones((2, 2))}, r"shape \[2, 2\]"), ([{"x": [[1.0]]}], r"shape \[1, 1, 1\]")):
            with pytest.raises(InvalidInput, match=rf"inputs\[x\].shape: expected one value a row, got {found}"):
                client.predict(MODEL, data)
        with pytest.raises(InvalidInput, match=r"inputs\[X\]: model 'double' has no such input. Did you mean 'x'\?"):
            client.predict(MODEL, {"X": 1.0})
        client.close()


@pytest.mark.parametrize("wrong", [{"a": 1}, [{"a": 1}], [1.0, 2.0], [[1.0, 2.0]], [], "x", None])
def test_what_is_no_matrix_is_told_what_is(calling: Client | Blocking, wrong: Any) -> None:
    """A model that takes an array says its shape, whatever it was given."""
    with pytest.raises(InvalidInput, match=r"expected an array of shape \[rows, 3\], got"):
        calling.predict(REGRESSOR, wrong)


def test_another_event_loop_needs_another_client() -> None:
    """A client that is used in a second loop says so: its connections belong to the first."""
    with plain.running(Plain()) as address:
        client = AsyncClient(address)
        assert asyncio.run(client.predict(MODEL, {"x": 1.0})).outputs["value"] == [2.0]
        for call in (lambda: client.predict(MODEL, {"x": 1.0}), client.ready, lambda: client.describe(MODEL)):
            with pytest.raises(InvalidInput, match="in another event loop"):
                asyncio.run(call())


def test_another_event_loop_is_told_while_the_first_is_busy() -> None:
    """A second loop hears the same while the first one's calls are under way, and those are answered."""
    server = Plain({"sardonyx_version": "1"})

    async def refused(client: AsyncClient) -> None:
        with pytest.raises(InvalidInput, match="in another event loop"):
            await client.predict(MODEL, {"x": 2.0})

    async def busy(client: AsyncClient) -> Any:
        await client.describe(MODEL)
        server.hold.clear()
        call = asyncio.create_task(client.predict(MODEL, {"x": 1.0}))
        try:
            await asyncio.to_thread(wait_until, lambda: len(server.requests) > 0, "it is asked")
            await asyncio.to_thread(asyncio.run, refused(client))
        finally:
            server.hold.set()
        return (await call).outputs["value"].tolist()

    with plain.running(server) as address:
        assert asyncio.run(busy(AsyncClient(address))) == [2.0]


@both
def test_readiness_is_no_answer_to_a_mistake(kind: Kind) -> None:
    """Who asks in a wrong way is told so: to ask again and again would not help."""
    client: Any = kind(f"127.0.0.1:{free_port()}")
    with pytest.raises(InvalidInput, match="model"):
        client.ready(7)
    with pytest.raises(InvalidInput, match="version"):
        client.ready(MODEL, version=1.5)
    assert client.ready(MODEL) is False
    client.close()


@both
@pytest.mark.parametrize("properties", [{"sardonyx_version": "1"}, {}], ids=["sardonyx", "another"])
def test_an_interface_that_changed_is_learned(kind: Kind, properties: dict[str, str]) -> None:
    """Callers of the new interface are answered at once; those of the old one are told what is missing now."""
    server = Plain(properties)
    with plain.running(server) as address:
        client = kind(address)
        assert client.predict(MODEL, {"x": 2.0}).outputs["value"].tolist() == [4.0]
        server.input = "y"
        with pytest.raises(InvalidInput, match=r"inputs\[y\].*missing"):
            client.predict(MODEL, {"x": 2.0})
        assert client.predict(MODEL, {"y": 2.0}).outputs["value"].tolist() == [4.0]
        server.input = "z"
        assert client.predict(MODEL, [{"z": 2.0}, {"z": 3.0}]).outputs["value"].tolist() == [4.0, 6.0]
        client.close()


@both
def test_an_interface_is_asked_for_once(kind: Kind) -> None:
    """A prediction is one call, once the interface is known."""
    server = Plain()
    with plain.running(server) as address:
        client = kind(address)
        for _ in range(10):
            client.predict(MODEL, {"x": 1.0})
        client.close()
    assert (server.asked, len(server.requests)) == (11, 10)


def test_what_a_server_says_of_itself(calling: Client | Blocking) -> None:
    """Readiness and interface, as both clients tell them."""
    assert calling.ready()
    assert calling.ready(CLASSIFIER)
    assert calling.ready(CLASSIFIER, version=1)
    assert not calling.ready("nobody")
    info = calling.describe(CLASSIFIER)
    assert [each.name for each in info.inputs] == ["distance", "hour", "carrier", "origin"]
    assert (info.name, list(info.versions), list(info.classes)) == (CLASSIFIER, ["1"], ["late", "punctual"])
    assert calling.describe(REGRESSOR).inputs[0].width == 3
