"""Columns as requests, responses as answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sardonyx.client.answer import Answer, ModelInfo, TensorInfo
from sardonyx.errors import InvalidInput, Violation
from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import decode_contents, decode_raw, encode_raw

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = npt.NDArray[Any]


def selector(version: str | int | None) -> str:
    """A version as the protocol names it; empty is what is live."""
    return "" if version is None else str(version)


def infer_request(
    info: ModelInfo, version: str, columns: Mapping[str, Array], prediction_id: str
) -> oip.ModelInferRequest:
    """A request with raw tensors."""
    request = oip.ModelInferRequest(model_name=info.name, model_version=version, id=prediction_id)
    for tensor in info.inputs:
        values = columns[tensor.name]
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=values.shape)
        try:
            request.raw_input_contents.append(encode_raw(tensor.datatype, values))
        except UnicodeEncodeError as error:
            unsendable = f"{error.object[error.start : error.end]!r} is no text that UTF-8 can hold. Replace it."
            raise InvalidInput([Violation(f"inputs[{tensor.name}]", unsendable)]) from None
    return request


def read_answer(response: oip.ModelInferResponse, info: ModelInfo) -> Answer:
    """An answer from raw or typed tensors; any server of the protocol may have written it."""
    outputs: dict[str, Array] = {}
    for index, tensor in enumerate(response.outputs):
        shape = tuple(tensor.shape)
        count = int(np.prod(shape, dtype=np.int64))
        if response.raw_output_contents:
            values = decode_raw(tensor.datatype, response.raw_output_contents[index], count)
        else:
            values = decode_contents(tensor.datatype, tensor.contents, count)
        outputs[tensor.name] = values.reshape(shape)
    return Answer(
        model=response.model_name,
        version=int(response.model_version) if response.model_version.isdigit() else 0,
        interface_major=response.parameters["sardonyx_interface_major"].int64_param,
        route=response.parameters["sardonyx_route"].string_param,
        outputs=outputs,
        request_id=response.id,
        classes=info.classes,
    )


def read_metadata(response: oip.ModelMetadataResponse) -> ModelInfo:
    """A model's interface."""
    properties = dict(response.properties)
    return ModelInfo(
        name=response.name,
        versions=tuple(response.versions),
        inputs=tuple(_tensor(tensor) for tensor in response.inputs),
        outputs=tuple(_tensor(tensor) for tensor in response.outputs),
        classes=tuple(json.loads(properties.get("sardonyx_classes", "[]"))),
        properties=properties,
    )


def _tensor(tensor: oip.ModelMetadataResponse.TensorMetadata) -> TensorInfo:
    width = tensor.shape[1] if len(tensor.shape) == 2 else 0
    return TensorInfo(tensor.name, tensor.datatype, max(width, 0))
