"""The command line of the exporter."""

from __future__ import annotations

from typing import Final

import click

from sardonyx import __version__
from sardonyx_exporter.commands import acting, callers, publishing

EXAMPLE: Final = """
\b
Example:
  sardonyx-exporter export pipeline.joblib --name flight-delay \\
      --data holdout.parquet --target delayed --registry registry/
  sardonyx-exporter promote flight-delay 1 --registry registry/
  sardonyx-exporter list --registry registry/

\b
Exit codes: 0 done, 1 refused or failed (a sentence says why), 2 wrong usage.
"""


@click.group(epilog=EXAMPLE)
@click.version_option(__version__)
def main() -> None:
    """From a fitted scikit-learn model to a registered version, and what is live."""


for command in (
    publishing.export_command,
    publishing.list_command,
    publishing.show_command,
    acting.promote_command,
    acting.rollback_command,
    acting.canary_command,
    acting.shadow_command,
    acting.retire_command,
    callers.init_command,
    callers.stubs_command,
):
    main.add_command(command)
