"""The replay of golden rows: what the exporter proved is served, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from sardonyx.registry import Registry
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx_exporter import export
from sardonyx_server.life import golden
from sardonyx_server.life.loader import LoadFailed
from server.loaded import load_served

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "even"


def _even_forest(registry: Path, classes: list[Any]) -> Manifest:
    """Ten trees are five against five in one row of ten: single precision then decides for either class."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3))
    truth = np.array(classes)[(rows[:, 0] + rng.normal(size=400) > 0).astype(int)]
    forest = RandomForestClassifier(10, random_state=0).fit(rows[:200], truth[:200])
    manifest = export(forest, name=MODEL, holdout=(rows[200:], truth[200:]), registry=str(registry)).manifest
    assert manifest.parity.tied_rows
    return manifest


@pytest.mark.parametrize("classes", [[False, True], [20, 10], ["on time", "late"]], ids=["bool", "integer", "text"])
def test_a_tie_that_the_exporter_accepted_is_served(tmp_path: Path, classes: list[Any]) -> None:
    """The graph's label is another than the source model's in a golden row, and both are as likely: it loads."""
    manifest = _even_forest(tmp_path, classes)
    served = load_served(tmp_path, MODEL, 1)

    answered = served.batcher.turns.run_now(golden.feed_of(manifest)).outputs[0].tolist()
    column = manifest.golden.outputs[0]
    said = list(getattr(column, str(column.WhichOneof("values"))).values)
    assert len(said) == len(answered)
    assert said != answered


def test_another_label_where_one_class_is_likelier_is_refused(tmp_path: Path) -> None:
    """Probabilities that are right excuse no label that is wrong."""
    manifest = Manifest()
    manifest.CopyFrom(_even_forest(tmp_path, [False, True]))
    labels, probabilities = (column for column in manifest.golden.outputs)
    row = int(np.argmax(probabilities.doubles.values[::2]))
    labels.booleans.values[row] = not labels.booleans.values[row]
    store = Registry(str(tmp_path))
    store.publish(MODEL, store.blob(manifest.artifact), lambda _versions: manifest)

    with pytest.raises(
        LoadFailed, match=f"1 of 32 golden rows differ on this host's runtime: row {row}, output 'label'"
    ):
        load_served(tmp_path, MODEL, 2)
