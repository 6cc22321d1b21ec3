"""What each page shows, put together from the store, the registry and the monitor's own counts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sardonyx_monitor.catalog import Model
from sardonyx_monitor.views import models, shapes, traces
from sardonyx_monitor.views.window import DEFAULT, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx_monitor.catalog import Catalog, Snapshot
    from sardonyx_monitor.receiver.losses import Losses
    from sardonyx_monitor.store.reader import Query, Reader
    from sardonyx_monitor.store.writer import Writer


class Views:
    """One method a page; each reads the store off the event loop.

    Args:
        reader: of the store.
        writer: of the store, for what it says of itself.
        catalog: of the registry.
        losses: what did not get in.
    """

    def __init__(self, reader: Reader, writer: Writer, catalog: Catalog, losses: Losses) -> None:
        self._reader = reader
        self._writer = writer
        self._catalog = catalog
        self._losses = losses

    async def models(self, address: Mapping[str, str]) -> shapes.ModelsPage:
        """All models.

        Args:
            address: the query of the page's address: ``window``.

        Raises:
            InvalidInput: the address asks for what there is not. So do the other methods.
        """
        window, snapshot = _window(address), self._catalog.snapshot
        views, unknown = await self._reader.run(models.read_models, snapshot, window)
        return shapes.ModelsPage(window.view, self._registry(snapshot), views, unknown)

    async def model(self, name: str, address: Mapping[str, str]) -> shapes.ModelPage:
        """One model.

        Raises:
            ModelNotFound: nobody knows it.
        """
        window, snapshot = _window(address), self._catalog.snapshot
        return await self._reader.run(self._model, snapshot, name, window)

    async def traces(self, address: Mapping[str, str]) -> shapes.TracesPage:
        """A search: ``q``, ``model``, ``version``, ``status``, ``min_ms`` and ``window``."""
        window, search = _window(address), traces.Search.parse(address)
        return await self._reader.run(traces.search_traces, search, self._catalog.snapshot, window)

    async def trace(self, trace_id: str) -> shapes.TracePage:
        """One trace.

        Raises:
            NotFound: it is not stored.
        """
        return await self._reader.run(traces.read_trace, self._catalog.snapshot, trace_id)

    async def health(self) -> shapes.HealthPage:
        """The monitor about itself."""
        return await self._reader.run(self._health)

    def _model(self, query: Query, snapshot: Snapshot, name: str, window: Window) -> shapes.ModelPage:
        model = snapshot.models.get(name, Model())
        view, window = models.read_model(query, snapshot, name, window)
        return shapes.ModelPage(
            window=window.view,
            registry=self._registry(snapshot),
            model=view,
            traffic=models.read_traffic_series(query, name, window),
            quality=models.read_quality_series(query, model, view, window),
            moments=models.moments_of(model),
        )

    def _health(self, query: Query) -> shapes.HealthPage:
        since_start = asdict(self._losses) | {"spans_repeated": self._writer.repeated}
        return shapes.HealthPage(
            writing=self._writer.alive,
            disk_full=self._writer.disk_full,
            waiting_calls=self._writer.waiting,
            stored=query.row("totals"),
            since_start=since_start,
            orphan_outcomes=query.row("orphans")["orphans"],
            senders=[shapes.Sender(**row) for row in query.rows("senders")],
            registry=self._registry(self._catalog.snapshot),
        )

    def _registry(self, snapshot: Snapshot) -> shapes.RegistryView:
        read_ns = int(snapshot.read_at.timestamp() * 1e9) if snapshot.read_at else None
        return shapes.RegistryView(self._catalog.location, read_ns, snapshot.error)


def _window(address: Mapping[str, str]) -> Window:
    return Window.parse(address.get("window") or DEFAULT)
