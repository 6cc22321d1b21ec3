"""A Python package of a .proto: stubs by protoc with their types, and a client around them."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sardonyx.errors import SardonyxError
from sardonyx.interface import DATATYPE_NAMES
from sardonyx.typed.schema import quoted
from sardonyx_exporter.stubs import client

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sardonyx.registry.v1.manifest_pb2 import Distribution, Manifest
    from sardonyx.typed import Form, InputField

#: Packages of these names exist wherever stubs are used: another of the same name is not found, or hides them.
HIDDEN: Final = sys.stdlib_module_names | {"google", "grpc", "numpy", "sardonyx"}

_PYPROJECT: Final = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{major}.{version}"
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

Typed calls of the model `{model}`, interface v{major}. Made of version {version}; every version of this interface
answers these calls.

```python
from {package} import {client}

with {client}("localhost:8001") as client:
    response = client.predict({example})
    print(response.prediction)
```

`Async{client}` does the same in asyncio, `predict_batch` takes a column for each input, and
`{path}` is for any other language.

| argument | input | type | required | seen on the hold-out |
|---|---|---|---|---|
{rows}
"""

_INIT: Final = '''"""Typed calls of the model {model}, interface v{major}."""

from {package}.client import Async{client}, {client}
from {package}.{module}_pb2 import (
{names}
)

__all__ = [
{quoted}
]
'''


def package(manifest: Manifest, form: Form, source: str) -> dict[str, str]:
    """The files of the package that are not compiled, by their paths."""
    folder = form.package.replace(".", "/")
    own = client.class_name(form)
    facts = {
        "name": form.package.replace(".", "-").replace("_", "-"),
        "model": form.model,
        "major": manifest.interface_major,
        "version": manifest.version,
        "package": form.package,
        "client": own,
        "module": form.module,
        "path": form.path,
    }
    messages = sorted(_messages(form))
    exported = sorted([own, f"Async{own}", *messages])
    return {
        "pyproject.toml": _PYPROJECT.format(
            **facts, top=form.package.partition(".")[0], grpcio=metadata.version("grpcio-tools")
        ),
        "README.md": _README.format(
            **facts,
            example=", ".join(f"{field.name}=…" for field in form.inputs if not field.may_miss),
            rows="\n".join(_rows(manifest, form)),
        ),
        form.path: source,
        f"{folder}/__init__.py": _INIT.format(
            **{**facts, "model": quoted(form.model)},
            names="\n".join(f"    {name}," for name in messages),
            quoted="\n".join(f'    "{name}",' for name in exported),
        ),
        f"{folder}/client.py": client.client(form, manifest.interface_major),
        f"{folder}/py.typed": "",
    }


def write(files: Mapping[str, str], form: Form, folder: Path) -> list[str]:
    """Write the package's files into a folder, and compile its .proto there; what was written."""
    written = write_all(files, folder)
    stem = form.path.removesuffix(".proto")
    _protoc(folder, form.path)
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
        raise SardonyxError(f"{str(folder)!r} cannot be written: {error.strerror}. Name another folder.") from None
    return list(files)


def _messages(form: Form) -> Iterable[str]:
    yield from ("Columns", "Features", "PredictBatchResponse", "PredictResponse", "Prediction", "Predictions")
    if any(output.is_label for output in form.outputs):
        yield "Label"


def _rows(manifest: Manifest, form: Form) -> Iterable[str]:
    seen = {each.name: each for each in manifest.baseline.inputs}
    for field in form.inputs:
        distribution = seen.get(field.tensor.name)
        cells = [
            f"`{field.name}`",
            quoted(field.tensor.name),
            _kind(field),
            "no" if field.may_miss else "yes",
            _seen(distribution) if distribution is not None else "",
        ]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _kind(field: InputField) -> str:
    kind = DATATYPE_NAMES[field.tensor.datatype]
    unit = f", {field.tensor.unit}" if field.tensor.unit else ""
    return f"{kind} × {field.tensor.width}{unit}" if field.tensor.width else f"{kind}{unit}"


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
