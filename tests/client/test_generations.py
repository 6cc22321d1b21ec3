"""A model's default moves to another interface while its callers are at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from client import plain
from client.plain import Plain
from client.test_predict import Kind, both
from sardonyx_exporter import export, promote
from server.scene import ALONE, array_of, wait_until
from support.programs import running_server

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "ticket"


def _publish(registry: Path, classes: tuple[str, str]) -> LogisticRegression:
    """Export a classifier of three numbers, whose inputs are those of every other one."""
    array = array_of(seed=1, rows=300)
    truth = np.where(array.sum(axis=1) > 0, *classes)
    model = LogisticRegression().fit(array, truth)
    version = export(model, name=MODEL, holdout=(array, truth), registry=str(registry)).version
    promote(MODEL, version, registry=str(registry), default_major=True)
    return model


@both
def test_classes_are_those_of_the_version_that_answered(kind: Kind, tmp_path: Path) -> None:
    """A caller whose requests fit the next interface too names its probabilities by the classes that it has."""
    row = array_of(seed=2, rows=1)
    old = _publish(tmp_path, ("high", "low"))
    with running_server(tmp_path, *ALONE, "--poll-interval-s", "0.1") as address:
        client = kind(address)
        wait_until(lambda: client.ready(MODEL), "the model is ready")
        answer = client.predict(MODEL, row)
        assert (answer.interface_major, list(answer.classes)) == (1, old.classes_.tolist())
        new = _publish(tmp_path, ("urgent", "low"))
        wait_until(lambda: client.predict(MODEL, row).version == 2, "the default has moved")
        for data in (row, np.repeat(row, 100, axis=0)):
            answer = client.predict(MODEL, data)
            assert (answer.interface_major, list(answer.classes)) == (2, new.classes_.tolist())
            assert answer.probabilities is not None
            np.testing.assert_allclose(answer.probabilities, new.predict_proba(data), rtol=1e-4)
        answer = client.predict(MODEL, row, version="v1")
        assert (answer.interface_major, list(answer.classes)) == (1, old.classes_.tolist())
        client.close()


@both
@pytest.mark.parametrize("shares", [{"sardonyx_version": "1"}, {}], ids=["shared", "alone"])
def test_a_version_is_named_by_who_has_it(kind: Kind, shares: dict[str, str]) -> None:
    """While some follow the default sooner than others no answer is lost: somebody who has the version is asked."""
    properties = [{**shares, "sardonyx_interface_major": str(n), "sardonyx_classes": f'["{n}"]'} for n in (1, 2)]
    servers = [Plain(properties[0]), Plain(properties[0])]
    with plain.running(servers[0]) as first, plain.running(servers[1]) as second:
        client: Any = kind([first, second], connections=1)
        for _ in range(2):
            assert client.predict(plain.MODEL, {"x": 1.0}).classes == ("1",)
        servers[0].version, servers[0].properties = "2", properties[1]
        answers = [client.predict(plain.MODEL, {"x": 1.0}) for _ in range(6)]
        client.close()
    assert {(answer.version, answer.classes) for answer in answers} == {(1, ("1",)), (2, ("2",))}
