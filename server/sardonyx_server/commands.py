"""What the command line needs beside click: a group of commands of which one needs no name."""

from __future__ import annotations

from typing import Any

import click

from sardonyx.errors import nearest


class DefaultGroup(click.Group):
    """Runs its default command where the first word names none: ``sardonyx-server --registry …`` serves.

    Its help is the default command's, with the others below it.

    Args:
        default: that command.
        others: commands that are asked for by name.
    """

    def __init__(self, default: click.Command, *others: click.Command) -> None:
        commands = {command.name or "": command for command in (default, *others)}
        super().__init__(commands=commands, help=default.help, epilog=default.epilog, no_args_is_help=False)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command's name in front of options that are no wish for help.

        Raises:
            click.UsageError: the first word is no command: the default one takes options alone.
        """
        first = args[0] if args else "-"
        if not first.startswith("-") and first not in self.commands:
            raise click.UsageError(self._no_such_command(first), ctx)
        if first not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = [self._default.name or "", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run what was asked for.

        Raises:
            click.UsageError: a command stands behind the default one's options, which take no words.
        """
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            late = next((name for name in self.commands if error.message.endswith(f"argument ({name})")), None)
            if late is None:
                raise
            raise click.UsageError(f"Put {late!r} first: {ctx.command_path} {late} …", ctx) from None

    def _no_such_command(self, name: str) -> str:
        near = nearest(name, self.commands, limit=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        there_are = f"There are {', '.join(self.commands)}; without one, {self._default.name} runs."
        return f"No such command {name!r}.{hint} {there_are}"

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The default command's options, then the commands."""
        with click.Context(self._default, parent=ctx, **self._default.context_settings) as context:
            self._default.format_options(context, formatter)
        self.format_commands(ctx, formatter)
