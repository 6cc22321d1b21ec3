"""What a server looks for in an ONNX file before ONNX Runtime reads it; each refusal with its reason."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from sardonyx.errors import RegistryCorrupt
from sardonyx.interface import digest
from sardonyx.protobuf import delimited
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_exporter import promote
from sardonyx_server.life.graph import NESTING_MAX, GraphRefused, check_graph
from server.scene import (
    ALONE,
    CLASSIFIER,
    REGRESSOR,
    array_of,
    get_model,
    infer,
    make_scene,
    regressor_request,
    states_of,
    wait_until,
)
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from server.scene import Scene

TERABYTE: Final = 1 << 40


def manifest_of(**binding: Any) -> manifest_pb2.Manifest:
    """One number in, one out."""
    number = pb.Input(name="number", number=1, datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_REFUSED)
    value = pb.Output(name="value", number=1, kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64)
    bound = {"name": "number", "tensor": "number", "datatype": pb.DATATYPE_FP64, **binding}
    manifest = manifest_pb2.Manifest(
        interface=pb.Interface(task=pb.TASK_REGRESSION, inputs=[number], outputs=[value]),
        interface_major=1,
        graph=manifest_pb2.Graph(
            inputs=[manifest_pb2.Binding(**bound)],
            outputs=[manifest_pb2.Binding(name="value", tensor="value", datatype=pb.DATATYPE_FP64)],
        ),
        golden=manifest_pb2.Golden(
            inputs=[manifest_pb2.Column(name="number", doubles=manifest_pb2.Doubles(values=[1, 2]))],
            outputs=[manifest_pb2.Column(name="value", doubles=manifest_pb2.Doubles(values=[2, 3]))],
        ),
    )
    manifest.interface_digest = digest(manifest.interface)
    return manifest


def model_of(*nodes: NodeProto, initializers: Sequence[TensorProto] = ()) -> ModelProto:
    """A graph that adds one to its number, with further nodes and tensors."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["number", "one"], ["value"]), *nodes],
        "graph",
        [helper.make_tensor_value_info("number", TensorProto.DOUBLE, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.array([1.0]), "one"), *initializers],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def refusal_of(model: ModelProto, manifest: manifest_pb2.Manifest | None = None) -> str:
    """Why a graph is refused."""
    with pytest.raises(GraphRefused) as caught:
        check_graph(manifest or manifest_of(), model.SerializeToString())
    return str(caught.value)


def tensor(name: str, dimensions: Sequence[int], values: Sequence[float]) -> TensorProto:
    """A tensor that says what it likes of its shape."""
    return TensorProto(name=name, data_type=TensorProto.DOUBLE, dims=dimensions, double_data=values)


def external(location: str) -> ModelProto:
    """A tensor whose values lie in another file."""
    model = model_of()
    (one,) = model.graph.initializer
    one.ClearField("raw_data")
    one.data_location = TensorProto.EXTERNAL
    one.external_data.add(key="location", value=location)
    return model


def nested(depth: int) -> ModelProto:
    """Graphs within graphs."""
    graph = helper.make_graph([helper.make_node("Identity", ["one"], ["x"])], "inner", [], [])
    for level in range(depth):
        node = NodeProto(op_type="If", input=["one"], output=[f"x{level}"])
        node.attribute.append(AttributeProto(name="then_branch", type=AttributeProto.GRAPH, g=graph))
        graph = GraphProto(name="outer", node=[node])
    return model_of(*graph.node)


def with_domain(domain: str, operator: str) -> ModelProto:
    """An operator of a domain that the file says it needs."""
    model = model_of(helper.make_node(operator, ["number"], ["other"], domain=domain))
    model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def changed(change: Callable[[ModelProto], object]) -> ModelProto:
    """A good graph with one thing changed."""
    model = model_of()
    change(model)
    return model


def rename_input(model: ModelProto) -> None:
    """The graph takes its number under another name."""
    model.graph.input[0].name = "count"
    model.graph.node[0].input[0] = "count"


