"""The walk of an export: read, convert and prove, ask, evaluate, describe, publish."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sardonyx.names import check_model_name
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Binding, Manifest, Tolerance
from sardonyx.registry.v1.manifest_pb2 import Graph as GraphEntry
from sardonyx_exporter import baseline, golden, lineage
from sardonyx_exporter.convert import OPSET, OPSET_ML
from sardonyx_exporter.errors import SourceRefused
from sardonyx_exporter.evaluation import evaluate
from sardonyx_exporter.generation import place
from sardonyx_exporter.parity import limits_of, prove
from sardonyx_exporter.policies import Policies, probe
from sardonyx_exporter.progress import Progress, silent
from sardonyx_exporter.service import check_interface
from sardonyx_exporter.source import Source, read_source
from sardonyx_exporter.stated import Statements
from sardonyx_exporter.user import current_user

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from os import PathLike

    from sardonyx.verdict import Verdict
    from sardonyx_exporter.graph import Graph


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A published version.

    Attributes:
        manifest: as the registry holds it.
        verdict: what the version means to the callers of the one before.
        notes: what the author should know.
    """

    manifest: Manifest
    verdict: Verdict
    notes: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """The version's number."""
        return self.manifest.version

    @property
    def metrics(self) -> dict[str, float]:
        """The hold-out's figures by name."""
        return {metric.name: metric.value for metric in self.manifest.evaluation.metrics}

    def __str__(self) -> str:
        """The result in a few lines, for a notebook."""
        manifest = self.manifest
        parity = manifest.parity
        lines = [
            f"{manifest.model} version {manifest.version} (interface v{manifest.interface_major}, {self.verdict.kind})",
            f"  parity: {parity.holdout_rows} rows, at most {parity.absolute_difference_max:.1e} apart",
            *(
                f"  {metric.name}: {metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]"
                for metric in manifest.evaluation.metrics
            ),
            *(f"  {'breaks' if reason.breaking else 'changes'}: {reason}" for reason in self.verdict.reasons),
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def export(
    model: Any,
    *,
    name: str,
    holdout: tuple[Any, Any],
    registry: str | PathLike[str],
    description: str = "",
    author: str | None = None,
    training_data: str = "",
    primary_metric: str | None = None,
    tolerance: Tolerance | float | None = None,
    optional: Collection[str] = (),
    ranges: Mapping[str, tuple[float | None, float | None]] | None = None,
    units: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> ExportResult:
    """Convert a fitted model, prove the conversion, evaluate it and publish it as a new version.

    Args:
        model: a fitted scikit-learn classifier or regressor, or a pipeline that ends in one.
        name: the model's name in the registry: lower-case letters, digits and dashes.
        holdout: the inputs (DataFrame, or array of shape [rows, columns]) and the truth (shape [rows]) of rows that the
            model has not seen. All of them are compared and evaluated.
        registry: a directory, made where there is none, or a URL of an object store.
        description: for people, kept with the version.
        author: by default, who is logged in.
        training_data: what the model was fitted on, in words or as a digest; kept with the version.
        primary_metric: the metric that is shown first; by default accuracy, or mae.
        tolerance: how far the graph's answers may be from the model's; by default 1e-5, relative and of the spread;
            a number is both, the relative and the absolute one.
        optional: the inputs that callers may leave out; the model must take missing values there. What is left out is
            missing. A version that adds optional inputs alone may answer those who call the one before.
        ranges: the least and the greatest value that callers may send, by input; None: any. To narrow one breaks
            callers.
        units: what a number counts, by input, such as ``{"distance": "mi"}``. To change one breaks callers.
        descriptions: what inputs mean, for those who read the documentation.
        progress: told of each step.

    Returns:
        The published version. It serves nobody until it is promoted.

    Raises:
        ExportRefused: the model was not published; the message says why and what to do.
        InvalidInput: the name is none.
        RegistryError: the registry cannot be written.
    """
    check_model_name(name)
    allowed = _tolerance(tolerance)
    progress("reading the model")
    source = read_source(model, *_pair(holdout))
    statements = Statements.of(source, optional, ranges or {}, units or {}, descriptions or {})
    # Before anything takes time: what the model does with missing values makes no message larger.
    check_interface(name, _interface(source, Policies()))
    progress("converting and comparing every row")
    graph, parity = prove(source, allowed)
    truth = source.answer(source.features)
    progress("asking what it does with missing and unknown values")
    policies = probe(source, graph, limits_of(allowed, truth))
    parity.edge_rows = len(policies.edge_rows)
    interface = _interface(source, policies)
    statements.write(interface)
    progress("evaluating on the hold-out")
    answers = graph.answer(source.features)
    evaluation = evaluate(source, answers, primary_metric)
    progress("publishing")
    draft = Manifest(
        author=author if author is not None else current_user(),
        description=description,
        interface=interface,
        graph=_graph_entry(graph),
        parity=parity,
        golden=golden.choose(source, truth, policies.edge_rows, parity.tolerance),
        evaluation=evaluation,
        baseline=baseline.freeze(source, answers),
        lineage=lineage.trace(source, training_data),
    )
    notes = tuple(policy.note for policy in policies.by_input.values() if policy.note)
    return _publish(Registry(registry, create=True), name, graph, draft, notes)


def _publish(registry: Registry, name: str, graph: Graph, draft: Manifest, notes: tuple[str, ...]) -> ExportResult:
    verdicts: list[Verdict] = []

    def describe(versions: Sequence[int]) -> Manifest:
        """What depends on the versions before: asked again where another publisher was faster."""
        manifest = Manifest()
        manifest.CopyFrom(draft)
        verdicts.append(place(registry, name, manifest, versions))
        return manifest

    manifest = registry.publish(name, graph.onnx, describe)
    return ExportResult(manifest, verdicts[-1], notes)


def _tolerance(given: Tolerance | float | None) -> Tolerance | None:
    if given is None:
        return None
    tolerance = given if isinstance(given, Tolerance) else Tolerance(absolute=given, relative=given)
    for number in (tolerance.absolute, tolerance.relative):
        if not 0 <= number < math.inf:
            raise SourceRefused(
                f"{number:g} is no tolerance: it would prove nothing. Give a small number, such as 1e-5."
            )
    return tolerance


def _pair(holdout: Any) -> tuple[Any, Any]:
    if not isinstance(holdout, tuple | list) or len(holdout) != 2:
        raise SourceRefused("The hold-out must be a pair: holdout=(features, target).")
    return holdout[0], holdout[1]


def _interface(source: Source, policies: Policies) -> pb.Interface:
    interface = pb.Interface(task=source.task)
    for spec in source.inputs:
        policy = policies.of(spec.name)
        interface.inputs.add(
            name=spec.name,
            datatype=spec.datatype,
            width=spec.width,
            missing=policy.missing,
            unknown_category=policy.unknown,
            categories=policy.categories,
        )
    for output in source.outputs:
        interface.outputs.add(
            name=output.name,
            kind=output.kind,
            datatype=output.datatype,
            width=output.width,
            classes=source.class_names,
        )
    return interface


def _graph_entry(graph: Graph) -> GraphEntry:
    return GraphEntry(
        inputs=[Binding(name=each.name, tensor=each.tensor, datatype=each.datatype) for each in graph.inputs],
        outputs=[Binding(name=each.name, tensor=each.tensor, datatype=each.datatype) for each in graph.outputs],
        opset=OPSET,
        opset_ml=OPSET_ML,
        strategy=graph.strategy,
        packages=lineage.versions("skl2onnx", "onnx", "onnxruntime"),
    )
