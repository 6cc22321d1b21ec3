"""What was made for callers: sentences for people, plain data for scripts."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sardonyx.registry.v1.settings_pb2 import Settings
    from sardonyx_exporter.stubs import StubsResult


def settings_data(settings: Settings) -> dict[str, Any]:
    """The settings of a registry, for scripts."""
    return {"proto_prefix": settings.proto_prefix}


def settings_text(settings: Settings) -> str:
    """The settings of a registry, for people."""
    return f"Packages of this registry begin with {settings.proto_prefix}, from the next generation of each model on."


def stubs_data(result: StubsResult) -> dict[str, Any]:
    """What was written, for scripts."""
    return {**asdict(result), "files": list(result.files)}


def stubs_text(result: StubsResult) -> str:
    """What was written, for people."""
    source = result.model if result.version is None else f"{result.model} version {result.version}"
    made = f"{result.package} of {source}, for all versions of v{result.interface_major}"
    lines = [f"{made}:", *(f"  {result.folder}/{file}" for file in result.files)]
    if "pyproject.toml" in result.files:
        lines.append(f"Install it: pip install {shlex.quote(f'{result.folder}/')}")
    return "\n".join(lines)
