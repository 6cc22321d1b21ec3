"""An ONNX Runtime session with the names and types that the interface speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from sardonyx.interface import dtype_of
from sardonyx.onnx.runtime import ort
from sardonyx_server.config import CPU

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx.registry.v1.manifest_pb2 import Manifest

Array = npt.NDArray[Any]

#: ONNX Runtime's levels of its own lines.
_ERROR: Final = 3
_FATAL: Final = 4
# Beyond sessions: why a provider does not start is nowhere else, and whatever is less than an error is not for a log.
ort.set_default_logger_severity(_ERROR)


@dataclass(frozen=True, slots=True)
class Runtime:
    """How ONNX Runtime runs the sessions of this process.

    Attributes:
        threads: intra-op threads of each session.
        providers: its execution providers, the preferred one first.
    """

    threads: int = 1
    providers: Sequence[str] = (CPU,)


class Stop:
    """Ends the runs of a session from another thread: the one under way at its next operator, and each later one."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()

    @property
    def told(self) -> bool:
        """Whether they are to end."""
        return bool(self.options.terminate)

    def tell(self) -> None:
        """End them."""
        self.options.terminate = True


class ProviderMissing(Exception):
    """An execution provider that was asked for does not start on this host; the text is for the operator."""


class Session:
    """Runs one version's graph.

    Args:
        manifest: says which interface name is which tensor.
        graph: the ONNX bytes.
        runtime: how to run it.
        stop: ends its runs; None: nothing does.

    Raises:
        ProviderMissing: ONNX Runtime would go on without one of the providers.
        RuntimeError: ONNX Runtime refuses the graph (any of its exceptions).
    """

    def __init__(self, manifest: Manifest, graph: bytes, runtime: Runtime, stop: Stop | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = runtime.threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the processor from the workers that share it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Its exceptions say all that it would write, and what is written beside the log's lines breaks their form.
        options.log_severity_level = _FATAL
        self._session = ort.InferenceSession(graph, options, providers=list(runtime.providers))
        # ONNX Runtime goes on without a provider whose library or device is missing: as slow as nobody asked for.
        if missing := set(runtime.providers) - set(self._session.get_providers()):
            names = ", ".join(sorted(missing))
            raise ProviderMissing(f"ONNX Runtime cannot start {names} on this host. Start without it in --providers.")
        self._options = stop.options if stop else None
        self._output_tensors = [binding.tensor for binding in manifest.graph.outputs]
        # What an answer must be like: its type, and whether a row is one value or several.
        self._forms = [(dtype_of(output.datatype), 2 if output.width else 1) for output in manifest.interface.outputs]

    def run(self, feed: Mapping[str, Array]) -> Sequence[Array]:
        """The answers in the order of the interface's outputs, in the interface's types.

        Args:
            feed: arrays by graph tensor, shape [rows, width].

        Returns:
            An array for each output, shape [rows] or [rows, width].
        """
        answers: list[Array] = self._session.run(self._output_tensors, feed, self._options)
        for position, (dtype, dimensions) in enumerate(self._forms):
            values = answers[position]
            if values.dtype != dtype:
                answers[position] = values = values.astype(dtype)
            if values.ndim != dimensions:
                answers[position] = values.reshape(len(values), -1) if dimensions == 2 else values.reshape(len(values))
        return answers
