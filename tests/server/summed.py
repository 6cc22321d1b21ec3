"""Models made by hand whose answers anyone can work out: the sum of what each input is worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx_exporter.generation import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    Row = Mapping[str, Any]

#: What each text is worth; any other is worth OTHER.
TEXTS: Final = {"AA": 1.0, "B6": 2.0, "UA": 3.0, "WN": 4.0}
OTHER: Final = -1.0
#: What a row must be worth more than for the last class.
LIMIT: Final = 100.0

_ONNX: Final = {
    pb.DATATYPE_FP32: TensorProto.FLOAT,
    pb.DATATYPE_FP64: TensorProto.DOUBLE,
    pb.DATATYPE_INT32: TensorProto.INT32,
    pb.DATATYPE_INT64: TensorProto.INT64,
    pb.DATATYPE_BOOL: TensorProto.BOOL,
    pb.DATATYPE_BYTES: TensorProto.STRING,
}
_SAMPLES: Final = {pb.DATATYPE_BOOL: True, pb.DATATYPE_BYTES: "AA", pb.DATATYPE_INT32: 1, pb.DATATYPE_INT64: 1}


def weight(name: str) -> float:
    """What one of an input is worth: other for each name, and exact in a sum."""
    return float(sum(map(ord, name)) % 64 + 1)


def total(interface: pb.Interface, row: Row) -> float:
    """What a row is worth; what is missing is worth nothing."""
    return sum(weight(each.name) * _sum(row.get(each.name, math.nan)) for each in interface.inputs)


def interface_of(inputs: Sequence[pb.Input], classes: Sequence[str] = ()) -> pb.Interface:
    """An interface to a value, and to classes where there are some: the last one if the value is above 100."""
    interface = pb.Interface(task=pb.TASK_CLASSIFICATION if classes else pb.TASK_REGRESSION, inputs=inputs)
    interface.outputs.add(name="value", kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64)
    if classes:
        interface.outputs.add(name="label", kind=pb.OUTPUT_KIND_LABEL, datatype=pb.DATATYPE_BYTES, classes=classes)
        interface.outputs.add(
            name="probabilities",
            kind=pb.OUTPUT_KIND_PROBABILITIES,
            datatype=pb.DATATYPE_FP64,
            width=len(classes),
            classes=classes,
        )
    return interface


def label_of(interface: pb.Interface, row: Row) -> str:
    """The class of a row: the alphabet's last one, if the row is worth more than 100; else its first."""
    classes = sorted(interface.outputs[1].classes)
    return classes[-1] if total(interface, row) > LIMIT else classes[0]


def publish_sum(registry: Path, name: str, interface: pb.Interface) -> manifest_pb2.Manifest:
    """Publish a version with such an interface, in the generation that an export would give it."""
    row = {each.name: _sample(each) for each in interface.inputs}
    manifest = manifest_pb2.Manifest(
        interface=interface,
        graph=manifest_pb2.Graph(
            inputs=[_binding(each, f"in_{each.name}") for each in interface.inputs],
            outputs=[_binding(each, f"out_{each.name}") for each in interface.outputs],
        ),
        golden=manifest_pb2.Golden(
            inputs=[_column(each, row[each.name]) for each in interface.inputs],
            outputs=[_column(each, _answer(interface, each, row)) for each in interface.outputs],
            tolerance=manifest_pb2.Tolerance(absolute=1e-9, relative=1e-9),
        ),
    )
    store = Registry(str(registry), create=True)

    def placed(versions: Sequence[int]) -> manifest_pb2.Manifest:
        place(store, name, manifest, versions)
        return manifest

    return store.publish(name, _graph(interface), placed)


def _answer(interface: pb.Interface, output: pb.Output, row: Row) -> Any:
    if output.kind == pb.OUTPUT_KIND_VALUE:
        return total(interface, row)
    label = label_of(interface, row)
    if output.kind == pb.OUTPUT_KIND_LABEL:
        return label
    return [float(each == label) for each in output.classes]


def _sum(value: Any) -> float:
    values = value if isinstance(value, list) else [value]
    return sum(_worth_of(each) for each in values)


def _worth_of(value: Any) -> float:
    if isinstance(value, str):
        return TEXTS.get(value, OTHER)
    return 0.0 if math.isnan(value) else float(value)


