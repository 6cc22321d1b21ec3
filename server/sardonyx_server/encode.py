"""From a session's outputs to a ModelInferResponse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from sardonyx.errors import InvalidInput, Violation, nearest
from sardonyx.interface import DATATYPE_NAMES
from sardonyx.oip.messages import ModelInferResponse
from sardonyx.oip.tensors import encode_contents, encode_raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx.oip.messages import ModelInferRequest
    from sardonyx.registry.v1.manifest_pb2 import Manifest

Array = npt.NDArray[Any]


class Encoder:
    """Writes answers of one version."""

    def __init__(self, manifest: Manifest) -> None:
        self._outputs = [(output.name, DATATYPE_NAMES[output.datatype]) for output in manifest.interface.outputs]
        self._positions = {name: position for position, (name, _) in enumerate(self._outputs)}
        self._all = list(range(len(self._outputs)))
        self._template = ModelInferResponse(model_name=manifest.model, model_version=str(manifest.version))
        self._template.parameters["sardonyx_interface_major"].int64_param = manifest.interface_major

    def requested(self, request: ModelInferRequest) -> list[int]:
        """The positions of the outputs that a request asks for; all of them where it names none.

        Raises:
            InvalidInput: there is no such output.
        """
        if not request.outputs:
            return self._all
        unknown = [output.name for output in request.outputs if output.name not in self._positions]
        if unknown:
            raise InvalidInput([self._unknown(name) for name in unknown])
        return [self._positions[output.name] for output in request.outputs]

    def encode(
        self, outputs: Sequence[Array], positions: list[int], prediction_id: str, route: str, *, raw: bool
    ) -> bytes:
        """The answer's bytes.

        Args:
            outputs: an array for each output of the interface.
            positions: which of them to send, in this order.
            prediction_id: the request's.
            route: why this version answered.
            raw: as raw bytes, or as typed contents.
        """
        response = ModelInferResponse()
        response.CopyFrom(self._template)
        response.id = prediction_id
        response.parameters["sardonyx_route"].string_param = route
        for position in positions:
            name, datatype = self._outputs[position]
            values = outputs[position]
            tensor = response.outputs.add(name=name, datatype=datatype, shape=values.shape)
            if raw:
                response.raw_output_contents.append(encode_raw(datatype, values))
            else:
                encode_contents(datatype, values, tensor.contents)
        return response.SerializeToString()

    def _unknown(self, name: str) -> Violation:
        near = nearest(name, self._positions)
        hint = f"Did you mean {near[0]!r}?" if near else f"The outputs are {', '.join(self._positions)}."
        return Violation(f"outputs[{name}]", f"there is no such output. {hint}")
