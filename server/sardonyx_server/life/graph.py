"""What a graph asks for, read from the file before ONNX Runtime sees it: nothing but computing with its own bytes.

Whoever may write to a registry decides what is served. That is no right to read files of the server, to run code in it
or to take its memory, and a file that was damaged is better named by its damage than by what it does to a parser.

What a graph computes is not bounded here: a loop may still take for ever, and a product as much memory as it likes. The
golden rows are run off the request path and for a limited time (`manager.py`), and a worker's memory is the operating
system's to limit.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from sardonyx.interface import DATATYPE_NAMES
from sardonyx.onnx.v1 import model_pb2 as onnx
from sardonyx.registry.v1 import interface_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sardonyx.registry.v1.interface_pb2 import Input, Output
    from sardonyx.registry.v1.manifest_pb2 import Binding, Manifest

#: The largest file. ONNX itself ends at 2 GiB (protobuf's limit); a forest of 1,000 deep trees has some 200 MB.
GRAPH_BYTES_MAX: Final = 1 << 30
#: How many elements a tensor may have whose shape is constant: 2 GiB of doubles.
CONSTANT_ELEMENTS_MAX: Final = 1 << 28
#: ONNX Runtime's own limit is higher; numpy's is 64.
RANK_MAX: Final = 64
#: Graphs within graphs. skl2onnx writes two levels at most; each costs a parser's stack.
NESTING_MAX: Final = 8

#: ONNX's own operators.
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
#: Of those that ONNX Runtime has beside them, what skl2onnx writes.
_RUNTIME_DOMAIN: Final = "com.microsoft"
_RUNTIME_OPERATORS: Final = frozenset({"CDist", "MurmurHash3", "Tokenizer"})
#: Operators that make a tensor as large as a number says, and which of their inputs says it.
_SIZED_BY: Final = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}

#: TensorProto.DataType: bytes of one element. Text has no fixed size; complex, 8-bit and 4-bit floats no model has.
_SIZES: Final = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8}
_INT64: Final = 7
_TEXT: Final = 8
_EXTERNAL: Final = 1
#: TensorProto.DataType by what the interface calls it.
_TYPES: Final = {
    pb.DATATYPE_FP32: 1,
    pb.DATATYPE_INT32: 6,
    pb.DATATYPE_INT64: 7,
    pb.DATATYPE_BYTES: 8,
    pb.DATATYPE_BOOL: 9,
    pb.DATATYPE_FP64: 11,
}


class GraphRefused(Exception):
    """A file that is not given to ONNX Runtime; the text is for the operator."""


def check_graph(manifest: Manifest, data: bytes) -> None:
    """Look through a file.

    Args:
        manifest: says which of its tensors are the interface's.
        data: the ONNX file.

    Raises:
        GraphRefused: it is no ONNX file, or asks for something that a graph has no business with.
    """
    if len(data) > GRAPH_BYTES_MAX:
        raise GraphRefused(f"The graph has {len(data)} bytes, and a server takes {GRAPH_BYTES_MAX} at most.")
    try:
        model = onnx.Model.FromString(data)
    except DecodeError:
        raise GraphRefused("The graph is no ONNX file, or its parts lie too deep within one another.") from None
    if not model.graph.nodes:
        raise GraphRefused("The graph is empty: it is no ONNX file, or holds no model.")
    _check_model(model)
    for graph in _graphs(model.graph):
        _check_tensors(graph)
        _check_nodes(graph)
    _check_bindings(manifest, model.graph)


def _check_model(model: onnx.Model) -> None:
    if model.functions:
        raise GraphRefused("The graph brings functions of its own. Only ONNX's operators are run.")
    if model.training_info:
        raise GraphRefused("The graph brings instructions for training. Only inference is run.")
    for each in model.operator_sets:
        if each.domain not in _DOMAINS and each.domain != _RUNTIME_DOMAIN:
            raise GraphRefused(f"The graph needs the operators of {each.domain[:100]!r}, which take a library.")


def _graphs(graph: onnx.Graph, depth: int = 0) -> Iterator[onnx.Graph]:
    """A graph and all within it."""
    if depth > NESTING_MAX:
        raise GraphRefused(f"The graph holds graphs within graphs, more than {NESTING_MAX} deep.")
    yield graph
    for node in graph.nodes:
        for attribute in node.attributes:
            for inner in (attribute.graph, *attribute.graphs) if attribute.HasField("graph") else attribute.graphs:
                yield from _graphs(inner, depth + 1)


def _check_nodes(graph: onnx.Graph) -> None:
    numbers = {tensor.name: _integers(tensor) for tensor in graph.initializers if tensor.data_type == _INT64}
    for node in graph.nodes:
        known = node.domain in _DOMAINS
        if not known and not (node.domain == _RUNTIME_DOMAIN and node.operator in _RUNTIME_OPERATORS):
            name = f"{node.domain[:100]}.{node.operator[:100]}"
            raise GraphRefused(f"The graph needs the operator {name}, which is none of ONNX's.")
        for attribute in node.attributes:
            _check_attribute(attribute)
        if known and node.operator == "Constant":
            _note_constant(node, numbers)
        elif known and node.operator in _SIZED_BY:
            _check_size(node, numbers)


def _note_constant(node: onnx.Node, numbers: dict[str, Sequence[int]]) -> None:
    """Whole numbers that a node makes known under a name."""
    for attribute in node.attributes:
        if attribute.tensor.data_type == _INT64 and node.outputs:
            numbers[node.outputs[0]] = _integers(attribute.tensor)
        elif attribute.integers and node.outputs:
            numbers[node.outputs[0]] = attribute.integers


def _check_size(node: onnx.Node, numbers: Mapping[str, Sequence[int]]) -> None:
    """Whether a tensor whose shape is constant is one that a model has a use for."""
    position = _SIZED_BY[node.operator]
    shape = numbers.get(node.inputs[position], ()) if position < len(node.inputs) else ()
    # Expand knows 1 as "as it is", and Tile multiplies: neither can make a small tensor of a large shape.
    _check_shape(node.operator, [abs(size) for size in shape])


def _integers(tensor: onnx.Tensor) -> Sequence[int]:
    """The values of a tensor of INT64; only short ones are shapes."""
    if tensor.integers64:
        return tensor.integers64 if len(tensor.integers64) <= RANK_MAX else ()
    count = len(tensor.raw) // 8
    return struct.unpack_from(f"<{count}q", tensor.raw) if count <= RANK_MAX else ()


def _check_attribute(attribute: onnx.Attribute) -> None:
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
        raise GraphRefused(f"Attribute {attribute.name[:100]!r} is a sparse tensor. Write it out.")
    for tensor in (attribute.tensor, *attribute.tensors) if attribute.HasField("tensor") else attribute.tensors:
        _check_tensor(tensor)


def _check_tensors(graph: onnx.Graph) -> None:
    if graph.sparse_initializers:
        raise GraphRefused("The graph holds sparse tensors. Write them out.")
    for tensor in graph.initializers:
        _check_tensor(tensor)
    for value in (*graph.inputs, *graph.outputs, *graph.values):
        dimensions = value.type.tensor.shape.dimensions
        _check_shape(value.name, [size.value for size in dimensions if size.HasField("value")])


def _check_tensor(tensor: onnx.Tensor) -> None:
    """A tensor's values lie in the file, all of them."""
    name = tensor.name[:100]
    if tensor.data_location == _EXTERNAL or tensor.external_data:
        raise GraphRefused(f"Tensor {name!r} lies in another file. Store its values in the graph.")
    _check_shape(name, tensor.dimensions)
    expected, found = math.prod(tensor.dimensions), _elements(tensor)
    if expected != found:
        raise GraphRefused(f"Tensor {name!r} should have {expected} elements and has {found}: the file is damaged.")


