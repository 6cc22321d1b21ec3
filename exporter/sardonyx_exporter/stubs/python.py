"""A Python package of a .proto: stubs by protoc with their types, and a client around them."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sardonyx.errors import SardonyxError
from sardonyx.typed.schema import quoted
from sardonyx_exporter.stubs import alone, client
from sardonyx_exporter.stubs.alone import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sardonyx.registry.v1.manifest_pb2 import Distribution, Manifest
    from sardonyx_exporter.stubs.described import Argument, Described

#: Packages of these names exist wherever stubs are used: another of the same name is not found, or hides them.
HIDDEN: Final = sys.stdlib_module_names | {"google", "grpc", "numpy", "sardonyx"}

#: The modules that every package has as they are.
ALONE: Final = ("access.py", "columns.py", "errors.py", "row.py")

_PYPROJECT: Final = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{release}"
description = "Typed calls of the model {model}, interface v{major}."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["grpcio>={grpcio}", "protobuf>=6.31.1"]

[project.optional-dependencies]
# What mypy needs to see the types of gRPC and protobuf.
types = ["types-grpcio", "types-protobuf"]

[tool.hatch.build.targets.wheel]
# No folder above the last is a package of its own: other models and interfaces may share them.
only-include = ["{top}"]
"""

_README: Final = """\
# {name}

Typed calls of the model `{model}`, interface v{major}. Every version of this interface answers these calls.

```python
from {package} import CallFailed, {client}, InvalidArgument

with {client}("localhost:8001", caller="checkout") as client:
    try:
        response = client.predict({example}, timeout_s=5)
    except InvalidArgument as error:
        print(*error.violations, sep="\\n")  # which field, which row, and what to do
    except CallFailed as error:
        print(error)  # no server there, too slow, not allowed, …
    else:
        print(response.prediction)
```

`Async{client}` does the same in asyncio. `predict_batch` takes a column for each input, all of one length, such as
`client.predict_batch(**frame)` of a DataFrame with these columns. What is left out, or None, is missing. A value of
another type is a `TypeError` before anything is sent. Every error of a call is a `CallFailed`, which is a
`grpc.RpcError`, and is named for its status code: `{folder}/errors.py` has the tree.

`credentials=grpc.ssl_channel_credentials(…)` speaks TLS and `token=…` says who calls. `{path}` is for any other
language.

| argument | type | |
|---|---|---|
{rows}
"""

_INIT: Final = '''"""Typed calls of the model {model}, interface v{major}."""

from {package}.client import Async{client}, {client}
from {package}.errors import (
{errors}
)
from {package}.{module}_pb2 import (
{names}
)

__all__ = [
{quoted}
]
'''


def distribution(described: Described) -> str:
    """The name by which pip knows the package."""
    return described.package.replace(".", "-").replace("_", "-")


def package(described: Described, manifest: Manifest | None = None) -> dict[str, str]:
    """The files of the package that are not compiled, by their paths.

    Args:
        described: the generation.
        manifest: of the version that it was made of, where that is known.
    """
    folder = described.package.replace(".", "/")
    own = described.client
    facts = {
        "name": distribution(described),
        "model": described.model,
        "major": described.major,
        # A package of a server's own words is older to pip than one of any version.
        "release": f"{described.major}.{manifest.version if manifest is not None else 0}",
        "package": described.package,
        "client": own,
        "module": described.module,
        "path": described.path,
    }
    exported = sorted([own, f"Async{own}", *errors.__all__, *described.messages])
    return {
        "pyproject.toml": _PYPROJECT.format(
            **facts, top=described.package.partition(".")[0], grpcio=metadata.version("grpcio-tools")
        ),
        "README.md": _README.format(
            **facts,
            folder=folder,
            example=", ".join(f"{argument.name}=…" for argument in described.arguments if argument.is_required),
            rows="\n".join(_rows(described.arguments, manifest)),
        ),
        described.path: described.source,
        f"{folder}/__init__.py": _INIT.format(
            **{**facts, "model": quoted(described.model)},
            errors="\n".join(f"    {name}," for name in errors.__all__),
            names="\n".join(f"    {name}," for name in described.messages),
            quoted="\n".join(f'    "{name}",' for name in exported),
        ),
        f"{folder}/client.py": client.client(described),
        **{f"{folder}/{name}": resources.files(alone).joinpath(name).read_text(encoding="utf-8") for name in ALONE},
        f"{folder}/py.typed": "",
    }


def write(files: Mapping[str, str], path: str, folder: Path) -> list[str]:
    """Write the package's files into a folder, and compile the .proto among them; what was written."""
    written = write_all(files, folder)
    stem = path.removesuffix(".proto")
    _protoc(folder, path)
    return [*written, *(f"{stem}{end}" for end in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"))]


def write_all(files: Mapping[str, str], folder: Path) -> list[str]:
    """Write files into a folder, by their paths within it.

    Raises:
        SardonyxError: one cannot be written.
    """
    try:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
    except OSError as error:
        place = error.filename or str(folder)
        raise SardonyxError(f"{place!r} cannot be written: {error.strerror}. Name another folder.") from None
    return list(files)


def _rows(arguments: Sequence[Argument], manifest: Manifest | None) -> Iterable[str]:
    seen = {each.name: each for each in manifest.baseline.inputs} if manifest is not None else {}
    for argument in arguments:
        distribution = seen.get(argument.original)
        told = f" Seen on the hold-out: {_seen(distribution)}." if distribution is not None else ""
        cells = [f"`{argument.name}`", client.row_type(argument), f"{argument.meaning}{told}"]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _seen(distribution: Distribution) -> str:
    if distribution.HasField("numeric"):
        return f"{distribution.numeric.minimum:g} … {distribution.numeric.maximum:g}"
    return ", ".join(map(quoted, distribution.categories.values[:5]))


def _protoc(folder: Path, path: str) -> None:
    from grpc_tools import protoc

    plugins = [f"--plugin=protoc-gen-{name}={_script(f'protoc-gen-{name}')}" for name in ("mypy", "mypy_grpc")]
    includes = [f"-I{resources.files('grpc_tools') / '_proto'}", f"-I{folder}"]
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "grpc_python")]
    # Without this they print what they write.
    outputs += [f"--{kind}_out=quiet:{folder}" for kind in ("mypy", "mypy_grpc")]
    if protoc.main(["protoc", *plugins, *includes, *outputs, path]) != 0:
        raise SardonyxError(f"protoc refused {path}: its own words are above. This is a bug.")


def _script(name: str) -> str:
    """Where a console script of this environment lies."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise SardonyxError(f"{name} is missing. Install it: pip install mypy-protobuf")
    return found
