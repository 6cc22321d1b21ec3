"""The exporter: from a fitted scikit-learn model to a registered version, and what is live.

    from sardonyx_exporter import canary, export, promote, retire, retire_major, rollback, shadow
    from sardonyx_exporter import write_stubs, write_stubs_of_server

Nouns in the order in which a model meets them: ``source`` (the model and its data), ``convert`` (to ONNX), ``parity``
(the proof), ``policies`` (what it does with missing and unknown values), ``evaluation``, ``golden`` rows, ``baseline``,
``lineage``, ``generation`` (whose callers it may answer), and ``exporting``, which is the walk through all of them.
``stubs`` writes what those callers compile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sardonyx_exporter.acts import canary, promote, retire, retire_major, rollback, shadow
from sardonyx_exporter.errors import ConversionFailed, ExportRefused, ParityFailed, SourceRefused
from sardonyx_exporter.stubs import write_stubs, write_stubs_of_server

if TYPE_CHECKING:
    from sardonyx_exporter.exporting import ExportResult, export

__all__ = [
    "ConversionFailed",
    "ExportRefused",
    "ExportResult",
    "ParityFailed",
    "SourceRefused",
    "canary",
    "export",
    "promote",
    "retire",
    "retire_major",
    "rollback",
    "shadow",
    "write_stubs",
    "write_stubs_of_server",
]


def __getattr__(name: str) -> object:
    """What exports a model, when it is asked for: nothing else needs scikit-learn and pandas, which take a second."""
    if name not in {"ExportResult", "export"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sardonyx_exporter import exporting

    return getattr(exporting, name)


def __dir__() -> list[str]:
    """What there is, loaded or not."""
    return sorted({*globals(), *__all__})
