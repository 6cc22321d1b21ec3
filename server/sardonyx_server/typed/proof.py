"""Whether a version's own service reads a request as the Open Inference Protocol's does: by the golden rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sardonyx.errors import InvalidInput
from sardonyx.interface import DATATYPE_NAMES
from sardonyx.oip.messages import ModelInferRequest
from sardonyx.oip.tensors import encode_raw
from sardonyx_server.batcher import Batcher, Limits, RowQueue
from sardonyx_server.life import golden
from sardonyx_server.served import Served
from sardonyx_server.telemetry.record import Record
from sardonyx_server.typed.questions import ColumnsQuestion, RowQuestion
from sardonyx_server.typed.services import Generation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx.typed import TypedService
    from sardonyx_server.bounds import Bounds
    from sardonyx_server.life.loader import Loaded

    Array = npt.NDArray[Any]


class ServiceDiffers(Exception):
    """A version's own service does not read what the Open Inference Protocol reads; the text is for the operator."""


def prove(loaded: Loaded, typed: TypedService, bounds: Bounds) -> None:
    """Send the golden rows through both forms and as tensors, and compare what the graph would be given.

    The answers are written in both forms too.

    Args:
        loaded: a version.
        typed: the messages of its own service.
        bounds: how large a request may be.

    Raises:
        ServiceDiffers: a form refuses golden rows, or reads other values.
    """
    batcher = Batcher(loaded.session, loaded.cost, RowQueue(bounds.rows_max), Limits())
    served = Served(loaded.manifest, typed, batcher, bounds, lambda: None)
    generation = Generation.of(loaded.manifest.model, loaded.manifest.interface_major, typed, bounds)
    values = golden.inputs_of(loaded.manifest)
    try:
        expected = served.decoder.decode(_tensors(loaded, values)).feed
        _compare("columns", ColumnsQuestion(generation, _columns(generation, values)), served, expected)
        for row in range(golden.rows_of(loaded.manifest)):
            one = {name: array[row : row + 1] for name, array in values.items()}
            alone = {tensor: array[row : row + 1] for tensor, array in expected.items()}
            _compare(f"row {row}", RowQuestion(generation, _row(generation, one)), served, alone)
    except InvalidInput as error:
        raise ServiceDiffers(f"Callers may not send the golden rows: {error.message} Export it again.") from error


def _compare(what: str, question: RowQuestion | ColumnsQuestion, served: Served, expected: Mapping[str, Array]) -> None:
    feed, _, _ = question.decode(served)
    for tensor, array in expected.items():
        if not np.array_equal(feed[tensor], array, equal_nan=array.dtype.kind == "f"):
            raise ServiceDiffers(
                f"Its own service reads the golden rows otherwise than the Open Inference Protocol does: {what}, tensor"
                f" {tensor!r}. Export the version again."
            )
    question.encode(served, served.batcher.turns.run_now(feed).outputs, Record(what))


def _tensors(loaded: Loaded, values: Mapping[str, Array]) -> ModelInferRequest:
    request = ModelInferRequest(model_name=loaded.manifest.model)
    for tensor in loaded.manifest.interface.inputs:
        datatype, array = DATATYPE_NAMES[tensor.datatype], values[tensor.name]
        request.inputs.add(name=tensor.name, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(encode_raw(datatype, array))
    return request


def _row(generation: Generation, values: Mapping[str, Array]) -> bytes:
    request = generation.typed.predict_request()
    for field in generation.typed.form.inputs:
        found = values[field.tensor.name].ravel().tolist()
        if field.tensor.width:
            getattr(request.features, field.name).extend(found)
        else:
            setattr(request.features, field.name, found[0])
    written: bytes = request.SerializeToString()
    return written


def _columns(generation: Generation, values: Mapping[str, Array]) -> bytes:
    request = generation.typed.batch_request()
    for field in generation.typed.form.inputs:
        getattr(request.columns, field.name).extend(values[field.tensor.name].ravel().tolist())
    written: bytes = request.SerializeToString()
    return written
