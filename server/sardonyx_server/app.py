"""The command line of the server."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from sardonyx import __version__
from sardonyx.address import Address
from sardonyx.command_line import FiniteRange, WholeRange
from sardonyx.errors import RegistryError
from sardonyx.registry import Registry
from sardonyx_server import apart, sharing
from sardonyx_server.access.command import token
from sardonyx_server.access.files import AccessFileError
from sardonyx_server.access.startup import check_files, check_options
from sardonyx_server.commands import DefaultGroup
from sardonyx_server.config import (
    CAPTURE_ROWS_PER_S_MAX,
    CPU,
    LOAD_TIMEOUT_S,
    Config,
    default_workers,
    parse_endpoint,
    parse_models,
    parse_providers,
)
from sardonyx_server.log import LOG, set_up_logging
from sardonyx_server.supervisor import Supervisor
from sardonyx_server.telemetry.collector import COMPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLE = """
\b
Example:
  sardonyx-server --registry registry/ --listen 127.0.0.1:8001 --workers 2 \\
      --otlp-endpoint http://127.0.0.1:4317

Every option is also an environment variable: --registry is SARDONYX_REGISTRY.
"""

CHECK_EXAMPLE = """
\b
Example:
  sardonyx-server check --registry registry/ && sardonyx-server --registry registry/

\b
Exit codes: 0 all of it would serve, 1 something would not (the table says what), 2 wrong usage.
"""

HEALTH_EXAMPLE = """
\b
Example:
  HEALTHCHECK CMD ["sardonyx-server", "health"]

