"""What each page shows, put together from the store, the registry and the monitor's own counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sardonyx_monitor.catalog import Model
from sardonyx_monitor.views import callers, health, inputs, models, search, shapes, trace, trace_shapes
from sardonyx_monitor.views.traffic import read_traffic_series
from sardonyx_monitor.views.window import DEFAULT, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx_monitor.catalog import Catalog, Snapshot
    from sardonyx_monitor.receiver.losses import Losses
    from sardonyx_monitor.store.reader import Query, Reader
    from sardonyx_monitor.store.writer import Writer


#: What ``/api/models/<name>/callers`` looks back to.
CALLERS_WITHIN: Final = "7d"


class Views:
    """One method a page; each reads the store off the event loop.

    Args:
        reader: of the store.
        health_reader: of the store, for what is asked of the monitor itself: it waits behind no page.
        writer: of the store, for what it says of itself.
        catalog: of the registry.
        losses: what did not get in.
    """

    def __init__(self, reader: Reader, health_reader: Reader, writer: Writer, catalog: Catalog, losses: Losses) -> None:
        self._reader = reader
        self._health_reader = health_reader
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
        views, unknown, window = await self._reader.run(models.read_models, snapshot, window)
        return shapes.ModelsPage(window.view, self._registry(snapshot), views, unknown)

    async def model(self, name: str, address: Mapping[str, str]) -> shapes.ModelPage:
        """One model.

        Raises:
            ModelNotFound: nobody knows it.
        """
        window, snapshot = _window(address), self._catalog.snapshot
        return await self._reader.run(self._model, snapshot, name, window)

    async def inputs(self, name: str, address: Mapping[str, str]) -> inputs.InputsPage:
        """The newest captured rows of one model: ``version``, ``limit`` and ``window``."""
        window, wanted = _window(address), inputs.Wanted.parse(address)
        return await self._reader.run(inputs.read_inputs, name, wanted, window)

    async def callers(self, name: str, address: Mapping[str, str]) -> shapes.CallersPage:
        """Who called one model: ``within``, such as ``7d``.

        Raises:
            ModelNotFound: nobody knows it.
        """
        span_ns = callers.span_of(address.get("within") or CALLERS_WITHIN)
        return await self._reader.run(callers.read_page, self._catalog.snapshot, name, span_ns)

    async def traces(self, address: Mapping[str, str]) -> trace_shapes.TracesPage:
        """A search: ``q``, ``model``, ``version``, ``route``, ``status``, ``min_ms`` and ``window``."""
        window, wanted = _window(address), search.Search.parse(address)
        return await self._reader.run(search.search_traces, wanted, self._catalog.snapshot, window)

    async def trace(self, trace_id: str) -> trace_shapes.TracePage:
        """One trace.

        Raises:
            NotFound: it is not stored.
        """
        return await self._reader.run(trace.read_trace, self._catalog.snapshot, trace_id)

    async def health(self) -> health.HealthPage:
        """The monitor about itself."""
        return await self._health_reader.run(
            health.read_health, self._writer, self._losses, self._registry(self._catalog.snapshot)
        )

    def _model(self, query: Query, snapshot: Snapshot, name: str, window: Window) -> shapes.ModelPage:
        model = snapshot.models.get(name, Model())
        view, window = models.read_model(query, snapshot, name, window)
        return shapes.ModelPage(
            window=window.view,
            registry=self._registry(snapshot),
            model=view,
            traffic=read_traffic_series(query, name, window),
            quality=models.read_series(query, model, view, window),
            shadow_quality=models.read_shadow_series(query, model, view, window),
            moments=models.moments_of(model),
        )

    def _registry(self, snapshot: Snapshot) -> shapes.RegistryView:
        read_ns = int(snapshot.read_at.timestamp() * 1e9) if snapshot.read_at else None
        return shapes.RegistryView(self._catalog.location, read_ns, snapshot.error)


def _window(address: Mapping[str, str]) -> Window:
    return Window.parse(address.get("window") or DEFAULT)