def _elements(tensor: onnx.Tensor) -> int:
    """How many elements a tensor's data holds."""
    if tensor.data_type == _TEXT:
        return len(tensor.texts)
    size = _SIZES.get(tensor.data_type)
    if size is None:
        raise GraphRefused(f"Tensor {tensor.name[:100]!r} has the type {tensor.data_type}, which no model needs.")
    if tensor.raw:
        return len(tensor.raw) // size
    numbers = (tensor.floats, tensor.doubles, tensor.integers32, tensor.integers64, tensor.naturals)
    return max(len(values) for values in numbers)


def _check_bindings(manifest: Manifest, graph: onnx.Graph) -> None:
    """The graph takes and gives what the interface says, by name, type and width."""
    given = {tensor.name for tensor in graph.initializers}
    taken = {value.name: value for value in graph.inputs if value.name not in given}
    bound = {binding.tensor for binding in manifest.graph.inputs}
    if taken.keys() != bound:
        differing = ", ".join(sorted(name[:100] for name in taken.keys() ^ bound))
        raise GraphRefused(f"The graph's inputs are not those of the manifest: {differing}.")
    made = {value.name: value for value in graph.outputs}
    _check_ends("input", manifest.interface.inputs, manifest.graph.inputs, taken)
    _check_ends("output", manifest.interface.outputs, manifest.graph.outputs, made)


def _check_ends(
    noun: str, tensors: Sequence[Input | Output], bindings: Sequence[Binding], values: Mapping[str, onnx.Value]
) -> None:
    if len(tensors) != len(bindings):
        raise GraphRefused(f"The manifest names {len(tensors)} {noun}s and binds {len(bindings)} of them.")
    for tensor, binding in zip(tensors, bindings, strict=True):
        value = values.get(binding.tensor)
        if value is None:
            raise GraphRefused(f"The graph has no {noun} {binding.tensor[:100]!r}, which is that of {tensor.name!r}.")
        datatype = binding.datatype or tensor.datatype
        if _TYPES.get(datatype) != value.type.tensor.element_type:
            expected = DATATYPE_NAMES.get(datatype, "no type")
            raise GraphRefused(f"The graph's {noun} {binding.tensor[:100]!r} is not of the type {expected}.")


def _check_shape(name: str, shape: Sequence[int]) -> None:
    """Python's numbers do not overflow, however large a product is."""
    if len(shape) > RANK_MAX or min(shape, default=0) < 0 or math.prod(shape) > CONSTANT_ELEMENTS_MAX:
        shown = ", ".join(map(str, shape[:8])) + (", …" if len(shape) > 8 else "")
        raise GraphRefused(f"{name[:100]!r} has the shape [{shown}], which is absurd.")
