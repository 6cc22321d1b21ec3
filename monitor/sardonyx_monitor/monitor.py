"""The monitor's parts, put together, started and stopped in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sardonyx_monitor.catalog import Catalog
from sardonyx_monitor.receiver.admission import Admission
from sardonyx_monitor.receiver.decoder import Decoder
from sardonyx_monitor.receiver.grpc_server import GrpcServer
from sardonyx_monitor.receiver.losses import Losses
from sardonyx_monitor.receiver.outcomes import OutcomeReceiver
from sardonyx_monitor.receiver.traces import TraceReceiver
from sardonyx_monitor.store.database import Database
from sardonyx_monitor.store.reader import Reader
from sardonyx_monitor.store.writer import Writer
from sardonyx_monitor.views.views import Views
from sardonyx_monitor.web.app import build
from sardonyx_monitor.web.server import WebServer

if TYPE_CHECKING:
    from sardonyx_monitor.config import Config


class Monitor:
    """Receives, stores and shows. Construction does nothing to the outside.

    Attributes:
        failed: set once the store is beyond use: nothing but another start helps.
        otlp_port: where OTLP/gRPC listens, once started.
        web_port: where the pages are, once started.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._database = Database(config.data)
        self._catalog = Catalog(config.registry, config.poll_interval_s)
        self.failed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer = Writer(self._database, config.keep_days, self._store_failed)
        self._reader = Reader(self._database)
        self._health_reader = Reader(self._database, threads=1)
        losses, admission, self._decoder = Losses(), Admission(), Decoder()
        takes = (self._writer, admission, losses, self._decoder)
        self._grpc = GrpcServer(TraceReceiver(*takes), OutcomeReceiver(*takes))
        views = Views(self._reader, self._health_reader, self._writer, self._catalog, losses)
        self._web = WebServer(build(views))
        self.otlp_port = 0
        self.web_port = 0

    async def start(self) -> None:
        """Open the store, then the doors.

        Raises:
            StoreRefused: the store cannot be used.
            AddressRefused, RuntimeError: an address cannot be had.
        """
        self._loop = asyncio.get_running_loop()
        self._database.open()
        self._writer.start()
        self._catalog.start()
        self.otlp_port = await self._grpc.start(self._config.otlp)
        self.web_port = await self._web.start(self._config.web)

    def _store_failed(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.failed.set)

    async def stop(self) -> None:
        """Close the doors, write what was taken, let go of the store. Safe twice, and after a failed start."""
        await self._grpc.stop()
        await self._web.stop()
        self._decoder.stop()
        self._catalog.stop()
        self._writer.stop()
        self._reader.stop()
        self._health_reader.stop()
        self._database.close()
