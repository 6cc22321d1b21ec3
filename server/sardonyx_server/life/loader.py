"""From the registry's bytes to a version that is proven on this host and warm. Runs off the request path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sardonyx.errors import NotFound, RegistryError
from sardonyx.interface import DATATYPE_NAMES
from sardonyx.registry.v1.interface_pb2 import DATATYPE_FP32, DATATYPE_FP64, MISSING_POLICY_ALLOWED
from sardonyx.typed import typed_service
from sardonyx_server.life import golden
from sardonyx_server.life.cost import Cost, measure
from sardonyx_server.life.graph import GraphRefused, check_graph
from sardonyx_server.life.session import ProviderMissing, Session
from sardonyx_server.life.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from sardonyx.registry import Log, Registry
    from sardonyx.registry.v1.interface_pb2 import Input
    from sardonyx.registry.v1.manifest_pb2 import Manifest
    from sardonyx.typed import TypedService
    from sardonyx_server.life.session import Runtime, Stop

#: What a missing value can be sent as.
_HAVE_NAN: Final = {DATATYPE_FP32, DATATYPE_FP64}


class LoadFailed(Exception):
    """A version cannot be served; the text is for the operator.

    Args:
        reason: what failed and what to do.
        may_pass: trying again without a change may help.
    """

    def __init__(self, reason: str, *, may_pass: bool) -> None:
        self.may_pass = may_pass
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that may serve.

    Attributes:
        manifest: the version's.
        session: runs its graph.
        cost: how long its runs take.
        typed: the messages of its own service; None for a manifest that gives its inputs no numbers.
    """

    manifest: Manifest
    session: Session
    cost: Cost
    typed: TypedService | None


def load(
    registry: Registry,
    model: str,
    version: int,
    *,
    known: Log,
    runtime: Runtime,
    enter: Callable[[State], None],
    stop: Stop,
) -> Loaded:
    """Read, check, build, prove and warm up a version.

    Args:
        registry: where it is.
        model: its name.
        version: its number.
        known: what was read of its log when the version was asked for: in another one the number is another version's.
        runtime: how ONNX Runtime is to run it.
        enter: told of each state as it begins.
        stop: ends it while it is proven, where its graph does not come to an end by itself.

    Raises:
        LoadFailed: a step failed.
    """
    try:
        manifest = registry.manifest(model, version)
        graph = registry.blob(manifest.artifact)
        # After them: where it still goes on, they were read of the same registry.
        registry.log(model, known)
    except NotFound as error:
        raise LoadFailed(
            f"The registry leads to it and does not hold it. Restore models/{model}/versions from a backup, or promote"
            " another version.",
            may_pass=True,
        ) from error
    except RegistryError as error:
        # What was damaged may be restored.
        raise LoadFailed(error.message, may_pass=True) from error
    _check_missing(manifest)
    session = _build(manifest, graph, runtime, stop)
    enter(State.VERIFYING)
    try:
        golden.replay(manifest, session)
        cost = measure(manifest, session)
    except golden.GoldenMismatch as error:
        raise LoadFailed(str(error), may_pass=False) from error
    except KeyError as error:
        raise LoadFailed(
            f"It cannot be proven: its manifest holds no golden rows of {error}. Export the version again.",
            may_pass=False,
        ) from error
    except Exception as error:
        # Another part that a manifest lacks, or whatever a graph that does not run makes ONNX Runtime raise.
        reason = f"It cannot be proven: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}."
        raise LoadFailed(f"{reason} Export the version again.", may_pass=False) from error
    return Loaded(manifest, session, cost, _typed(manifest))


def given_up(state: State, timeout_s: float) -> LoadFailed:
    """What is said of a version that did not come to its end in time.

    Args:
        state: where it was.
        timeout_s: how long it had.
    """
    longer = "or give it longer with --load-timeout-s"
    if state is State.VERIFYING:
        return LoadFailed(
            f"Its golden rows were not answered within {timeout_s:g} s: its graph may never come to an end. Export the"
            f" version again, {longer}.",
            may_pass=False,
        )
    return LoadFailed(
        f"It was not read and built within {timeout_s:g} s. See whether its registry answers, {longer}.", may_pass=True
    )


def _check_missing(manifest: Manifest) -> None:
    """What is missing reaches the graph as NaN: of a type that has none it would become some number.

    No export says so of an input; a manifest that was written by hand may.
    """
    graph = {binding.name: binding.datatype for binding in manifest.graph.inputs}
    for tensor in manifest.interface.inputs:
        if tensor.optional or tensor.missing == MISSING_POLICY_ALLOWED:
            reason = _no_missing(tensor, graph.get(tensor.name, 0) or tensor.datatype)
            may = "be left out" if tensor.optional else "be missing"
            if reason:
                raise LoadFailed(
                    f"Input {tensor.name!r} may {may}, but {reason}. Export the version again.", may_pass=False
                )


def _no_missing(tensor: Input, in_graph: int) -> str:
    """Why an input has no missing value; empty where it has one."""
    if tensor.datatype not in _HAVE_NAN:
        return f"it is {DATATYPE_NAMES.get(tensor.datatype, 'of no type')}, which has no missing value"
    if in_graph not in _HAVE_NAN:
        return f"the graph takes it as {DATATYPE_NAMES.get(in_graph, 'of no type')}, which has no missing value"
    if tensor.missing != MISSING_POLICY_ALLOWED:
        return "the model has no policy for missing values there"
    return ""


def _build(manifest: Manifest, graph: bytes, runtime: Runtime, stop: Stop) -> Session:
    try:
        check_graph(manifest, graph)
        return Session(manifest, graph, runtime, stop)
    except GraphRefused as error:
        raise LoadFailed(f"The graph is refused. {error} Export the version again.", may_pass=False) from error
    except ProviderMissing as error:
        raise LoadFailed(str(error), may_pass=False) from error
    except Exception as error:
        # ONNX Runtime raises a dozen types, some of which derive from Exception alone.
        reason = f"ONNX Runtime refuses the graph: {str(error).splitlines()[0]}. Export the version again."
        raise LoadFailed(reason, may_pass=False) from error


def _typed(manifest: Manifest) -> TypedService | None:
    if not manifest.ledger.entries:
        return None
    try:
        return typed_service(manifest)
    except Exception as error:
        # protobuf raises TypeError for whatever it does not take.
        reason = f"No service can be made of the interface: {str(error).splitlines()[0]}. Export the version again."
        raise LoadFailed(reason, may_pass=False) from error
