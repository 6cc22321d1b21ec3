"""The command line of the server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sardonyx import __version__
from sardonyx.address import Address
from sardonyx.errors import RegistryError
from sardonyx.registry import Registry
from sardonyx_server.config import Config, default_workers, parse_endpoint
from sardonyx_server.log import set_up_logging
from sardonyx_server.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = """
\b
Example:
  sardonyx-server --registry registry/ --listen 127.0.0.1:8001 --workers 2 \\
      --otlp-endpoint http://127.0.0.1:4317

Every option is also an environment variable: --registry is SARDONYX_REGISTRY.
"""


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str], Any]:
    """A click callback that turns a ValueError into a usage error."""

    def callback(_context: click.Context, _parameter: click.Parameter, text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


@click.command(epilog=EXAMPLE, context_settings={"auto_envvar_prefix": "SARDONYX", "show_default": True})
@click.option(
    "--registry", required=True, help="Where versions come from: a directory, or a URL such as s3://bucket/models."
)
@click.option(
    "--listen",
    default="127.0.0.1:8001",
    callback=_parsed(Address.parse),
    help="Address to serve gRPC on; port 0 takes a free one.",
)
@click.option(
    "--workers",
    default=default_workers,
    type=click.IntRange(1, 256),
    show_default="one a processor",
    help="Worker processes on the one port.",
)
@click.option(
    "--otlp-endpoint",
    default="",
    callback=_parsed(parse_endpoint),
    help="OTLP/gRPC collector for spans, such as http://127.0.0.1:4317; empty: none are sent.",
)
@click.option(
    "--poll-interval-s", default=1.0, type=click.FloatRange(0.01, 3600), help="How often the registry is read."
)
@click.option("--drain-timeout-s", default=30.0, type=click.FloatRange(0.1, 3600), help="How long a shutdown may take.")
@click.option(
    "--drain-grace-s",
    default=0.5,
    type=click.FloatRange(0, 600),
    help="How long health says NOT_SERVING before new calls are refused.",
)
@click.option(
    "--queue-rows-max",
    default=65_536,
    type=click.IntRange(1),
    help="Rows that may wait for models in one worker; more are refused.",
)
@click.option(
    "--message-bytes-max", default=64 * 1024 * 1024, type=click.IntRange(1024), help="The largest request that is read."
)
@click.option("--onnx-threads", default=1, type=click.IntRange(1, 256), help="Threads inside one run of a model.")
@click.option("--log-format", default="text", type=click.Choice(["text", "json"]), help="For people or for machines.")
@click.version_option(__version__, allow_from_autoenv=False)
def main(listen: Address, log_format: str, **options: Any) -> None:
    """Serve every model that the registry says is live, over gRPC.

    Speaks the Open Inference Protocol v2, grpc.health.v1, server reflection and sardonyx.serving.v1.ModelService. New
    versions are picked up while requests run. SIGTERM ends it without losing one.
    """
    config = Config(host=listen.host, port=listen.port, json_logs=log_format == "json", **options)
    set_up_logging(json_lines=config.json_logs)
    try:
        Registry(config.registry)
    except RegistryError as error:
        raise click.ClickException(error.message) from None
    sys.exit(Supervisor(config).run())
