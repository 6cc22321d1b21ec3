"""The Open Inference Protocol's messages, in a descriptor pool of their own.

Other clients (tritonclient, KServe's SDK) register the same ``inference.*`` symbols in protobuf's default pool, which
accepts each symbol once. In a pool of our own both live in one process, whichever is imported first.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from sardonyx.oip.inference_pb2 import (
        InferParameter,
        InferTensorContents,
        ModelInferRequest,
        ModelInferResponse,
        ModelMetadataRequest,
        ModelMetadataResponse,
        ModelReadyRequest,
        ModelReadyResponse,
        ModelStreamInferResponse,
        ServerLiveRequest,
        ServerLiveResponse,
        ServerMetadataRequest,
        ServerMetadataResponse,
        ServerReadyRequest,
        ServerReadyResponse,
    )

SERVICE: Final = "inference.GRPCInferenceService"


def _load_pool() -> descriptor_pool.DescriptorPool:
    files = descriptor_pb2.FileDescriptorSet.FromString(
        resources.files("sardonyx.oip").joinpath("inference.binpb").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


#: For server reflection, and for nothing else: messages of two pools cannot be mixed.
POOL: Final = _load_pool()

if not TYPE_CHECKING:

    def _message(name: str) -> type:
        return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))

    InferParameter = _message("InferParameter")
    InferTensorContents = _message("InferTensorContents")
    ModelInferRequest = _message("ModelInferRequest")
    ModelInferResponse = _message("ModelInferResponse")
    ModelMetadataRequest = _message("ModelMetadataRequest")
    ModelMetadataResponse = _message("ModelMetadataResponse")
    ModelReadyRequest = _message("ModelReadyRequest")
    ModelReadyResponse = _message("ModelReadyResponse")
    ModelStreamInferResponse = _message("ModelStreamInferResponse")
    ServerLiveRequest = _message("ServerLiveRequest")
    ServerLiveResponse = _message("ServerLiveResponse")
    ServerMetadataRequest = _message("ServerMetadataRequest")
    ServerMetadataResponse = _message("ServerMetadataResponse")
    ServerReadyRequest = _message("ServerReadyRequest")
    ServerReadyResponse = _message("ServerReadyResponse")

__all__ = [
    "POOL",
    "SERVICE",
    "InferParameter",
    "InferTensorContents",
    "ModelInferRequest",
    "ModelInferResponse",
    "ModelMetadataRequest",
    "ModelMetadataResponse",
    "ModelReadyRequest",
    "ModelReadyResponse",
    "ModelStreamInferResponse",
    "ServerLiveRequest",
    "ServerLiveResponse",
    "ServerMetadataRequest",
    "ServerMetadataResponse",
    "ServerReadyRequest",
    "ServerReadyResponse",
]
