"""A virtual environment for a contender whose requirements do not go together with ours."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from contenders.process import ROOT, NotHere

HERE: Final = Path(__file__).parent
ENVIRONMENTS: Final = ROOT / "var" / "bench"
INSTALL_TIMEOUT_S: Final = 900.0


def environment(name: str) -> Path:
    """The folder of a contender's environment, made at the first need and whenever its requirements change.

    Args:
        name: the contender: ``contenders/<name>.txt`` holds its requirements.

    Raises:
        NotHere: they cannot be installed.
    """
    requirements = HERE / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = ENVIRONMENTS / name
    made = folder / "made-from"
    if not made.exists() or made.read_text() != digest:
        print(f"Installing {name} into {folder} (a minute or two, once) ...", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        _install(name, folder, requirements)
        made.write_text(digest)
    return folder


def _install(name: str, folder: Path, requirements: Path) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run(
            [*pip, "--requirement", str(requirements)], capture_output=True, check=True, timeout=INSTALL_TIMEOUT_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise NotHere(f"{name} cannot be installed: {said[-1] if said else error}") from None