def shape_constant(*sizes: int) -> NodeProto:
    """A constant that is a shape."""
    return helper.make_node("Constant", [], ["sizes"], value_ints=list(sizes))


HUGE = numpy_helper.from_array(np.array([TERABYTE, 8]), "sizes")

REFUSED: Final[dict[str, tuple[ModelProto, str]]] = {
    "external data": (external("weights.bin"), "'one' lies in another file"),
    "external data elsewhere": (external("../../etc/passwd"), "'one' lies in another file"),
    "external attribute": (
        model_of(helper.make_node("Constant", [], ["c"], value=external("x").graph.initializer[0])),
        "lies in another file",
    ),
    "a library's operator": (with_domain("ai.onnx.contrib", "PyOp"), "'ai.onnx.contrib', which take a library"),
    "another's operator": (with_domain("com.microsoft", "EPContext"), "com.microsoft.EPContext"),
    "an undeclared domain": (model_of(helper.make_node("Op", [], ["x"], domain="evil")), "evil.Op"),
    "functions": (changed(lambda model: model.functions.add(name="f", domain="x")), "functions of its own"),
    "training": (changed(lambda model: model.training_info.add()), "training"),
    "more shape than data": (model_of(initializers=[tensor("w", [1000], [1.0])]), "1000 elements and has 1"),
    "less shape than data": (model_of(initializers=[tensor("w", [1], [1.0] * 9)]), "1 elements and has 9"),
    "an absurd shape": (model_of(initializers=[tensor("w", [TERABYTE, TERABYTE], [1.0])]), "which is absurd"),
    "an overflowing shape": (model_of(initializers=[tensor("w", [2**32, 2**32], [])]), "which is absurd"),
    "a negative size": (model_of(initializers=[tensor("w", [-1], [1.0])]), "which is absurd"),
    "a thousand dimensions": (model_of(initializers=[tensor("w", [1] * 1000, [1.0])]), "which is absurd"),
    "an unknown type": (model_of(initializers=[TensorProto(name="w", data_type=99, dims=[0])]), "the type 99"),
    "an absurd constant": (
        model_of(helper.make_node("ConstantOfShape", ["sizes"], ["x"]), initializers=[HUGE]),
        "which is absurd",
    ),
    "an absurd copy": (
        model_of(shape_constant(TERABYTE), helper.make_node("Expand", ["one", "sizes"], ["x"])),
        "which is absurd",
    ),
    "an absurd input": (
        changed(lambda m: m.graph.input[0].CopyFrom(helper.make_tensor_value_info("number", 11, [TERABYTE, 1]))),
        "'number' has the shape",
    ),
    "sparse tensors": (changed(lambda model: model.graph.sparse_initializer.add()), "sparse"),
    "too deep": (nested(NESTING_MAX + 1), f"more than {NESTING_MAX} deep"),
    "another input": (changed(rename_input), "not those of the manifest: count, number"),
    "one more input": (
        changed(lambda m: m.graph.input.append(helper.make_tensor_value_info("extra", 11, [None, 1]))),
        "not those of the manifest: extra",
    ),
    "another output": (
        changed(lambda m: setattr(m.graph.output[0], "name", "result")),
        "no output 'value'",
    ),
    "another type": (
        changed(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.FLOAT)),
        "not of the type FP64",
    ),
    "nothing": (ModelProto(), "empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_graph_says_why(name: str) -> None:
    """Each thing that a graph has no business with is refused, in a sentence that names it."""
    model, reason = REFUSED[name]
    assert reason in refusal_of(model)


def test_bytes_that_are_no_graph() -> None:
    """Text, a graph that was cut off, and one that is too deep for any parser are no ONNX files."""
    data = model_of().SerializeToString()
    deep = b""
    for _ in range(60):
        # Graph.node, Node.attribute, Attribute.g
        deep = delimited(b"\x0a", delimited(b"\x2a", delimited(b"\x32", deep)))
    for wrong in (b"not ONNX", data[:-3], delimited(b"\x3a", deep)):
        with pytest.raises(GraphRefused, match="no ONNX file"):
            check_graph(manifest_of(), wrong)


@pytest.mark.parametrize(
    "model",
    [
        model_of(),
        nested(NESTING_MAX - 1),
        model_of(helper.make_node("Tokenizer", ["one"], ["x"], domain="com.microsoft")),
        model_of(shape_constant(2, 3), helper.make_node("ConstantOfShape", ["sizes"], ["x"])),
        model_of(initializers=[tensor("empty", [0, 5], [])]),
    ],
    ids=["plain", "nested", "com.microsoft", "a constant", "an empty tensor"],
)
def test_a_good_graph_passes(model: ModelProto) -> None:
    """What skl2onnx writes passes: operators of ONNX and some of ONNX Runtime, constants, graphs within graphs."""
    check_graph(manifest_of(), model.SerializeToString())


def test_the_graphs_of_the_exporter_pass(scene: Scene) -> None:
    """Everything that the exporter and the tests publish passes."""
    registry = Registry(str(scene.registry))
    for name in registry.models():
        manifest = registry.manifest(name, 1)
        check_graph(manifest, registry.blob(manifest.artifact))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_graphs_are_passed_or_refused(data: st.DataObject) -> None:
    """Whatever bytes are changed, cut out or put in: a graph passes or is refused, and nothing else happens."""
    mutated = bytearray(model_of(shape_constant(2, 3)).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(mutated) - 1))
        mutated[position : position + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        if not mutated:
            return
    with contextlib.suppress(GraphRefused):
        check_graph(manifest_of(), bytes(mutated))


@pytest.mark.parametrize(
    "digest_text",
    ["../../../../etc/passwd", "/etc/passwd", "", "\0" * 64, "A" * 64, "ä" * 64, "a" * 63, "a" * 65, "a" * 100_000],
)
def test_a_digest_leads_nowhere_else(scene: Scene, digest_text: str) -> None:
    """What a manifest calls its blob is 64 hexadecimal digits, or there is no blob."""
    registry = Registry(str(scene.registry))
    with pytest.raises(RegistryCorrupt, match="is no SHA-256"):
        registry.blob(manifest_pb2.Artifact(sha256=digest_text, size_bytes=1))


def test_a_blob_of_another_size_is_not_read(scene: Scene) -> None:
    """The size in the manifest is what a blob has; one of another size is refused before it is read."""
    registry = Registry(str(scene.registry))
    artifact = registry.manifest(CLASSIFIER, 1).artifact
    artifact.size_bytes -= 1
    with pytest.raises(RegistryCorrupt, match="should have"):
        registry.blob(artifact)


def test_a_server_says_why_and_serves_the_rest(tmp_path: Path) -> None:
    """A version that is refused is FAILED with its reason, and the one before it goes on answering."""
    scene = make_scene(tmp_path / "registry")
    registry = Registry(str(scene.registry))
    registry.publish("plus", model_of().SerializeToString(), lambda _versions: manifest_of())
    promote("plus", 1, registry=str(scene.registry))
    with (
        running_server(scene.registry, *ALONE, "--poll-interval-s", "0.05") as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: states_of(channel, "plus") == {1: serving.STATE_READY}, "version 1 is ready")
        data = external("/etc/passwd").SerializeToString()
        registry.publish("plus", data, lambda _versions: manifest_of())
        promote("plus", 2, registry=str(scene.registry))
        wait_until(lambda: states_of(channel, "plus").get(2) == serving.STATE_FAILED, "version 2 has failed")
        first, second = get_model(channel, "plus").versions
        assert first.state == serving.STATE_READY
        assert "'one' lies in another file. Store its values in the graph." in second.reason
        assert infer(channel, regressor_request(array_of(seed=3, rows=1))).model_name == REGRESSOR
