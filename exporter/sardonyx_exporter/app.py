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


class _Texts(click.Group):
    """Takes text alone: what is no UTF-8 could not be kept in a registry, nor sent."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments of a command.

        Raises:
            click.UsageError: one is no text.
        """
        for argument in args:
            try:
                argument.encode()
            except UnicodeEncodeError:
                raise click.UsageError(f"{argument!r} is no UTF-8 text. Write it as one.", ctx) from None
        return super().parse_args(ctx, args)


@click.group(cls=_Texts, epilog=EXAMPLE)
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
