"""What the client gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sardonyx.prediction_id import PredictionId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output, as the server describes it.

    Attributes:
        name: its name.
        datatype: FP32, FP64, INT32, INT64, BOOL or BYTES; of servers that are not sardonyx, maybe another.
        width: 0 for one scalar a row, k for k values a row.
        optional: whether an input may be left out; then it is missing in every row.
    """

    name: str
    datatype: str
    width: int
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The interface of the version that a name and a version lead to.

    Attributes:
        name: the model.
        versions: the versions that are served now.
        inputs, outputs: the tensors in order.
        classes: the classes in the order of the probabilities, as text.
        properties: what else the server says.
    """

    name: str
    versions: Sequence[str]
    inputs: Sequence[TensorInfo]
    outputs: Sequence[TensorInfo]
    classes: Sequence[str]
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one prediction request.

    Attributes:
        model: who answered.
        version: its exact version.
        interface_major: the generation of its interface.
        route: why that version: live, canary or pinned.
        outputs: every output by name, shape [rows] or [rows, width].
        request_id: the id of the request, which outcomes are reported under.
        classes: the classes in the order of the probabilities, as text; empty for regression.
    """

    model: str
    version: int
    interface_major: int
    route: str
    outputs: Mapping[str, npt.NDArray[Any]]
    request_id: str
    classes: Sequence[str] = ()

    @property
    def labels(self) -> npt.NDArray[Any] | None:
        """The chosen classes, shape [rows]: text, int64 or bool. None for regression."""
        return self.outputs.get("label")

    @property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """Probabilities, float64, shape [rows, classes]. None where the model has none."""
        return self.outputs.get("probabilities")

    @property
    def values(self) -> npt.NDArray[np.float64] | None:
        """Estimated values, float64, shape [rows] or [rows, values]. None for classification."""
        return self.outputs.get("value")

    @property
    def prediction_ids(self) -> list[PredictionId]:
        """The id of each row, for ``Outcomes.report``."""
        return [PredictionId(self.request_id, row) for row in range(len(self))]

    def __len__(self) -> int:
        """How many rows were answered."""
        return len(next(iter(self.outputs.values()), ()))
