"""The command line of the monitor."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sardonyx import __version__
from sardonyx.address import Address
from sardonyx.command_line import FiniteRange
from sardonyx.errors import RegistryError, RegistryMissing
from sardonyx.registry import Registry
from sardonyx_monitor.config import Config
from sardonyx_monitor.listening import AddressRefused
from sardonyx_monitor.log import set_up_logging
from sardonyx_monitor.monitor import Monitor
from sardonyx_monitor.store.database import StoreRefused

EXAMPLE = """
\b
Example:
  sardonyx-monitor --registry registry/ --data monitor-data/ \\
      --otlp 127.0.0.1:4317 --web 127.0.0.1:8080

Every option is also an environment variable: --registry is SARDONYX_REGISTRY.
"""


def _address(_context: click.Context, _parameter: click.Parameter, text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(epilog=EXAMPLE, context_settings={"auto_envvar_prefix": "SARDONYX", "show_default": True})
@click.option("--registry", required=True, help="Where versions and their promises are: a directory or a URL.")
@click.option(
    "--data", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the monitor's store."
)
@click.option(
    "--otlp",
    default="127.0.0.1:4317",
    callback=_address,
    help="Address for OTLP/gRPC and OutcomeService; port 0 takes a free one.",
)
@click.option(
    "--web",
    default="127.0.0.1:8080",
    callback=_address,
    help="Address for the pages and /api; port 0 takes a free one.",
)
@click.option("--keep-days", default=90.0, type=FiniteRange(0), help="Delete what is older, once an hour; 0 keeps all.")
@click.option("--poll-interval-s", default=2.0, type=FiniteRange(0.05, 3600), help="How often the registry is read.")
@click.version_option(__version__, allow_from_autoenv=False)
def main(**options: Any) -> None:
    """Watch what models do in practice.

    Takes OpenTelemetry traces and ground truth in, shows latency, errors and accuracy per version. What is acknowledged
    is on disk. SIGTERM ends it.
    """
    set_up_logging()
    _check_registry(options["registry"])
    try:
        failed = asyncio.run(_run(Config(**options)))
    except (StoreRefused, AddressRefused, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    if failed:
        raise click.ClickException(
            "The store failed; the log says why. What was acknowledged is kept where its file is. Make room on its disk"
            " and start the monitor again."
        )


def _check_registry(location: str) -> None:
    """Refuse what can never be a registry; one that does not exist yet may come."""
    try:
        Registry(location)
    except RegistryMissing:
        pass
    except RegistryError as error:
        raise click.ClickException(error.message) from None


async def _run(config: Config) -> bool:
    """Serve until SIGTERM or Ctrl-C, or until the store fails; whether it did."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    monitor = Monitor(config)
    try:
        await monitor.start()
        otlp = replace(config.otlp, port=monitor.otlp_port)
        web = replace(config.web, port=monitor.web_port)
        click.echo(f"sardonyx-monitor: otlp on {otlp}")
        click.echo(f"sardonyx-monitor: page on http://{web}/")
        waiting = [asyncio.create_task(event.wait()) for event in (ended, monitor.failed)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
    finally:
        await monitor.stop()
    return monitor.failed.is_set()
