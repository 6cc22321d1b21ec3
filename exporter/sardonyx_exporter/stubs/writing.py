"""Writes what callers of a generation compile."""

from __future__ import annotations

import enum
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sardonyx.errors import ModelNotFound, RouteNotFound, RuleBroken
from sardonyx.registry import Registry
from sardonyx.typed import form_of, schema
from sardonyx_exporter.stubs import python
from sardonyx_exporter.stubs.described import Described, describe
from sardonyx_exporter.stubs.reflection import read_file

if TYPE_CHECKING:
    from os import PathLike

    from sardonyx.client.security import Tls
    from sardonyx.registry.v1.manifest_pb2 import Manifest


class Language(enum.StrEnum):
    """What callers compile."""

    PROTO = "proto"
    PYTHON = "python"


@dataclass(frozen=True, slots=True)
class StubsResult:
    """What was written.

    Attributes:
        model: its name.
        interface_major: the generation.
        version: the version whose interface it is; None where a server said it, which does not say which.
        package: of the .proto.
        folder: where the files are.
        files: within it.
    """

    model: str
    interface_major: int
    version: int | None
    package: str
    folder: str
    files: tuple[str, ...]


def write_stubs(
    name: str,
    *,
    registry: str | PathLike[str],
    folder: str | PathLike[str],
    language: Language | str = Language.PYTHON,
    major: int | None = None,
) -> StubsResult:
    """Write what callers of a model compile.

    Args:
        name: the model.
        registry: where it is.
        folder: where the files go, made where there is none; files of the same names are written anew.
        language: proto for the .proto in the folders of its package; python for a package that pip installs.
        major: the generation; by default, the one that calls without a version go to.

    Raises:
        ModelNotFound, RouteNotFound: there is no such model or generation.
        RuleBroken: the package would hide another that Python programs need, or the folder is another package's.
    """
    manifest = choose(Registry(registry), name, major)
    described = describe(schema(form_of(manifest)), name, manifest.interface_major)
    return _write(described, folder, language, manifest)


def write_stubs_of_server(
    name: str,
    *,
    server: str,
    folder: str | PathLike[str],
    language: Language | str = Language.PYTHON,
    major: int | None = None,
    token: str | None = None,
    tls: Tls | None = None,
    allow_insecure_token: bool = False,
) -> StubsResult:
    """Write what callers of a model compile, of what a running server says of itself by reflection.

    The .proto is the registry's, byte for byte, where the server sends its comments, as sardonyx-server does.

    Args:
        name: the model.
        server: host:port.
        folder: as in ``write_stubs``.
        language: as in ``write_stubs``.
        major: the generation; may be left out where the server has one alone.
        token: where the server asks who calls.
        tls: where the server speaks it.
        allow_insecure_token: send the token in plain text to another machine.

    Raises:
        ModelNotFound, RouteNotFound: the server has no such model or generation.
        InvalidInput: it has several generations, and none is named; or anybody on its way could read the token.
        RuleBroken: the package would hide another that Python programs need, or the folder is another package's.
        SardonyxError: it does not answer, or has no reflection.
    """
    file, found = read_file(server, name, major, token=token, tls=tls, allow_insecure_token=allow_insecure_token)
    return _write(describe(file, name, found), folder, language)


def _write(
    described: Described, folder: str | PathLike[str], language: Language | str, manifest: Manifest | None = None
) -> StubsResult:
    into = Path(folder)
    if Language(language) is Language.PYTHON:
        _check_importable(described.package)
        _check_own(into, described)
        written = python.write(python.package(described, manifest), described.path, into)
    else:
        written = python.write_all({described.path: described.source}, into)
    version = manifest.version if manifest is not None else None
    return StubsResult(described.model, described.major, version, described.package, str(into), tuple(written))


def choose(registry: Registry, name: str, major: int | None) -> Manifest:
    """The version whose interface the callers of a generation may rely on: the live one, else the latest."""
    versions = registry.versions(name)
    if not versions:
        raise ModelNotFound(name, registry.models())
    routes = registry.routes(name)
    wanted = major or routes.default_major
    if wanted in routes.majors:
        return registry.manifest(name, routes.majors[wanted].live)
    manifests = [registry.manifest(name, version) for version in reversed(versions)]
    for manifest in manifests:
        if manifest.interface_major == (wanted or manifest.interface_major):
            return manifest
    raise RouteNotFound(name, f"v{wanted}", [f"v{each}" for each in sorted({m.interface_major for m in manifests})])


def _check_own(folder: Path, described: Described) -> None:
    """A folder has one package: another's description would be lost, and with it what pip installs of it."""
    name = python.distribution(described)
    try:
        found = repr(tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"])
    except FileNotFoundError:
        if (folder / "README.md").exists():
            raise _not_its_own(folder, "README.md already", name) from None
        return
    except NotADirectoryError:
        raise RuleBroken(f"{str(folder)!r} is a file, or leads through one. Name a folder.") from None
    except (OSError, KeyError, TypeError, ValueError):
        found = "another project"
    if found != repr(name):
        raise _not_its_own(folder, f"pyproject.toml already, of {found}", name)


def _not_its_own(folder: Path, found: str, name: str) -> RuleBroken:
    return RuleBroken(
        f"{str(folder)!r} has a {found}. Give {name!r} a folder of its own, such as {str(folder / name)!r}."
    )


def _check_importable(package: str) -> None:
    first = package.partition(".")[0]
    if first in python.HIDDEN:
        raise RuleBroken(
            f"Python has a package named {first!r} already, and could not import {package}. Generations that begin"
            " after 'sardonyx-exporter init --proto-prefix' have a package of your own before theirs."
        )
