"""The commands that bring versions to the registry and show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from sardonyx.errors import ModelNotFound, SardonyxError
from sardonyx.registry import Registry
from sardonyx_exporter.commands import options
from sardonyx_exporter.progress import on_console
from sardonyx_exporter.views import versions as views

if TYPE_CHECKING:
    from sardonyx.registry import Routes
    from sardonyx.registry.v1.manifest_pb2 import Manifest

EXPORT_EXAMPLE = """
\b
Example:
  sardonyx-exporter export pipeline.joblib --name flight-delay \\
      --data holdout.parquet --target delayed --registry registry/
"""


@click.command("export", epilog=EXPORT_EXAMPLE)
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
    type=options.NOT_NEGATIVE,
    help="How far the ONNX form's answers may be from the model's, relative and absolute; by default 1e-5.",
)
@click.option("--primary-metric", default=None, help="The metric shown first; by default accuracy, or mae.")
@click.option("--optional", multiple=True, metavar="INPUT", help="Callers may leave it out; can be repeated.")
@click.option("--range", "ranges", multiple=True, metavar="INPUT=LOW..HIGH", help="What callers may send: 0..24, 0.. .")
@click.option("--unit", "units", multiple=True, metavar="INPUT=UNIT", help="What a number counts, such as mi.")
@click.option("--describe", "descriptions", multiple=True, metavar="INPUT=TEXT", help="What it means, for callers.")
@options.registry
@options.as_json
def export_command(
    model: Path,
    name: str,
    data: Path,
    target: str,
    registry: str,
    *,
    ranges: tuple[str, ...],
    units: tuple[str, ...],
    descriptions: tuple[str, ...],
    as_json: bool,
    **facts: Any,
) -> None:
    """Convert MODEL (a joblib file), prove that it answers alike, evaluate it and publish it.

    Loading MODEL runs code that is in it: export only files that you trust.
    """
    # Here and not above: they take a second, and no other command needs them.
    from sardonyx_exporter.exporting import export
    from sardonyx_exporter.files import read_holdout, read_model

    console = Console(stderr=True)
    stated: dict[str, Any] = {
        "ranges": {name: options.bounds(text) for name, text in options.pairs(ranges)},
        "units": dict(options.pairs(units)),
        "descriptions": dict(options.pairs(descriptions)),
    }
    with options.sentences(), on_console(console) as progress:
        progress("loading the model")
        result = export(
            read_model(model),
            name=name,
            holdout=read_holdout(data, target),
            registry=registry,
            progress=progress,
            **stated,
            **facts,
        )
    options.say(views.export_data(result), str(result), as_json=as_json)


@click.command("list", epilog=options.example("sardonyx-exporter list --registry registry/ --json"))
@options.registry
@options.as_json
def list_command(registry: str, *, as_json: bool) -> None:
    """Every model and version, with what is live."""
    with options.sentences():
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
        options.say(views.list_data(entries), options.widest(views.list_tables(entries)), as_json=as_json)
    if errors:
        raise click.ClickException("\n".join(errors))


@click.command("show", epilog=options.example("sardonyx-exporter show flight-delay 2 --registry registry/"))
@click.argument("name")
@click.argument("version", type=options.VERSION, required=False)
@options.registry
@options.as_json
def show_command(name: str, version: int | None, registry: str, *, as_json: bool) -> None:
    """One version of NAME whole: interface, parity, metrics, lineage, events. By default the latest."""
    with options.sentences():
        store = Registry(registry)
        versions = store.versions(name)
        if not versions:
            raise ModelNotFound(name, store.models())
        manifest = store.manifest(name, version or versions[-1])
        routes = store.routes(name)
        # Of the version, or of its whole generation.
        about = ((manifest.version, manifest.interface_major), (0, manifest.interface_major))
        events = [event for event in store.events(name) if (event.version, event.interface_major) in about]
    tables = [] if as_json else views.show_tables(manifest, routes, events)
    options.say(views.show_data(manifest, routes, events), *tables, as_json=as_json)
