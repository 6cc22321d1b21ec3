"""The commands for those who call models."""

from __future__ import annotations

from pathlib import Path

import click

from sardonyx.registry import Registry
from sardonyx.registry.v1.settings_pb2 import Settings
from sardonyx.typed import check_prefix
from sardonyx_exporter.commands import options
from sardonyx_exporter.stubs import Language, write_stubs
from sardonyx_exporter.views import callers as views


@click.command("init", epilog=options.example("sardonyx-exporter init --proto-prefix acme.models --registry registry/"))
@click.option("--proto-prefix", required=True, help="Stands before the package of every model, such as acme.models.")
@options.registry
@options.as_json
def init_command(proto_prefix: str, registry: str, *, as_json: bool) -> None:
    """Settle what holds for all models of a registry, once: callers compile what follows from it.

    A registry needs no init: without one, packages are named for their models alone.
    """
    with options.sentences():
        settings = Settings(proto_prefix=check_prefix(proto_prefix))
        Registry(registry, create=True).settle(settings)
    options.say(views.settings_data(settings), views.settings_text(settings), as_json=as_json)


@click.command("stubs", epilog=options.example("sardonyx-exporter stubs flight-delay -o stubs/ --registry registry/"))
@click.argument("name")
@click.option("--major", type=click.IntRange(1), default=None, help="The generation; by default the default one.")
@click.option(
    "--lang",
    type=click.Choice([str(each) for each in Language]),
    default=str(Language.PYTHON),
    show_default=True,
    help="proto: the .proto, for any language; python: a package that pip installs.",
)
@click.option("-o", "--output", "folder", required=True, type=click.Path(path_type=Path), help="Where the files go.")
@options.registry
@options.as_json
def stubs_command(name: str, registry: str, folder: Path, *, major: int | None, lang: str, as_json: bool) -> None:
    """Write what callers of NAME compile: named, typed fields, and a client in Python."""
    with options.sentences():
        result = write_stubs(name, registry=registry, folder=folder, language=lang, major=major)
    options.say(views.stubs_data(result), views.stubs_text(result), as_json=as_json)
