"""The commands for those who call models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sardonyx.client.security import Tls
from sardonyx.errors import RuleBroken
from sardonyx.registry import Registry
from sardonyx.registry.v1.settings_pb2 import Settings
from sardonyx.typed import check_prefix
from sardonyx_exporter.commands import options
from sardonyx_exporter.stubs import Language, write_stubs, write_stubs_of_server
from sardonyx_exporter.stubs.python import HIDDEN
from sardonyx_exporter.views import callers as views


@click.command("init", epilog=options.example("sardonyx-exporter init --proto-prefix acme.models --registry registry/"))
@click.option("--proto-prefix", required=True, help="Stands before the package of every model, such as acme.models.")
@options.registry
@options.as_json
def init_command(proto_prefix: str, registry: str, *, as_json: bool) -> None:
    """Settle what holds for all models of a registry, once: callers compile what follows from it.

    A registry needs no init: without one, packages are named for their models alone.
    """
    if not proto_prefix:
        raise click.UsageError("--proto-prefix is empty. A registry whose packages have no prefix needs no init.")
    with options.sentences():
        settings = Settings(proto_prefix=check_prefix(proto_prefix))
        _refuse_hidden(proto_prefix)
        Registry(registry, create=True).settle(settings)
    options.say(views.settings_data(settings), views.settings_text(settings), as_json=as_json)


def _refuse_hidden(prefix: str) -> None:
    """What is settled once should not be what no Python program could import."""
    first = prefix.partition(".")[0]
    if first in HIDDEN:
        raise RuleBroken(
            f"Python has a package named {first!r} already, and could not import what begins so. Choose another prefix,"
            f" such as acme.{prefix}."
        )


STUBS_EXAMPLE = """
\b
Examples:
  sardonyx-exporter stubs flight-delay -o stubs/ --registry registry/
  sardonyx-exporter stubs flight-delay --lang proto -o stubs/ --server 127.0.0.1:8001
"""


@click.command("stubs", epilog=STUBS_EXAMPLE)
@click.argument("name")
@options.major("The generation, such as v2; by default the default one, or a server's only one.")
@click.option(
    "--lang",
    type=click.Choice([str(each) for each in Language]),
    default=str(Language.PYTHON),
    show_default=True,
    help="proto: the .proto, for any language; python: a package that pip installs.",
)
@click.option("-o", "--output", "folder", required=True, type=options.FOLDER, help="Where the files go.")
@click.option("--registry", default=None, envvar="SARDONYX_REGISTRY", help=options.REGISTRY_HELP)
@click.option("--server", default=None, metavar="HOST:PORT", help="Instead of the registry: ask a server's reflection.")
@click.option("--tls", is_flag=True, help="The server speaks TLS; each option of TLS says so too.")
@click.option(
    "--tls-ca", type=click.Path(path_type=Path), help="Who vouches for it, PEM; by default those whom gRPC trusts."
)
@click.option(
    "--tls-cert", type=click.Path(path_type=Path), help="A certificate of your own, PEM, where it asks for one."
)
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option("--allow-insecure-token", is_flag=True, help="Send the token in plain text to another machine.")
@options.as_json
def stubs_command(
    name: str,
    registry: str | None,
    folder: Path,
    *,
    server: str | None,
    major: int | None,
    lang: str,
    as_json: bool,
    **security: Any,
) -> None:
    """Write what callers of NAME compile: named, typed fields, and a client in Python.

    A server that asks who calls takes the token that stands in SARDONYX_TOKEN.
    """
    with options.sentences():
        if server is not None:
            _refuse_both(click.get_current_context())
            result = write_stubs_of_server(
                name, server=server, folder=folder, language=lang, major=major, **_security(**security)
            )
        elif any(security.values()):
            given = ", ".join(f"--{option.replace('_', '-')}" for option, value in security.items() if value)
            raise click.UsageError(f"{given} is of a server. Give --server too.")
        elif registry is not None:
            result = write_stubs(name, registry=registry, folder=folder, language=lang, major=major)
        else:
            raise click.UsageError("Where is it? Give --registry or --server.")
    options.say(views.stubs_data(result), views.stubs_text(result), as_json=as_json)


def _refuse_both(context: click.Context) -> None:
    """A registry that stands in the environment is for the other commands; one that is given is meant."""
    if context.get_parameter_source("registry") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--registry and --server are two sources. Give the one that is to be asked.")


def _security(
    *, tls: bool, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None, allow_insecure_token: bool
) -> dict[str, Any]:
    """Who calls, and whom, as ``write_stubs_of_server`` takes it."""
    speaks_tls = tls or any((tls_ca, tls_cert, tls_key))
    return {
        "token": os.environ.get("SARDONYX_TOKEN") or None,
        "tls": Tls(ca=tls_ca, cert=tls_cert, key=tls_key) if speaks_tls else None,
        "allow_insecure_token": allow_insecure_token,
    }
