"""Where a version comes from."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from typing import TYPE_CHECKING, Final

from sardonyx.registry.v1.manifest_pb2 import Lineage

if TYPE_CHECKING:
    from sardonyx_exporter.source import Source

#: What decides an answer, or a conversion.
PACKAGES: Final = (
    "sardonyx",
    "scikit-learn",
    "numpy",
    "scipy",
    "pandas",
    "skl2onnx",
    "onnx",
    "onnxruntime",
    "protobuf",
)
SOURCE_CHARACTERS_MAX: Final = 20_000
GIT_TIMEOUT_S: Final = 10


def trace(source: Source, training_data: str) -> Lineage:
    """The state of the repository that this runs in, if it is one, and the packages at work."""
    commit = _git("rev-parse", "HEAD")
    return Lineage(
        git_commit=commit or "",
        git_dirty=bool(commit and _git("status", "--porcelain")),
        training_data=training_data,
        environment={"python": platform.python_version(), **versions(*PACKAGES)},
        source_model=repr(source.model)[:SOURCE_CHARACTERS_MAX],
    )


def versions(*packages: str) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str | None:
    """What git says about the working directory; None where there is no git, or no repository."""
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            ["git", *arguments],  # noqa: S607 - whichever git the author uses
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
