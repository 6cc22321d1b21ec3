"""A version that no server could make a typed service of is refused where it is exported, not where it is served."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from sardonyx.interface import number_tensors
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx.typed import form, typed_service
from sardonyx_exporter import SourceRefused, export
from sardonyx_exporter.generation import place
from sardonyx_exporter.service import check_interface

if TYPE_CHECKING:
    from pathlib import Path

    from sardonyx.typed import Form

MODEL = "wide"
#: More than a message holds, of any type.
MANY = 9000


def _inputs(count: int, datatype: pb.Datatype.ValueType = pb.DATATYPE_FP64) -> pb.Interface:
    return pb.Interface(inputs=[pb.Input(name=f"c{number}", datatype=datatype) for number in range(count)])


def _classes(count: int) -> pb.Interface:
    names = [f"class {number}" for number in range(count)]
    label = pb.Output(name="label", kind=pb.OUTPUT_KIND_LABEL, datatype=pb.DATATYPE_BYTES, classes=names)
    each = pb.Output(name="probabilities", kind=pb.OUTPUT_KIND_PROBABILITIES, datatype=pb.DATATYPE_FP64)
    each.classes.extend(names)
    each.width = count
    interface = _inputs(2)
    interface.outputs.extend([label, each])
    return interface


def _form(interface: pb.Interface) -> Form:
    return form(MODEL, "wide.v1", interface, number_tensors(interface, pb.Ledger()))


def _limit(interface: pb.Interface) -> int:
    """How many of them a refusal says that there may be."""
    with pytest.raises(SourceRefused) as refused:
        check_interface(MODEL, interface)
    found = re.search(r"protobuf takes ([0-9,]+) of them", refused.value.message)
    assert found is not None, refused.value.message
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("datatype", [pb.DATATYPE_FP64, pb.DATATYPE_FP32, pb.DATATYPE_BYTES, pb.DATATYPE_BOOL])
def test_the_limit_is_where_it_is_said(datatype: pb.Datatype.ValueType) -> None:
    """So many inputs as a refusal names cross the wire, each with its value; one more makes no message."""
    fit = _limit(_inputs(MANY, datatype))
    check_interface(MODEL, _inputs(fit, datatype))
    assert _limit(_inputs(fit + 1, datatype)) == fit
    typed = typed_service(_form(_inputs(fit, datatype)))
    value = {pb.DATATYPE_BYTES: "text", pb.DATATYPE_BOOL: True}.get(datatype, 0.5)
    request = typed.predict_request()
    for field in typed.form.inputs:
        setattr(request.features, field.name, value)
    read = typed.predict_request.FromString(request.SerializeToString())

    assert [getattr(read.features, field.name) for field in typed.form.inputs] == [value] * fit
    with pytest.raises(TypeError):
        typed_service(_form(_inputs(fit + 1, datatype)))


def test_so_many_classes_are_refused_as_classes() -> None:
    """Where each class has a field there may be as many as are named, and one more makes no message."""
    fit = _limit(_classes(MANY))
    check_interface(MODEL, _classes(fit))

    assert _limit(_classes(fit + 1)) == fit


def test_a_frame_of_too_many_columns_is_refused_and_an_array_is_not(tmp_path: Path, few_resamples: None) -> None:
    """The refusal comes before the conversion, publishes nothing and says what to do; that does."""
    random = np.random.default_rng(5)
    wide = pd.DataFrame(random.normal(size=(20, MANY)), columns=[f"c{number}" for number in range(MANY)])
    target = wide["c0"] * 2
    steps: list[str] = []

    def progress(step: str) -> None:
        steps.append(step)

    with pytest.raises(SourceRefused, match="Fit it on an array, such as") as refused:
        export(
            LinearRegression().fit(wide, target),
            name=MODEL,
            holdout=(wide, target),
            registry=tmp_path / "registry",
            progress=progress,
        )

    assert "The model has 9,000 inputs" in refused.value.message
    assert "one input of 9,000 columns" in refused.value.message
    assert steps == ["reading the model"]
    assert not (tmp_path / "registry").exists()
    check_interface(MODEL, pb.Interface(inputs=[pb.Input(name="features", datatype=pb.DATATYPE_FP64, width=MANY)]))


def test_what_is_published_is_what_is_made(tmp_path: Path) -> None:
    """The service of the version itself is made too, with the names of all that came before."""
    store = Registry(tmp_path, create=True)
    with pytest.raises(SourceRefused, match="protobuf takes"):
        place(store, MODEL, Manifest(interface=_inputs(MANY)), [])
