"""The messages of one generation's typed service, in a descriptor pool of their own.

One pool for each model and generation: a pool takes each name once, and messages of two pools do not mix. A service of
30 inputs is made in 1.2 ms and takes 100 KiB; a thousand made and dropped left 0.8 MiB in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory

from sardonyx.typed.form import Form, form_of
from sardonyx.typed.schema import schema

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from sardonyx.registry.v1.manifest_pb2 import Manifest


@dataclass(frozen=True, slots=True)
class TypedService:
    """What a server or a client needs of one generation.

    Attributes:
        form: which field holds which input, output and class.
        file: the descriptor, with its comments.
        pool: for reflection; holds the file and nothing else.
        predict_request, predict_response, batch_request, batch_response: message classes of that pool, whose fields
            are known at run time only.
    """

    form: Form
    file: FileDescriptorProto
    pool: descriptor_pool.DescriptorPool
    predict_request: type[Any]
    predict_response: type[Any]
    batch_request: type[Any]
    batch_response: type[Any]

    @property
    def name(self) -> str:
        """The service's full name: ``/<name>/Predict`` and ``/<name>/PredictBatch`` are its methods."""
        return f"{self.form.package}.{self.form.service}"


def typed_service(source: Manifest | Form) -> TypedService:
    """The messages of a version's typed service."""
    form = source if isinstance(source, Form) else form_of(source)
    file = schema(form)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    described = pool.FindFileByName(file.name)
    names = ("PredictRequest", "PredictResponse", "PredictBatchRequest", "PredictBatchResponse")
    return TypedService(form, file, pool, *(_class(described, name) for name in names))


def _class(file: FileDescriptor, name: str) -> type[Any]:
    return message_factory.GetMessageClass(file.message_types_by_name[name])