def _sample(tensor: pb.Input) -> Any:
    value = _SAMPLES.get(tensor.datatype, 1.0)
    return [value] * tensor.width if tensor.width else value


def _binding(tensor: pb.Input | pb.Output, graph: str) -> manifest_pb2.Binding:
    return manifest_pb2.Binding(name=tensor.name, tensor=graph, datatype=tensor.datatype)


def _column(tensor: pb.Input | pb.Output, value: Any) -> manifest_pb2.Column:
    values = value if isinstance(value, list) else [value]
    if tensor.datatype == pb.DATATYPE_BYTES:
        return manifest_pb2.Column(name=tensor.name, texts=manifest_pb2.Texts(values=values))
    if tensor.datatype == pb.DATATYPE_BOOL:
        return manifest_pb2.Column(name=tensor.name, booleans=manifest_pb2.Booleans(values=values))
    if tensor.datatype in (pb.DATATYPE_INT32, pb.DATATYPE_INT64):
        return manifest_pb2.Column(name=tensor.name, integers=manifest_pb2.Integers(values=values))
    return manifest_pb2.Column(name=tensor.name, doubles=manifest_pb2.Doubles(values=values))


def _graph(interface: pb.Interface) -> bytes:
    classes = next((list(each.classes) for each in interface.outputs if each.classes), [])
    nodes = [node for each in interface.inputs for node in _worth(each)]
    nodes.append(helper.make_node("Sum", [f"{each.name}_worth" for each in interface.inputs], ["out_value"]))
    weights = {f"{each.name}_weight": weight(each.name) for each in interface.inputs}
    plain = {"zero": 0.0, "across": [1], **weights}
    constants = [numpy_helper.from_array(np.array(value), name) for name, value in plain.items()]
    if classes:
        first, last = min(classes), max(classes)
        constants += [
            numpy_helper.from_array(np.array(LIMIT), "limit"),
            numpy_helper.from_array(np.array(first, dtype=object), "first"),
            numpy_helper.from_array(np.array(last, dtype=object), "last"),
            # By [is above the limit], a row of probabilities.
            numpy_helper.from_array(
                np.array([[float(each == chosen) for each in classes] for chosen in (first, last)]), "chosen"
            ),
        ]
        nodes += [
            helper.make_node("Greater", ["out_value", "limit"], ["is_last"]),
            helper.make_node("Where", ["is_last", "last", "first"], ["out_label"]),
            helper.make_node("Cast", ["is_last"], ["position"], to=TensorProto.INT64),
            helper.make_node("Squeeze", ["position", "across"], ["flat"]),
            helper.make_node("Gather", ["chosen", "flat"], ["out_probabilities"], axis=0),
        ]
    graph = helper.make_graph(
        nodes,
        "summed",
        [_described("in", each) for each in interface.inputs],
        [_described("out", each) for each in interface.outputs],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    written: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return written


def _described(end: str, tensor: pb.Input | pb.Output) -> ValueInfoProto:
    return helper.make_tensor_value_info(f"{end}_{tensor.name}", _ONNX[tensor.datatype], [None, tensor.width or 1])


def _worth(tensor: pb.Input) -> Iterator[NodeProto]:
    """From an input to a column of what it is worth."""
    name = tensor.name
    if tensor.datatype == pb.DATATYPE_BYTES:
        texts, values = list(TEXTS), list(TEXTS.values())
        yield helper.make_node(
            "LabelEncoder",
            [f"in_{name}"],
            [f"{name}_single"],
            domain="ai.onnx.ml",
            keys_strings=texts,
            values_floats=values,
            default_float=OTHER,
        )
        yield helper.make_node("Cast", [f"{name}_single"], [f"{name}_real"], to=TensorProto.DOUBLE)
    else:
        yield helper.make_node("Cast", [f"in_{name}"], [f"{name}_real"], to=TensorProto.DOUBLE)
    yield helper.make_node("IsNaN", [f"{name}_real"], [f"{name}_missing"])
    yield helper.make_node("Where", [f"{name}_missing", "zero", f"{name}_real"], [f"{name}_known"])
    yield helper.make_node("ReduceSum", [f"{name}_known", "across"], [f"{name}_sum"], keepdims=1)
    yield helper.make_node("Mul", [f"{name}_sum", f"{name}_weight"], [f"{name}_worth"])
