"""Server reflection, as grpcurl and its like use it: from no .proto at all to a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from sardonyx.oip import messages as oip
from server.scene import PATIENCE_S, REGRESSOR, array_of

if TYPE_CHECKING:
    import grpc

    from server.scene import Scene

SERVICES = {
    "inference.GRPCInferenceService": {
        "ServerLive",
        "ServerReady",
        "ModelReady",
        "ServerMetadata",
        "ModelMetadata",
        "ModelInfer",
        "ModelStreamInfer",
    },
    "sardonyx.serving.v1.ModelService": {"ListModels", "GetModel", "GetServer"},
    "grpc.health.v1.Health": {"Check", "Watch"},
    "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo"},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo"},
    "arrival.v1.ArrivalService": {"Predict", "PredictBatch"},
    "flight_delay.v1.FlightDelayService": {"Predict", "PredictBatch"},
}


@pytest.fixture
def database(channel: grpc.Channel) -> ProtoReflectionDescriptorDatabase:
    """What reflection knows, fetched as it is asked for."""
    return ProtoReflectionDescriptorDatabase(channel)


def ask_reflection(channel: grpc.Channel, **request: Any) -> reflection_pb2.ServerReflectionResponse:
    """One question."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    questions = iter([reflection_pb2.ServerReflectionRequest(**request)])
    (answer,) = stub.ServerReflectionInfo(questions, timeout=PATIENCE_S)
    return answer


def test_services_are_listed(database: ProtoReflectionDescriptorDatabase) -> None:
    """All services on the port are listed, and nothing else."""
    assert set(database.get_services()) == SERVICES.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_the_files_of_each_service_resolve(database: ProtoReflectionDescriptorDatabase, service: str) -> None:
    """Each service's file and all that it imports are served: its methods and their messages resolve."""
    pool = descriptor_pool.DescriptorPool(database)
    descriptor = pool.FindServiceByName(service)
    methods = {method.name for method in descriptor.methods}
    assert SERVICES[service] <= methods
    for method in descriptor.methods:
        for message in (method.input_type, method.output_type):
            assert pool.FindMessageTypeByName(message.full_name).full_name == message.full_name


def test_every_listed_method_is_served(database: ProtoReflectionDescriptorDatabase) -> None:
    """Reflection promises no method that the server does not have."""
    pool = descriptor_pool.DescriptorPool(database)
    for service, methods in SERVICES.items():
        listed = {method.name for method in pool.FindServiceByName(service).methods}
        assert listed - methods == set(), service


def test_a_file_is_found_by_its_name(channel: grpc.Channel) -> None:
    """A file that one symbol leads to is found by its own name too."""
    (file,) = ask_reflection(
        channel, file_containing_symbol="inference.ModelInferRequest"
    ).file_descriptor_response.file_descriptor_proto
    name = descriptor_pb2.FileDescriptorProto.FromString(file).name
    by_name = ask_reflection(channel, file_by_filename=name).file_descriptor_response.file_descriptor_proto
    assert file in by_name


@pytest.mark.parametrize(
    "question",
    [{"file_containing_symbol": "no.such.Symbol"}, {"file_by_filename": "no/such/file.proto"}],
    ids=["symbol", "file"],
)
def test_what_there_is_not_is_not_found(channel: grpc.Channel, question: dict[str, str]) -> None:
    """An unknown symbol or file is an answer that says NOT_FOUND, and the stream goes on."""
    assert ask_reflection(channel, **question).error_response.error_code == 5


def test_a_client_that_knows_reflection_alone_gets_a_right_answer(
    channel: grpc.Channel, database: ProtoReflectionDescriptorDatabase, scene: Scene
) -> None:
    """With messages made from reflection alone a prediction is asked for and read."""
    pool = descriptor_pool.DescriptorPool(database)
    method = pool.FindServiceByName(oip.SERVICE).FindMethodByName("ModelInfer")
    request_type: Any = message_factory.GetMessageClass(method.input_type)
    response_type: Any = message_factory.GetMessageClass(method.output_type)
    array = array_of(51, rows=4)
    request = request_type(model_name=REGRESSOR)
    tensor = request.inputs.add(name="features", datatype="FP64", shape=array.shape)
    tensor.contents.fp64_contents.extend(array.ravel())
    call = channel.unary_unary(
        f"/{oip.SERVICE}/ModelInfer",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )
    response = call(request, timeout=PATIENCE_S)
    np.testing.assert_allclose(
        response.outputs[0].contents.fp64_contents, scene.regressor.predict(array), rtol=1e-5, atol=1e-6
    )
