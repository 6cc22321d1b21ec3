"""What the author states of inputs, and no model can be asked: what they mean, and what callers may send."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx.errors import nearest
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx_exporter.errors import SourceRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sardonyx.registry.v1.interface_pb2 import Interface
    from sardonyx_exporter.source import Source

#: A refusal names so many inputs.
_NAMES_MAX: Final = 10

Range = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Statements:
    """What is stated, held to the hold-out before anything takes time.

    Attributes:
        optional: the inputs that callers may leave out.
        ranges: the least and the greatest value that callers may send; None: any.
        units: what a number counts.
        descriptions: what the input means.
    """

    optional: Collection[str]
    ranges: Mapping[str, Range]
    units: Mapping[str, str]
    descriptions: Mapping[str, str]

    @classmethod
    def of(
        cls,
        source: Source,
        optional: Collection[str],
        ranges: Mapping[str, Range],
        units: Mapping[str, str],
        descriptions: Mapping[str, str],
    ) -> Statements:
        """The statements, checked.

        Raises:
            SourceRefused: one is of no input of the model, is not of its kind, or the hold-out contradicts it.
        """
        known = [spec.name for spec in source.inputs]
        if isinstance(optional, str):
            raise SourceRefused(f"optional is the text {optional!r}. Give a list of inputs: optional=[{optional!r}].")
        given = {"optional": optional, "ranges": ranges, "units": units, "descriptions": descriptions}
        for argument, names in given.items():
            _check_names(known, argument, names)
        _check_texts("units", units)
        _check_texts("descriptions", descriptions)
        pairs = {name: _pair(name, bounds) for name, bounds in ranges.items()}
        for name, bounds in pairs.items():
            _check_range(name, bounds, source.values[name])
        return cls(optional, pairs, units, descriptions)

    def write(self, interface: Interface) -> None:
        """Write them into the interface.

        Raises:
            SourceRefused: an input may be left out whose missing values the model refuses.
        """
        for tensor in interface.inputs:
            tensor.unit = self.units.get(tensor.name, "")
            tensor.description = self.descriptions.get(tensor.name, "")
            low, high = self.ranges.get(tensor.name, (None, None))
            if low is not None:
                tensor.minimum = low
            if high is not None:
                tensor.maximum = high
            if tensor.name in self.optional:
                _check_may_miss(tensor)
                tensor.optional = True


def _check_names(known: list[str], argument: str, names: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            near = nearest(str(name), known, limit=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            more = f" and {len(known) - _NAMES_MAX} more" if len(known) > _NAMES_MAX else ""
            listed = f"The inputs are {', '.join(map(repr, known[:_NAMES_MAX]))}{more}."
            raise SourceRefused(f"The model has no input {name!r}, named in {argument}. {hint}{listed}")


def _check_texts(argument: str, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        if not isinstance(text, str):
            raise SourceRefused(f"In {argument}, {name!r} has {text!r}, which is no text. Write it as one.")


def _pair(name: str, bounds: Any) -> Range:
    is_pair = isinstance(bounds, tuple | list) and len(bounds) == 2
    if not is_pair or not all(bound is None or isinstance(bound, Real) for bound in bounds):
        raise SourceRefused(
            f"In ranges, {name!r} has {bounds!r}. Give the least and the greatest value, such as (0, 24) or (0, None)."
        )
    low, high = bounds
    # Infinity is no bound.
    return None if low == -math.inf else low, None if high == math.inf else high


def _check_range(name: str, bounds: Range, values: npt.NDArray[Any]) -> None:
    if values.dtype.kind not in "iuf":
        raise SourceRefused(f"Input {name!r} has no numbers, and no range. Leave it out of the ranges.")
    low, high = (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])
    if math.isnan(low) or math.isnan(high) or low > high:
        raise SourceRefused(f"The range of input {name!r} goes from {low} to {high}. Give the lesser number first.")
    outside = np.flatnonzero(
        (values.reshape(len(values), -1) < low).any(axis=1) | (values.reshape(len(values), -1) > high).any(axis=1)
    )
    if len(outside):
        raise SourceRefused(
            f"Input {name!r} goes from {low} to {high}, and {len(outside)} rows of the hold-out lie outside, first row"
            f" {outside[0]}. Widen the range, or leave those rows out."
        )


def _check_may_miss(tensor: pb.Input) -> None:
    if tensor.missing != pb.MISSING_POLICY_ALLOWED:
        raise SourceRefused(
            f"Input {tensor.name!r} cannot be left out: the model, or its ONNX form, does not answer a missing value"
            " there. Put a SimpleImputer before it, or leave it out of the optional ones."
        )
