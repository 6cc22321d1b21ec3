"""Messages of the protocol as answers; requests are written by ``request``."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from sardonyx.client.answer import ModelInfo, Reply, TensorInfo
from sardonyx.client.arguments import whole
from sardonyx.errors import SardonyxError
from sardonyx.oip.tensors import decode_contents, decode_raw

if TYPE_CHECKING:
    from collections.abc import Container

    from sardonyx.oip import messages as oip

Array = npt.NDArray[Any]

#: A version's number.
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


def selector(version: str | int | None) -> str:
    """A version as the protocol names it; empty is what is live.

    Raises:
        InvalidInput: it is neither text nor a whole number.
    """
    if version is None or isinstance(version, str):
        return version or ""
    return str(whole("version", version, "a number such as 3, or text such as 'v2' or 'canary'"))


def read_reply(response: oip.ModelInferResponse, info: ModelInfo) -> Reply:
    """An answer of raw or typed tensors; any server of the protocol may have written it.

    Raises:
        SardonyxError: the tensors are not what they say.
    """
    try:
        outputs = _outputs(response)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise SardonyxError(f"The server's answer cannot be read: {error!r}. Ask whoever runs it.") from error
    return Reply(
        model=response.model_name,
        # Another server's may be any text.
        version=int(response.model_version) if _NUMBER.fullmatch(response.model_version) else 0,
        interface_major=response.parameters["sardonyx_interface_major"].int64_param,
        route=response.parameters["sardonyx_route"].string_param,
        outputs=outputs,
        classes=info.classes,
    )


def _outputs(response: oip.ModelInferResponse) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    for index, tensor in enumerate(response.outputs):
        shape = tuple(tensor.shape)
        if response.raw_output_contents:
            values = decode_raw(tensor.datatype, response.raw_output_contents[index], math.prod(shape))
        else:
            values = decode_contents(tensor.datatype, tensor.contents, math.prod(shape))
        outputs[tensor.name] = values.reshape(shape)
    return outputs


def read_metadata(response: oip.ModelMetadataResponse) -> ModelInfo:
    """A model's interface."""
    properties = dict(response.properties)
    optional = frozenset(json.loads(properties.get("sardonyx_optional_inputs", "[]")))
    return ModelInfo(
        name=response.name,
        versions=tuple(response.versions),
        inputs=tuple(_tensor(tensor, optional) for tensor in response.inputs),
        outputs=tuple(_tensor(tensor) for tensor in response.outputs),
        classes=tuple(json.loads(properties.get("sardonyx_classes", "[]"))),
        properties=properties,
    )


def _tensor(tensor: oip.ModelMetadataResponse.TensorMetadata, optional: Container[str] = ()) -> TensorInfo:
    width = tensor.shape[1] if len(tensor.shape) == 2 else 0
    return TensorInfo(tensor.name, tensor.datatype, max(width, 0), tensor.name in optional)
