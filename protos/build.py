"""Generate the Python stubs from the .proto files: hatch's build hook, and ``make protos``.

The path of a .proto is the import path of its stub, so generated imports need no repair. The stubs are not checked in.

``sardonyx/oip`` is the exception: other clients register the same ``inference.*`` symbols, so that file gets type stubs
and a descriptor set (``inference.binpb``) that ``sardonyx.oip`` loads into a descriptor pool of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from importlib import resources
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
OIP = "sardonyx/oip/inference.proto"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi", "*.binpb")


def generate() -> list[Path]:
    """Generate every stub anew and return the paths written."""
    for pattern in GENERATED:
        for old in HERE.joinpath("sardonyx").rglob(pattern):
            old.unlink()
    ours = sorted(str(path.relative_to(HERE)) for path in HERE.joinpath("sardonyx").rglob("*.proto"))
    ours.remove(OIP)
    _protoc("--python_out=.", "--grpc_python_out=.", "--mypy_out=.", "--mypy_grpc_out=.", *ours)
    _protoc("--mypy_out=.", f"--descriptor_set_out={OIP.replace('.proto', '.binpb')}", OIP)
    # Without this mypy keeps "module has no attribute" errors from a run before the stubs were there.
    shutil.rmtree(HERE.parent / ".mypy_cache", ignore_errors=True)
    return [path for pattern in GENERATED for path in HERE.joinpath("sardonyx").rglob(pattern)]


def _protoc(*arguments: str) -> None:
    from grpc_tools import protoc

    plugins = [f"--plugin=protoc-gen-{name}={_script(f'protoc-gen-{name}')}" for name in ("mypy", "mypy_grpc")]
    includes = [f"-I{resources.files('grpc_tools') / '_proto'}", "-I."]
    working_folder = Path.cwd()
    os.chdir(HERE)
    try:
        if protoc.main(["protoc", *includes, *plugins, *arguments]) != 0:
            sys.exit("protoc failed: mend the .proto file named above")
    finally:
        os.chdir(working_folder)


def _script(name: str) -> str:
    """Where a console script of this environment lies; an isolated build has it on PATH only."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        sys.exit(f"{name} is missing: pip install mypy-protobuf")
    return found


class StubHook(BuildHookInterface[Any]):
    """Puts the generated stubs into the wheel, although git ignores them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch's signature
        """Generate, then name the files as artifacts of the build."""
        build_data["artifacts"] += [f"/{path.relative_to(HERE.parent)}" for path in generate()]


if __name__ == "__main__":
    print(f"{len(generate())} files generated below {HERE.name}/sardonyx")
