"""What the client gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

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


class Reply(NamedTuple):
    """What a server answered to a request, of one caller or of several.

    Attributes:
        model, version, interface_major, route, classes: as in Answer.
        outputs: every output by name, shape [rows] or [rows, width].
    """

    model: str
    version: int
    interface_major: int
    route: str
    outputs: Mapping[str, npt.NDArray[Any]]
    classes: Sequence[str]

    @property
    def rows(self) -> int:
        """How many rows the first output has."""
        return len(next(iter(self.outputs.values()), ()))

    def holds(self, rows: int) -> bool:
        """Whether each output has so many rows."""
        return all(len(values) == rows for values in self.outputs.values())


class Answer:
    """The answer to one prediction request; made by the clients.

    Callers whose calls shared a request share its reply, and each output is cut for a caller when it is asked for: most
    callers want one of them.

    Attributes:
        request_id: the id of the request, which outcomes are reported under.
    """

    __slots__ = ("_reply", "_start", "_stop", "request_id")

    def __init__(self, reply: Reply, request_id: str, start: int, stop: int) -> None:
        self._reply = reply
        self._start = start
        self._stop = stop
        self.request_id = request_id

    @property
    def model(self) -> str:
        """Who answered."""
        return self._reply.model

    @property
    def version(self) -> int:
        """Its exact version."""
        return self._reply.version

    @property
    def interface_major(self) -> int:
        """The generation of its interface."""
        return self._reply.interface_major

    @property
    def route(self) -> str:
        """Why that version: live, canary or pinned."""
        return self._reply.route

    @property
    def classes(self) -> Sequence[str]:
        """The classes in the order of the probabilities, as text; empty for regression."""
        return self._reply.classes

    @property
    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """Every output by name, shape [rows] or [rows, width]."""
        return {name: values[self._start : self._stop] for name, values in self._reply.outputs.items()}

    @property
    def labels(self) -> npt.NDArray[Any] | None:
        """The chosen classes, shape [rows]: text, int64 or bool. None for regression."""
        return self._output("label")

    @property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """Probabilities, float64, shape [rows, classes]. None where the model has none."""
        return self._output("probabilities")

    @property
    def values(self) -> npt.NDArray[np.float64] | None:
        """Estimated values, float64, shape [rows] or [rows, values]. None for classification."""
        return self._output("value")

    @property
    def prediction_ids(self) -> list[PredictionId]:
        """The id of each row, for ``Outcomes.report``."""
        return [PredictionId(self.request_id, row) for row in range(len(self))]

    def _output(self, name: str) -> npt.NDArray[Any] | None:
        values = self._reply.outputs.get(name)
        return None if values is None else values[self._start : self._stop]

    def __len__(self) -> int:
        """How many rows were answered."""
        return self._stop - self._start

    def __repr__(self) -> str:
        """All of it, for a notebook or a log."""
        about = f"model={self.model!r}, version={self.version}, route={self.route!r}, request_id={self.request_id!r}"
        return f"Answer({about}, outputs={self.outputs!r})"
