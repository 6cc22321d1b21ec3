"""Who calls, and whether it may: asked once a call at the gate, and once more where the model's name is known."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sardonyx.errors import PermissionDenied, Unauthenticated
from sardonyx_server.access.reread import Reread
from sardonyx_server.access.tokens import ALL_MODELS, Role, Token, digest_of, read_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A token that was taken out of the file is refused after so long. Looking costs a system call, 2 µs.
LOOK_INTERVAL_S: Final = 1.0

#: Of a service's name, what a refusal repeats.
SERVICE_SHOWN_MAX: Final = 255
_HEADER: Final = "authorization"
_SCHEME: Final = "bearer "


class Access:
    """The callers of a token file, read again when it changes; a bad file changes nothing and is named once.

    A caller is found by its token's digest in a table. How long that takes says nothing of any token: whoever tries
    tokens cannot choose their digests.

    Args:
        path: the token file.

    Raises:
        AccessFileError: it cannot be used.
    """

    def __init__(self, path: str) -> None:
        self._tokens = Reread(
            [path],
            lambda: read_tokens(path),
            "tokens: those that were known stay",
            lambda tokens: f"tokens: {len(tokens)} were read again",
        )
        self._looked_s = time.monotonic()

    def check(self, metadata: Iterable[tuple[str, str | bytes]] | None, role: Role, model: str | None) -> str:
        """Let a caller do something, or not. The answer is the same whether there is such a model or not.

        Args:
            metadata: the call's.
            role: what it takes.
            model: which model it is about; None: none in particular.

        Returns:
            The caller's name.

        Raises:
            Unauthenticated: there is no token, or none that is known, or it has expired.
            PermissionDenied: the caller may not do this.
        """
        token = self._caller(metadata)
        if not token.may(role, model):
            raise _denied(token, role, model)
        return token.name

    def check_service(
        self, metadata: Iterable[tuple[str, str | bytes]] | None, service: str, model: str | None
    ) -> None:
        """Let a caller reach a model's own service, or learn that there is none of that name, or neither.

        Who may call that model reaches it. Who may read knows which services there are, and who may call every model
        would be answered by any: they are told. Everyone else is refused, in the same words in both cases.

        Args:
            metadata: the call's.
            service: its full name.
            model: whose it is; None: there is no such service.

        Raises:
            Unauthenticated: as in ``check``.
            PermissionDenied: the caller may not do this.
        """
        token = self._caller(metadata)
        if token.may(Role.INFER, model or ALL_MODELS):
            return
        if not token.may(Role.READ, None):
            raise PermissionDenied(
                f"{token.name!r} may not call {service[:SERVICE_SHOWN_MAX]!r}, if there is such a service. Ask the"
                " server's operator for the right to."
            )
        if model is not None:
            raise _denied(token, Role.INFER, model)

    def identify(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
        """The caller's name, whatever it may do.

        Raises:
            Unauthenticated: as in ``check``.
        """
        return self._caller(metadata).name

    def _caller(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> Token:
        self._look()
        token = self._tokens.content.get(digest_of(_bearer(metadata)))
        if token is None:
            raise Unauthenticated("This token is not known here. Ask the server's operator for one.")
        if token.expires is not None and token.expires <= datetime.now(UTC):
            raise Unauthenticated(f"The token of {token.name!r} has expired. Ask the server's operator for a new one.")
        return token

    def _look(self) -> None:
        """Look whether the file has changed, where it is time to."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_INTERVAL_S:
            return
        self._looked_s = now_s
        self._tokens.look()


def _bearer(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The call's token."""
    values = [value for key, value in metadata or () if key == _HEADER]
    if len(values) != 1:
        found = "no token" if not values else "several tokens"
        raise Unauthenticated(f"The call carries {found}. Send one in its metadata: authorization: Bearer <token>.")
    value = values[0]
    if not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated("The call's authorization is no bearer token. Write: authorization: Bearer <token>.")
    return value[len(_SCHEME) :].strip()


def _denied(token: Token, role: Role, model: str | None) -> PermissionDenied:
    what = f"call model {model[:63]!r}" if model is not None else f"do this: it takes the role {str(role)!r}"
    return PermissionDenied(f"{token.name!r} may not {what}. Ask the server's operator for the right to.")
