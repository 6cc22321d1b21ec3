"""sardonyx.serving.v1.ModelService: which versions, in which state, and why not."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sardonyx import __version__
from sardonyx.serving.v1 import model_service_pb2 as pb
from sardonyx_server.life.lanes import CANARY, LIVE, SHADOW

if TYPE_CHECKING:
    import grpc

    from sardonyx_server.drain import Drain
    from sardonyx_server.life.manager import Manager
    from sardonyx_server.life.model import Model
    from sardonyx_server.life.watcher import Watcher
    from sardonyx_server.shadow import Shadow
    from sardonyx_server.telemetry.sender import Sender

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ModelService"].full_name


class ModelsDoor:
    """Answers for one worker."""

    def __init__(
        self,
        manager: Manager,
        watcher: Watcher,
        shadow: Shadow,
        sender: Sender | None,
        location: str,
        drain: Drain,
    ) -> None:
        self._manager = manager
        self._watcher = watcher
        self._shadow = shadow
        self._sender = sender
        self._location = location
        self._drain = drain
        self._started = datetime.now(UTC)

    async def list_models(self, _request: pb.ListModelsRequest, _context: Context) -> pb.ListModelsResponse:
        """Every model, by name."""
        models = self._manager.models
        return pb.ListModelsResponse(models=[_model(models[name]) for name in sorted(models)])

    async def get_model(self, request: pb.GetModelRequest, _context: Context) -> pb.GetModelResponse:
        """One model."""
        return pb.GetModelResponse(model=_model(self._manager.models.find(request.model)))

    async def get_server(self, _request: pb.GetServerRequest, _context: Context) -> pb.GetServerResponse:
        """The worker itself, its registry, its shadows and its telemetry."""
        response = pb.GetServerResponse(server_version=__version__, process_id=os.getpid(), draining=self._drain.begun)
        response.start_time.FromDatetime(self._started)
        response.registry.location = self._location
        response.registry.error = self._watcher.error
        if self._watcher.last_read:
            response.registry.last_read_time.FromDatetime(self._watcher.last_read)
        for (model, version), seen in sorted(self._shadow.seen.items()):
            response.shadows.add(
                model=model,
                version=version,
                offered=seen.offered,
                ran=seen.ran,
                failed=seen.failed,
                dropped=seen.dropped,
                rows=seen.rows,
                rows_alike=seen.rows_alike,
            )
        if self._sender:
            response.telemetry.endpoint = self._sender.endpoint
            response.telemetry.spans_sent = self._sender.sent
            response.telemetry.spans_dropped = self._sender.dropped
            response.telemetry.spans_buffered = self._sender.buffered
            response.telemetry.error = self._sender.error
        return response


def _model(model: Model) -> pb.Model:
    described = pb.Model(name=model.name, default_major=model.default_major)
    lanes = model.lanes()
    for number in sorted(model.versions):
        version = model.versions[number]
        percents = {lane.route: lane.percent for lane in lanes.get(number, ())}
        entry = described.versions.add(
            version=number,
            interface_major=version.major,
            state=pb.State.ValueType(version.state),
            routes=[route for route in (LIVE, CANARY, SHADOW) if route in percents],
            canary_percent=percents.get(CANARY, 0.0),
            shadow_percent=percents.get(SHADOW, 0.0),
            reason=version.reason,
        )
        entry.change_time.FromDatetime(version.changed)
    return described
