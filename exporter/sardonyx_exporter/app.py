"""The command line of the exporter."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sardonyx import __version__
from sardonyx.errors import ModelNotFound, SardonyxError
from sardonyx.registry import Registry
from sardonyx_exporter import acts, views
from sardonyx_exporter.exporting import export
from sardonyx_exporter.files import read_holdout, read_model
from sardonyx_exporter.progress import on_console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sardonyx.registry import Routes
    from sardonyx.registry.v1.manifest_pb2 import Manifest

EXAMPLE = """
\b
Example:
  sardonyx-exporter export pipeline.joblib --name flight-delay \\
      --data holdout.parquet --target delayed --registry registry/
  sardonyx-exporter promote flight-delay 1 --registry registry/
  sardonyx-exporter list --registry registry/

\b
Exit codes: 0 done, 1 refused or failed (a sentence says why), 2 wrong usage.
"""

REGISTRY_HELP = "A directory, or a URL such as s3://bucket/models (also SARDONYX_REGISTRY)."


def _example(command: str) -> str:
    return f"\b\nExample:\n  {command}"


_registry = click.option("--registry", required=True, envvar="SARDONYX_REGISTRY", help=REGISTRY_HELP)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text and tables.")
_reason = click.option("--reason", default="", help="Why, for those who read the log of events later.")


@click.group(epilog=EXAMPLE)
@click.version_option(__version__)
def main() -> None:
    """From a fitted scikit-learn model to a registered version, and what is live."""


@main.command("export", epilog=EXAMPLE)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The model's name in the registry, such as flight-delay.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="The hold-out: .parquet or .csv.")
@click.option("--target", required=True, help="The column of the hold-out that holds the truth.")
@click.option("--description", default="", help="For people; kept with the version.")
@click.option("--author", default=None, help="By default, who is logged in.")
@click.option("--training-data", default="", help="What the model was fitted on; kept with the version.")
@click.option(
    "--tolerance",
    default=None,
    type=click.FloatRange(0),
    help="How far the ONNX form's answers may be from the model's, relative and absolute; by default 1e-5.",
)
@click.option("--primary-metric", default=None, help="The metric shown first; by default accuracy, or mae.")
@_registry
@_json
def export_command(
    model: Path, name: str, data: Path, target: str, registry: str, *, as_json: bool, **options: Any
) -> None:
    """Convert MODEL (a joblib file), prove that it answers alike, evaluate it and publish it.

    Loading MODEL runs code that is in it: export only files that you trust.
    """
    console = Console(stderr=True)
    with _sentences(), on_console(console) as progress:
        progress("loading the model")
        result = export(
            read_model(model),
            name=name,
            holdout=read_holdout(data, target),
            registry=registry,
            progress=progress,
            **options,
        )
    _say(views.export_data(result), str(result), as_json=as_json)


@main.command("list", epilog=_example("sardonyx-exporter list --registry registry/ --json"))
@_registry
@_json
def list_command(registry: str, *, as_json: bool) -> None:
    """Every model and version, with what is live."""
    with _sentences():
        store = Registry(registry)
        names = store.models()
    entries: list[tuple[Manifest, Routes]] = []
    errors: list[str] = []
    for name in names:
        # A model that cannot be read is named in the end, and hides no other.
        try:
            routes = store.routes(name)
            entries += [(store.manifest(name, version), routes) for version in store.versions(name)]
        except SardonyxError as error:
            errors.append(error.message)
    if entries or not errors:
        _say(views.list_data(entries), views.list_table(entries), as_json=as_json)
    if errors:
        raise click.ClickException("\n".join(errors))


@main.command("show", epilog=_example("sardonyx-exporter show flight-delay 2 --registry registry/"))
@click.argument("name")
@click.argument("version", type=click.IntRange(1), required=False)
@_registry
@_json
def show_command(name: str, version: int | None, registry: str, *, as_json: bool) -> None:
    """One version of NAME whole: interface, parity, metrics, lineage, events. By default the latest."""
    with _sentences():
        store = Registry(registry)
        versions = store.versions(name)
        if not versions:
            raise ModelNotFound(name, store.models())
        manifest = store.manifest(name, version or versions[-1])
        routes = store.routes(name)
        events = [event for event in store.events(name) if event.version == manifest.version]
    tables = [] if as_json else views.show_tables(manifest, routes, events)
    _say(views.show_data(manifest, routes, events), *tables, as_json=as_json)


@main.command("promote", epilog=_example("sardonyx-exporter promote flight-delay 2 --registry registry/"))
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@click.option("--default-major", is_flag=True, help="Also lead calls that name no version to its interface.")
@_reason
@_registry
@_json
def promote_command(name: str, version: int, registry: str, *, default_major: bool, reason: str, as_json: bool) -> None:
    """Approve VERSION of NAME and make it live for its interface generation."""
    with _sentences():
        result = acts.promote(name, version, registry=registry, default_major=default_major, reason=reason)
    _say(views.act_data(result), views.act_text(result, "promoted"), as_json=as_json)


@main.command("rollback", epilog=_example("sardonyx-exporter rollback flight-delay --registry registry/"))
@click.argument("name")
@click.option(
    "--major", type=click.IntRange(1), default=None, help="The interface generation; by default the default one."
)
@_reason
@_registry
@_json
def rollback_command(name: str, registry: str, *, major: int | None, reason: str, as_json: bool) -> None:
    """Make live again what was live before on NAME."""
    with _sentences():
        result = acts.rollback(name, registry=registry, major=major, reason=reason)
    _say(views.act_data(result), views.act_text(result, "rolled back to"), as_json=as_json)


@contextmanager
def _sentences() -> Iterator[None]:
    """What the user can mend is a sentence and exit 1, never a traceback."""
    try:
        yield
    except SardonyxError as error:
        raise click.ClickException(error.message) from None


def _say(data: Any, *texts: Table | Text | str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(data, indent=2, allow_nan=False))
        return
    console = Console()
    for text in texts:
        # Tables fit the terminal; sentences may be piped somewhere, and are not cut into lines.
        console.print(Text(text) if isinstance(text, str) else text, soft_wrap=not isinstance(text, Table))