\b
Exit codes: 0 it serves, 1 it does not (the error says why), 2 wrong usage.
"""


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str], Any]:
    """A click callback that turns a ValueError into a usage error."""

    def callback(_context: click.Context, _parameter: click.Parameter, text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


#: Every option of every command is an environment variable too, under the same name.
_SETTINGS: Final = {"auto_envvar_prefix": "SARDONYX", "show_default": True}


@click.command("serve", short_help="What runs where no command is named.", epilog=EXAMPLE, context_settings=_SETTINGS)
@click.option(
    "--registry", required=True, help="Where versions come from: a directory, or a URL such as s3://bucket/models."
)
@click.option(
    "--models",
    default="",
    callback=_parsed(parse_models),
    help="Serve these models only, such as flight-delay,arrival; empty: all. One that is not there yet may come.",
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
    type=WholeRange(1, 256),
    show_default="one a processor",
    help="Worker processes on the one port.",
)
@click.option(
    "--otlp-endpoint",
    default="",
    envvar=["SARDONYX_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"],
    callback=_parsed(parse_endpoint),
    help="OTLP/gRPC collector for spans, such as http://127.0.0.1:4317; empty: none are sent.",
)
@click.option(
    "--otlp-compression",
    default=COMPRESSIONS[0],
    envvar=["SARDONYX_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"],
    type=click.Choice(COMPRESSIONS),
    help="For a collector that is far away.",
)
@click.option(
    "--trace-ratio",
    default=1.0,
    type=FiniteRange(0, 1, min_open=True),
    help="Share of predictions that get a span. Failed and slow ones and sampled traces do in any case.",
)
@click.option(
    "--slow-ms",
    default=100.0,
    type=FiniteRange(0, 86_400_000),
    help="What takes so long gets a span at any --trace-ratio.",
)
@click.option(
    "--capture-rows-per-s",
    default=10.0,
    type=FiniteRange(0, CAPTURE_ROWS_PER_S_MAX),
    help="Input rows that each worker adds to its spans; 0: none.",
)
@click.option(
    "--metrics-port",
    default=0,
    type=WholeRange(0, 65_535),
    help="Prometheus metrics of all workers, on the host of --listen; 0: none.",
)
@click.option("--log-requests", is_flag=True, help="Write a log line for each prediction.")
@click.option("--poll-interval-s", default=1.0, type=FiniteRange(0.01, 3600), help="How often the registry is read.")
@click.option(
    "--load-timeout-s",
    default=LOAD_TIMEOUT_S,
    type=FiniteRange(0.1, 86_400),
    help="How long a version may take to be read, built and proven; then it failed.",
)
@click.option("--drain-timeout-s", default=30.0, type=FiniteRange(0.1, 3600), help="How long a shutdown may take.")
@click.option(
    "--drain-grace-s",
    default=0.5,
    type=FiniteRange(0, 600),
    help="How long health says NOT_SERVING before new calls are refused.",
)
@click.option(
    "--queue-rows-max",
    default=65_536,
    type=WholeRange(1),
    help="Rows that may wait for models in one worker; more are refused.",
)
@click.option(
    "--batch-rows-max",
    default=1024,
    type=WholeRange(1),
    help="Rows of several requests that one run of a model takes together; 1: each request has its own.",
)
@click.option(
    "--batch-delay-ms",
    default=0.0,
    type=FiniteRange(0, 1000),
    help="How long a request waits for others to share its run; 0: it takes those that came while the model was busy.",
)
@click.option(
    "--message-bytes-max",
    default=64 * 1024 * 1024,
    type=WholeRange(1024, 2**31 - 1),
    help="The largest request that is read.",
)
@click.option("--text-bytes-max", default=65_536, type=WholeRange(1), help="The longest text that a row may hold.")
@click.option("--onnx-threads", default=1, type=WholeRange(1, 256), help="Threads inside one run of a model.")
@click.option(
    "--providers",
    default=CPU,
    callback=_parsed(parse_providers),
    help="Execution providers of ONNX Runtime, separated by commas, the preferred one first.",
)
@click.option("--tls-cert", default="", help="The server's certificate, PEM; read again when it changes.")
@click.option("--tls-key", default="", help="Its private key, PEM.")
@click.option("--tls-client-ca", default="", help="Roots of the certificates that callers must show, PEM: mutual TLS.")
@click.option("--token-file", default="", help="Callers' tokens and rights; `sardonyx-server token` makes them.")
@click.option("--reflection/--no-reflection", default=True, help="Whether server reflection answers.")
@click.option("--log-format", default="text", type=click.Choice(["text", "json"]), help="For people or for machines.")
@click.version_option(__version__, allow_from_autoenv=False)
def serve(**options: Any) -> None:
    """Serve every model that the registry says is live, over gRPC.

    Speaks the Open Inference Protocol v2, grpc.health.v1, server reflection and sardonyx.serving.v1.ModelService. New
    versions are picked up while requests run. SIGTERM ends it without losing one.
    """
    config = _configured(**options)
    set_up_logging(json_lines=config.json_logs)
    with _sentences():
        for warning in check_files(config):
            LOG.warning(warning)
        Registry(config.registry)
    sharing.allow_connections()
    sys.exit(Supervisor(config).run())


@click.command(
    "check",
    short_help="Load and prove what would be served, and end.",
    epilog=CHECK_EXAMPLE,
    context_settings=_SETTINGS,
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def check(*, as_json: bool, **options: Any) -> None:
    """Load and prove every version that a server with these options would serve, without serving it.

    Takes the options of serving, so that a server's own command line or environment is what is checked: its
    configuration, the registry, and each version's bytes, graph and golden rows on this host's runtime.
    """
    # Only here: it loads ONNX Runtime, which a supervisor does without.
    from sardonyx_server.check import Report, check_registry, shown

    config = _configured(**options)
    try:
        for warning in check_files(config):
            click.echo(warning, err=True)
        report = check_registry(config, lambda line: click.echo(line, err=True))
    except (RegistryError, AccessFileError) as error:
        if not as_json:
            raise click.ClickException(str(error)) from None
        report = Report(config.registry, (), (str(error),))
    click.echo(json.dumps(report.as_data(), indent=2) if as_json else shown(report))
    apart.leave(0 if report.passed else 1)


@click.command(
    "health",
    short_help="Ask the server on this host whether it serves.",
    epilog=HEALTH_EXAMPLE,
    context_settings=_SETTINGS,
)
def health(**options: Any) -> None:
    """Ask the server of these options, which runs on this host, whether it serves: a health check for containers.

    Takes the options of serving, so that a server's own environment says where it listens and whether it speaks TLS.
    Where callers must show a certificate (--tls-client-ca), a handshake is all that is asked.
    """
    # Only here: it loads gRPC, which the other commands do without.
    from sardonyx_server.health import Unhealthy, ask

    try:
        click.echo(ask(_configured(**options)))
    except Unhealthy as error:
        raise click.ClickException(str(error)) from None


for command in (check, health):
    command.params[:0] = [option for option in serve.params if option.name != "version"]
main = DefaultGroup(serve, check, health, token)


def _configured(listen: Address, log_format: str, **options: Any) -> Config:
    """The configuration of a server; what of it cannot be used ends the program with a sentence."""
    config = Config(host=listen.host, port=listen.port, json_logs=log_format == "json", **options)
    try:
        check_options(config)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return config


@contextmanager
def _sentences() -> Iterator[None]:
    """What the operator can mend is a sentence and exit 1, never a traceback."""
    try:
        yield
    except (RegistryError, AccessFileError) as error:
        raise click.ClickException(str(error)) from None
