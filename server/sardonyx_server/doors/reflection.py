"""Server reflection (v1alpha): what generic clients such as grpcurl ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import DESCRIPTOR as REFLECTION

from sardonyx.oip import messages as oip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SERVICE: Final = REFLECTION.services_by_name["ServerReflection"].full_name


class _Pools:
    """Several descriptor pools that answer as one: the first that knows a name.

    It has the methods of DescriptorPool that grpcio-reflection calls.
    """

    def __init__(self, pools: Sequence[descriptor_pool.DescriptorPool]) -> None:
        self._pools = pools

    def FindFileByName(self, name: str) -> Any:  # noqa: N802 - DescriptorPool's names
        return self._first("FindFileByName", name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802
        return self._first("FindFileContainingSymbol", symbol)

    def FindMessageTypeByName(self, name: str) -> Any:  # noqa: N802
        return self._first("FindMessageTypeByName", name)

    def FindExtensionByNumber(self, message: Any, number: int) -> Any:  # noqa: N802
        return self._first("FindExtensionByNumber", message, number)

    def FindAllExtensions(self, message: Any) -> list[Any]:  # noqa: N802
        return [extension for pool in self._pools for extension in pool.FindAllExtensions(message)]

    def _first(self, method: str, *arguments: Any) -> Any:
        for pool in self._pools:
            try:
                return getattr(pool, method)(*arguments)
            except KeyError:
                continue
        raise KeyError(arguments)


def reflection_servicer(services: Iterable[str]) -> Any:
    """The servicer for these services; the Open Inference Protocol's pool is asked first."""
    return reflection.aio.ReflectionServicer(services, pool=_Pools([oip.POOL, descriptor_pool.Default()]))
