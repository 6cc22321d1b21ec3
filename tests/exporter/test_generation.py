"""A version joins the generation of those whom it may answer, and is never led to any others."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sardonyx.errors import InvalidInput, RuleBroken
from sardonyx.registry import Registry
from sardonyx.registry.v1.settings_pb2 import Settings
from sardonyx.typed import form_of, schema, text
from sardonyx.verdict import Kind
from sardonyx_exporter import SourceRefused, canary, export, promote, rollback, shadow

if TYPE_CHECKING:
    from pathlib import Path

    from sardonyx_exporter import ExportResult

Frame = tuple[pd.DataFrame, "pd.Series[Any]"]

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def registry(tmp_path: Path) -> str:
    """Where versions go; it does not exist yet."""
    return str(tmp_path / "registry")


def _with(frame: pd.DataFrame, extra: tuple[str, ...]) -> pd.DataFrame:
    random = np.random.default_rng(7)
    return frame.assign(**{name: random.normal(size=len(frame)) for name in extra})


def _model(train: Frame, *extra: str) -> Pipeline:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore")
    prepare = make_column_transformer((numbers, ["distance", "hour", *extra]), (encoder, ["carrier"]))
    return make_pipeline(prepare, LogisticRegression()).fit(_with(train[0], extra), train[1])


def _export(registry: str, train: Frame, holdout: Frame, *extra: str, **options: Any) -> ExportResult:
    rows = _with(holdout[0], extra)
    return export(_model(train, *extra), name="m", holdout=(rows, holdout[1]), registry=registry, **options)


def test_an_optional_input_joins_the_generation(registry: str, train: Frame, holdout: Frame) -> None:
    """A version that adds what callers may leave out is compatible, and may be promoted over the one before."""
    _export(registry, train, holdout)
    promote("m", 1, registry=registry)
    second = _export(registry, train, holdout, "wind", optional=["wind"])
    promote("m", 2, registry=registry)

    assert (second.verdict.kind, second.manifest.interface_major) == (Kind.COMPATIBLE, 1)
    assert [reason.rule for reason in second.verdict.reasons] == ["OPTIONAL_INPUT_ADDED"]
    assert Registry(registry).routes("m").live_versions == (2,)
    assert form_of(second.manifest).package == "m.v1"


def test_a_required_input_begins_the_next_generation(registry: str, train: Frame, holdout: Frame) -> None:
    """A version that needs more than callers send is breaking, and both generations go on side by side."""
    _export(registry, train, holdout)
    promote("m", 1, registry=registry)
    second = _export(registry, train, holdout, "wind")
    promote("m", 2, registry=registry)
    third = _export(registry, train, holdout)
    fourth = _export(registry, train, holdout, "wind", "rain", optional=["rain"])

    assert (second.verdict.kind, second.manifest.interface_major) == (Kind.BREAKING, 2)
    assert Registry(registry).routes("m").live_versions == (1, 2)
    assert (third.verdict.kind, third.manifest.interface_major) == (Kind.RETRAIN, 1)
    # Compatible with the second, though breaking for the first, whose generation is the default.
    assert (fourth.verdict.kind, fourth.manifest.interface_major) == (Kind.COMPATIBLE, 2)
    assert fourth.manifest.verdict.version == 2


def test_what_a_generation_does_without_is_reserved(registry: str, train: Frame, holdout: Frame) -> None:
    """Names of earlier generations keep their numbers for ever, and the text of a generation stays as it was."""
    _export(registry, train, holdout, "wind")
    promote("m", 1, registry=registry)
    second = _export(registry, train, holdout)
    promote("m", 2, registry=registry)
    _export(registry, train, holdout, "rain")
    fourth = _export(registry, train, holdout)

    assert second.manifest.interface_major == fourth.manifest.interface_major == 2
    assert [entry.name for entry in second.manifest.typed_service.dropped.entries] == ["wind"]
    assert text(schema(form_of(second.manifest))) == text(schema(form_of(fourth.manifest)))
    assert 'reserved "wind";' in text(schema(form_of(fourth.manifest)))


def test_a_candidate_that_nobody_calls_binds_nobody(registry: str, train: Frame, holdout: Frame) -> None:
    """What was exported and never promoted is no promise: the next version is held to what is live."""
    _export(registry, train, holdout)
    promote("m", 1, registry=registry)
    candidate = _export(registry, train, holdout, "wind", optional=["wind"])
    retrained = _export(registry, train, holdout)

    assert candidate.manifest.interface_major == 1
    assert (retrained.verdict.kind, retrained.manifest.interface_major) == (Kind.RETRAIN, 1)


def test_before_anything_is_live_prototypes_share_a_generation(registry: str, train: Frame, holdout: Frame) -> None:
    """A prototype goes back to an interface that it had before without beginning another generation."""
    _export(registry, train, holdout)
    _export(registry, train, holdout, "wind")
    third = _export(registry, train, holdout)

    assert (third.verdict.kind, third.manifest.interface_major) == (Kind.RETRAIN, 1)


def test_callers_are_never_led_to_what_does_not_answer_them(registry: str, train: Frame, holdout: Frame) -> None:
    """Two candidates of one generation that contradict each other cannot follow one another: no route leads there."""
    _export(registry, train, holdout)
    promote("m", 1, registry=registry)
    _export(registry, train, holdout, "wind", optional=["wind"])
    _export(registry, train, holdout, "rain", optional=["rain"])
    promote("m", 2, registry=registry)
    for act in (promote, partial(canary, percent=10), partial(shadow, percent=10)):
        with pytest.raises(RuleBroken, match="would break those who call v1, where version 2 is live") as caught:
            act("m", 3, registry=registry)
        assert caught.value.differences == ("input 'wind' is gone",)

    assert Registry(registry).routes("m").live_versions == (2,)
    again = _export(registry, train, holdout, "rain", optional=["rain"])
    assert again.manifest.interface_major == 2
    # Back is always allowed: it is where callers were before.
    assert rollback("m", registry=registry).version == 1


def test_what_was_rolled_back_from_keeps_its_meaning(registry: str, train: Frame, holdout: Frame) -> None:
    """Who compiled a version that was taken back may still send what it added: it means the same or is refused."""
    wind = ("wind",)
    _export(registry, train, holdout)
    promote("m", 1, registry=registry)
    _export(registry, train, holdout, *wind, optional=wind, units={"wind": "kn"})
    candidate = _export(registry, train, holdout, *wind, optional=wind, units={"wind": "km/h"})
    promote("m", 2, registry=registry)
    rollback("m", registry=registry)

    for act in (promote, partial(canary, percent=10), partial(shadow, percent=10)):
        with pytest.raises(RuleBroken, match="would break those who call v1, where version 2 was live") as caught:
            act("m", candidate.manifest.version, registry=registry)
        assert caught.value.differences == ("input 'wind' is in km/h and was in kn",)
    again = _export(registry, train, holdout, *wind, optional=wind, units={"wind": "km/h"})
    assert (again.verdict.kind, again.manifest.verdict.version) == (Kind.BREAKING, 2)
    assert again.manifest.interface_major == 2
    same = _export(registry, train, holdout, *wind, optional=wind, units={"wind": "kn"})
    assert (same.verdict.kind, same.manifest.interface_major) == (Kind.COMPATIBLE, 1)
    without = _export(registry, train, holdout)
    assert (without.verdict.kind, without.manifest.interface_major) == (Kind.RETRAIN, 1)
    assert promote("m", without.manifest.version, registry=registry).changed


# --------------------------------------------------------------------------------------------------- what authors state


def test_what_authors_state_reaches_callers(registry: str, train: Frame, holdout: Frame) -> None:
    """Units, ranges and descriptions stand in the interface and in the .proto."""
    result = _export(
        registry,
        train,
        holdout,
        units={"distance": "mi"},
        ranges={"hour": (0, 23), "distance": (None, 99.5)},
        descriptions={"hour": "Local time."},
    )
    said = text(schema(form_of(result.manifest)))

    assert 'Input "distance", in mi. At most 99.5.' in said
    assert 'Input "hour". Local time. From 0 to 23.' in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optional": ["carrier"]}, "'carrier' cannot be left out: the model, or its ONNX form"),
        ({"optional": ["hour"]}, "'hour' cannot be left out"),
        ({"optional": ["distanc"]}, "has no input 'distanc', named in optional. Did you mean 'distance'?"),
        ({"ranges": {"zzz": (0, 1)}}, "The model has no input 'zzz', named in ranges. The inputs are 'distance'"),
        ({"descriptions": {"zzz": "any"}}, "The model has no input 'zzz', named in descriptions."),
        ({"optional": "hour"}, "optional is the text 'hour'. Give a list of inputs: optional=['hour']."),
        ({"tolerance": -1}, "-1 is no tolerance: it would prove nothing."),
        ({"tolerance": np.nan}, "nan is no tolerance: it would prove nothing."),
        ({"tolerance": np.inf}, "inf is no tolerance"),
        ({"ranges": {"hour": (np.inf, None)}}, "Input 'hour' goes from inf to inf, and 120 rows"),
        ({"ranges": {"hour": 5}}, "In ranges, 'hour' has 5. Give the least and the greatest value, such as"),
        ({"ranges": {"hour": (1, 2, 3)}}, "In ranges, 'hour' has (1, 2, 3). Give the least"),
        ({"ranges": {"hour": ("a", 2)}}, "In ranges, 'hour' has ('a', 2). Give the least"),
        ({"units": {"hour": 5}}, "In units, 'hour' has 5, which is no text. Write it as one."),
        ({"descriptions": {"hour": None}}, "In descriptions, 'hour' has None, which is no text."),
        ({"units": {"x": "mi"}}, "no input 'x', named in units. The inputs are 'distance', 'hour', 'carrier'."),
        ({"ranges": {"carrier": (0, 1)}}, "'carrier' has no numbers, and no range"),
        ({"ranges": {"hour": (5, 3)}}, "goes from 5 to 3. Give the lesser number first."),
        ({"ranges": {"hour": (0, 5)}}, "rows of the hold-out lie outside, first row"),
    ],
)
def test_what_cannot_be_is_refused(
    registry: str, train: Frame, holdout: Frame, options: dict[str, Any], said: str
) -> None:
    """A statement that the model or the hold-out contradicts is refused before anything is published."""
    with pytest.raises(SourceRefused, match=re.escape(said)):
        _export(registry, train, holdout, **options)

    assert Registry(registry, create=True).versions("m") == []


def test_infinity_is_no_bound(registry: str, train: Frame, holdout: Frame) -> None:
    """A range without ends is none: nothing is written that a later version would widen."""
    manifest = _export(registry, train, holdout, ranges={"hour": (-np.inf, np.inf)}).manifest

    assert not any(each.HasField("minimum") or each.HasField("maximum") for each in manifest.interface.inputs)


# ------------------------------------------------------------------------------------------------------------ packages


def test_a_registrys_prefix_stands_before_its_packages(registry: str, train: Frame, holdout: Frame) -> None:
    """It is settled once, and each generation keeps the package that it began with."""
    _export(registry, train, holdout)
    store = Registry(registry)
    store.settle(Settings(proto_prefix="acme.models"))
    store.settle(Settings(proto_prefix="acme.models"))
    packages = [_export(registry, train, holdout, *extra).manifest.typed_service.package for extra in ((), ("wind",))]

    assert packages == ["m.v1", "acme.models.m.v2"]
    with pytest.raises(RuleBroken, match="has settings already"):
        store.settle(Settings(proto_prefix="other"))


def test_settings_that_name_no_package_are_refused(registry: str, train: Frame, holdout: Frame) -> None:
    """A prefix that was written by hand and is none stops an export before anything is published."""
    Registry(registry, create=True).settle(Settings(proto_prefix="No Package"))
    with pytest.raises(InvalidInput, match="is no package"):
        _export(registry, train, holdout)

    assert Registry(registry).versions("m") == []
