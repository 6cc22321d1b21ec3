"""Node with the packages that the example names, installed once and kept below var/."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "node"
INSTALL_TIMEOUT_S = 180.0


def has_node() -> bool:
    """Whether Node and npm are there; CI may not be without."""
    found = bool(shutil.which("node") and shutil.which("npm"))
    if not found and os.environ.get("CI"):
        pytest.fail("CI may not skip Node: install nodejs and npm, as .ci/run does.")
    return found


def link_packages(folder: Path) -> None:
    """Let scripts in a folder find the example's packages; skips the test without Node."""
    if not has_node():
        pytest.skip("needs Node and npm (apt-get install nodejs npm)")
    package = (EXAMPLE / "package.json").read_bytes()
    installed = ROOT / "var" / "node" / hashlib.sha256(package).hexdigest()[:16]
    if not installed.exists():
        _install(package, installed)
    (folder / "node_modules").symlink_to(installed / "node_modules")


def _install(package: bytes, folder: Path) -> None:
    """Into a folder beside it first: one that is there is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent))
    (made / "package.json").write_bytes(package)
    npm = ["npm", "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    try:
        subprocess.run(npm, cwd=made, check=True, timeout=INSTALL_TIMEOUT_S)
        made.rename(folder)
    except OSError:
        # Somebody else was first.
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
