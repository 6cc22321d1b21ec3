"""The inputs of a version: what each must be, and whether values are that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx.errors import Violation, nearest
from sardonyx.interface import DATATYPE_NAMES, dtype_of
from sardonyx.registry.v1.interface_pb2 import MISSING_POLICY_ALLOWED, UNKNOWN_CATEGORY_POLICY_REFUSED

if TYPE_CHECKING:
    from sardonyx.registry.v1.interface_pb2 import Input
    from sardonyx.registry.v1.manifest_pb2 import Binding
    from sardonyx_server.bounds import Bounds

Array = npt.NDArray[Any]

#: How many rows of one input are named as wrong before the rest are only counted.
ROWS_NAMED_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be checked of one input, looked up once.

    Attributes:
        name: the input's.
        datatype: the protocol's name of its type.
        width: 0: one value a row; else so many.
        tensor: the graph's name of it.
        dtype: what it is sent as.
        graph_dtype: what the graph takes.
        limit: what a number must be below in size: a graph may compute in single precision what is sent in double.
        low, high: what a number must not be below and above; infinite where the interface does not say.
        may_miss: whether a number may be NaN.
        optional: whether the whole input may be left out; then it is missing in every row.
        categories: what a text must be; None: any.
        bounds: how large a request may be.
    """

    name: str
    datatype: str
    width: int
    tensor: str
    dtype: np.dtype[Any]
    graph_dtype: np.dtype[Any]
    limit: float
    low: float
    high: float
    may_miss: bool
    optional: bool
    categories: frozenset[str] | None
    bounds: Bounds

    @property
    def values(self) -> str:
        """How many a row has, in words."""
        return f"{self.width} values" if self.width else "one value"

    @property
    def field(self) -> str:
        """What a refusal calls it."""
        return f"inputs[{self.name}]"

    @property
    def is_bounded(self) -> bool:
        """Whether the interface says how small or large a number may be."""
        return self.low != -math.inf or self.high != math.inf

    def missing(self, rows: int) -> Array:
        """The input where it was left out: only what may be NaN may be that."""
        return np.full((rows, self.width or 1), math.nan, self.graph_dtype)

    @classmethod
    def of(cls, tensor: Input, binding: Binding, bounds: Bounds) -> Plan:
        """The plan of one input of an interface."""
        refused = tensor.unknown_category == UNKNOWN_CATEGORY_POLICY_REFUSED
        dtype, graph_dtype = dtype_of(tensor.datatype), dtype_of(binding.datatype or tensor.datatype)
        narrowed = dtype.kind == graph_dtype.kind == "f" and graph_dtype.itemsize < dtype.itemsize
        return cls(
            tensor.name,
            DATATYPE_NAMES[tensor.datatype],
            tensor.width,
            binding.tensor,
            dtype,
            graph_dtype,
            float(np.finfo(graph_dtype).max) if narrowed else math.inf,
            tensor.minimum if tensor.HasField("minimum") else -math.inf,
            tensor.maximum if tensor.HasField("maximum") else math.inf,
            tensor.missing == MISSING_POLICY_ALLOWED,
            tensor.optional,
            frozenset(tensor.categories) if refused else None,
            bounds,
        )


def are_numbers(plan: Plan, values: Array) -> bool:
    """Whether all values are numbers that the model takes, or missing where it takes that."""
    if plan.is_bounded and not _within(plan, values).all():
        return False
    if values.dtype.kind != "f":
        return True
    # Half the time of .all(), which is written in Python.
    if plan.limit == math.inf and b"\0" not in np.isfinite(values).tobytes():
        return True
    below = np.abs(values) < plan.limit
    return bool((below | np.isnan(values)).all() if plan.may_miss else below.all())


def check_values(plan: Plan, values: Array, violations: list[Violation]) -> None:
    """Name every row of an input that is wrong.

    Args:
        plan: the input's.
        values: shape [rows, width], in the type that they are sent as.
        violations: grow by what is found.
    """
    if plan.is_bounded:
        # What is infinite is named as that, below.
        outside = np.flatnonzero((np.isfinite(values) & ~_within(plan, values)).any(axis=1))
        _name_rows(plan, outside, f"outside of {_range(plan)}. Send a value within.", violations)
    if values.dtype.kind == "f":
        # One pass over all: only a request that is wrong pays for finding out where.
        if not (np.abs(values) < plan.limit).all():
            _check_numbers(plan, values, violations)
    elif plan.categories is not None:
        _check_categories(plan, values, plan.categories, violations)


def _within(plan: Plan, values: Array) -> Array:
    """Which values are not beyond what the interface allows; what is missing is not."""
    beyond = (values < plan.low) | (values > plan.high)
    return np.asarray(~beyond)


def _range(plan: Plan) -> str:
    if plan.low == -math.inf:
        return f"what this model takes, at most {plan.high:g}"
    if plan.high == math.inf:
        return f"what this model takes, at least {plan.low:g}"
    return f"what this model takes, {plan.low:g} to {plan.high:g}"


def _check_numbers(plan: Plan, values: Array, violations: list[Violation]) -> None:
    infinite = np.flatnonzero(np.isinf(values).any(axis=1))
    _name_rows(plan, infinite, "infinite. Send a finite number.", violations)
    beyond = np.isfinite(values) & (np.abs(values) >= plan.limit) & _within(plan, values)
    too_large = np.flatnonzero(beyond.any(axis=1))
    _name_rows(plan, too_large, f"too large: this model computes with numbers below {plan.limit:.3g}.", violations)
    if not plan.may_miss:
        missing = np.flatnonzero(np.isnan(values).any(axis=1))
        _name_rows(plan, missing, "missing (NaN), which this model has no policy for. Send a number.", violations)


def _check_categories(plan: Plan, values: Array, categories: frozenset[str], violations: list[Violation]) -> None:
    flat = values.ravel()
    unknown = [row for row, value in enumerate(flat) if value not in categories]
    for row in unknown[:ROWS_NAMED_MAX]:
        near = nearest(flat[row], categories)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(sorted(categories)[:10])}."
        violations.append(Violation(plan.field, f"{flat[row]!r} is an unknown category. {hint}", row))
    _count_rest(plan, len(unknown), violations)


def _name_rows(plan: Plan, rows: Array, what: str, violations: list[Violation]) -> None:
    violations.extend(Violation(plan.field, what, int(row)) for row in rows[:ROWS_NAMED_MAX])
    _count_rest(plan, len(rows), violations)


def _count_rest(plan: Plan, wrong: int, violations: list[Violation]) -> None:
    if wrong > ROWS_NAMED_MAX:
        violations.append(Violation(plan.field, f"{wrong - ROWS_NAMED_MAX} more rows are wrong in the same way."))
