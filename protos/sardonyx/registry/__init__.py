"""The registry: a directory or a bucket, and no server.

::

    models/<name>/versions/<n>.json    a manifest: written last, created once, never changed
    models/<name>/events/<n>.json      what happened, created once, each with the digest of the one before
    blobs/sha256/<hex>                 bytes by content
    settings.json                      what holds for all models: created once, before the first version

A version appears whole or not at all, and what is live is a fold over the events. The exporter writes, server and
monitor read. Create-only writes decide every race: on local disk and in any object store with conditional puts.
"""

from sardonyx.registry.registry import Log, Registry
from sardonyx.registry.routes import LiveMoment, MajorRoutes, Routes, Share, fold

__all__ = ["LiveMoment", "Log", "MajorRoutes", "Registry", "Routes", "Share", "fold"]
