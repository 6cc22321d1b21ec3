"""Why a model is not registered.

::

    SardonyxError
    └── ExportRefused          nothing was published; the message says what to do
        ├── SourceRefused      the model or the hold-out is not what an export needs
        ├── ConversionFailed   no strategy gives a graph that ONNX Runtime loads
        └── ParityFailed       the graph does not answer as the model does; it carries the worst rows
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sardonyx.errors import SardonyxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx.registry.v1.manifest_pb2 import WorstRow


def cause(error: Exception) -> str:
    """What another library says of a failure, as a part of a sentence; it may say nothing but its kind."""
    said = " ".join(str(error).split()).rstrip(". ")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class ExportRefused(SardonyxError):
    """Base of the reasons: nothing was published."""


class SourceRefused(ExportRefused):
    """The model or its hold-out data cannot be exported as they are."""


class ConversionFailed(ExportRefused):
    """The model has no ONNX form that ONNX Runtime loads."""


class ParityFailed(ExportRefused):
    """The ONNX form answers differently; ``worst`` holds the rows farthest apart, worst first."""

    def __init__(self, message: str, worst: Sequence[WorstRow]) -> None:
        self.worst = tuple(worst)
        super().__init__(message)
