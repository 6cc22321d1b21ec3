"""Callers of a model's own service: one that knows reflection alone, and one that compiled its .proto."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

from sardonyx.typed import text, typed_service
from server.scene import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import grpc

    from sardonyx.registry.v1.manifest_pb2 import Manifest


@dataclass(frozen=True, slots=True)
class Stub:
    """What a caller has of a service.

    Attributes:
        predict, predict_batch: the methods.
        request, batch_request: what they take.
    """

    predict: Any
    predict_batch: Any
    request: type[Any]
    batch_request: type[Any]

    def one(self, features: Mapping[str, Any], metadata: Any = (), **fields: Any) -> Any:
        """The answer to a row."""
        return self.predict(self.request(features=features, **fields), timeout=PATIENCE_S, metadata=metadata)

    def many(self, columns: Mapping[str, Any], metadata: Any = (), **fields: Any) -> Any:
        """The answer to columns."""
        request = self.batch_request(columns=columns, **fields)
        return self.predict_batch(request, timeout=PATIENCE_S, metadata=metadata)


def by_reflection(channel: grpc.Channel, service: str) -> Stub:
    """A stub of what the server says of itself."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    methods = pool.FindServiceByName(service).methods_by_name
    found = []
    for name in ("Predict", "PredictBatch"):
        request, response = (
            message_factory.GetMessageClass(each) for each in (methods[name].input_type, methods[name].output_type)
        )
        found.append((_method(channel, service, name, request, response), request))
    (predict, one), (batch, many) = found
    return Stub(predict, batch, one, many)


def by_form(channel: grpc.Channel, manifest: Manifest) -> Stub:
    """A stub of a version's manifest, as it was when its caller was built."""
    typed = typed_service(manifest)
    predict = _method(channel, typed.name, "Predict", typed.predict_request, typed.predict_response)
    batch = _method(channel, typed.name, "PredictBatch", typed.batch_request, typed.batch_response)
    return Stub(predict, batch, typed.predict_request, typed.batch_request)


def by_compiler(channel: grpc.Channel, manifest: Manifest, folder: Path) -> Stub:
    """A stub that protoc and gRPC's own plugin make of the .proto; what was compiled stays importable."""
    typed = typed_service(manifest)
    path = folder / typed.file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(typed.file))
    options = (f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}")
    assert protoc.main(["protoc", *options, typed.file.name]) == 0
    module = typed.file.name.removesuffix(".proto").replace("/", ".")
    sys.path.insert(0, str(folder))
    try:
        messages, services = (importlib.import_module(module + end) for end in ("_pb2", "_pb2_grpc"))
    finally:
        sys.path.remove(str(folder))
    made = getattr(services, f"{typed.form.service}Stub")(channel)
    return Stub(made.Predict, made.PredictBatch, messages.PredictRequest, messages.PredictBatchRequest)


def _method(channel: grpc.Channel, service: str, name: str, request: type[Any], response: type[Any]) -> Any:
    return channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
