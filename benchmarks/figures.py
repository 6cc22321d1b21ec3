"""The figures that a benchmark is to show, with their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must be.

    Attributes:
        name: its short name.
        meaning: what it compares.
        limit: the number that it is held against.
        at_least: True where it must not be below the limit, False where it must not be above.
        unit: what it is counted in; empty for a ratio.
    """

    name: str
    meaning: str
    limit: float
    at_least: bool
    unit: str = ""

    def met_by(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        """For tables."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured for a target.

    Attributes:
        target: the target.
        value: the median; None where it could not be measured.
        detail: the two sides of the ratio, or why there is none.
        spoiled: why the target is missed whatever the value is: failed requests.
    """

    target: Target
    value: float | None
    detail: str
    spoiled: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where nothing was measured."""
        return None if self.value is None else not self.spoiled and self.target.met_by(self.value)

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.target.name,
            "meaning": self.target.meaning,
            "target": str(self.target),
            "value": self.value,
            "met": self.met,
            "detail": f"{self.detail} {self.spoiled}".strip(),
        }


THROUGHPUT_BARE: Final = Target(
    "throughput-bare", "requests/s, 32 in flight, 1 row, telemetry on ÷ bare grpc.aio", 0.90, at_least=True
)
LATENCY_BARE: Final = Target("latency-bare", "p50, 1 in flight, telemetry on ÷ bare grpc.aio", 1.10, at_least=False)
TELEMETRY: Final = Target("telemetry", "requests/s, 32 in flight, telemetry on ÷ telemetry off", 0.95, at_least=True)
THROUGHPUT_MLSERVER: Final = Target("throughput-mlserver", "requests/s, 32 in flight ÷ MLServer", 3, at_least=True)
LATENCY_MLSERVER: Final = Target("latency-mlserver", "p50, 1 in flight ÷ MLServer", 0.6, at_least=False)
THROUGHPUT_TRITON: Final = Target(
    "throughput-triton", "requests/s, 32 in flight ÷ Triton, Python backend", 0.6, at_least=True
)
LATENCY_TRITON: Final = Target("latency-triton", "p50, 1 in flight ÷ Triton, Python backend", 1.1, at_least=False)
CALLERS: Final = Target(
    "callers", "predictions/s, 64 callers in one process: AsyncClient ÷ tritonclient.aio", 12, at_least=True
)
TREES: Final = Target("trees", "rows/s of trees, 10,000 rows a request ÷ ONNX Runtime in process", 0.9, at_least=True)
STREAM: Final = Target("stream", "predictions/s by ModelStreamInfer ÷ by ModelInfer", 2, at_least=True)
SWAPS: Final = Target("swaps", "p99 during ten version swaps ÷ without, none failed", 2, at_least=False)
NEIGHBOURS: Final = Target(
    "neighbours", "p99 of a small model beside one of 50 ms a run under load ÷ alone", 3, at_least=False
)
TYPED: Final = Target(
    "typed", "p50, 1 in flight, 30 named inputs: Predict ÷ ModelInfer of the same row", 1.15, at_least=False
)
TYPED_BATCH: Final = Target(
    "typed-batch", "rows/s, 10,000 rows × 30 columns: PredictBatch ÷ ModelInfer of raw tensors", 0.8, at_least=True
)
START: Final = Target("start", "from start to ready with one small model", 1.5, at_least=False, unit="s")
