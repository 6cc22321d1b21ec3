"""The commands for those who call models."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sardonyx.client.security import Tls
from sardonyx.registry import Registry
from sardonyx.registry.v1.settings_pb2 import Settings
from sardonyx.typed import check_prefix
from sardonyx_exporter.commands import options
from sardonyx_exporter.stubs import Language, write_stubs, write_stubs_of_server
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


STUBS_EXAMPLE = """
\b
Examples:
  sardonyx-exporter stubs flight-delay -o stubs/ --registry registry/
  sardonyx-exporter stubs flight-delay --lang proto -o stubs/ --server 127.0.0.1:8001
"""


@click.command("stubs", epilog=STUBS_EXAMPLE)
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
@click.option("--registry", default=None, envvar="SARDONYX_REGISTRY", help=options.REGISTRY_HELP)
@click.option("--server", default=None, metavar="HOST:PORT", help="Instead of the registry: ask a server's reflection.")
@click.option("--tls-ca", type=click.Path(path_type=Path), help="The server speaks TLS; who vouches for it, as PEM.")
@options.as_json
def stubs_command(
    name: str,
    registry: str | None,
    folder: Path,
    *,
    server: str | None,
    tls_ca: Path | None,
    major: int | None,
    lang: str,
    as_json: bool,
) -> None:
    """Write what callers of NAME compile: named, typed fields, and a client in Python.

    A server that asks who calls takes the token that stands in SARDONYX_TOKEN.
    """
    with options.sentences():
        if server is not None:
            token, tls = os.environ.get("SARDONYX_TOKEN") or None, Tls(ca=tls_ca) if tls_ca else None
            result = write_stubs_of_server(
                name, server=server, folder=folder, language=lang, major=major, token=token, tls=tls
            )
        elif registry is not None:
            result = write_stubs(name, registry=registry, folder=folder, language=lang, major=major)
        else:
            raise click.UsageError("Where is it? Give --registry or --server.")
    options.say(views.stubs_data(result), views.stubs_text(result), as_json=as_json)
