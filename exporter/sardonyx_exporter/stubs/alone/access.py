"""Where a client calls, and as whom."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc import aio

from .errors import closed, explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FORM: Final = "Write host:port, such as localhost:8001"
_TARGET: Final = re.compile(
    r"unix(-abstract)?:.+|(dns:(//[^/]*/)?|ipv[46]:)?(\[(?P<ipv6>[^\[\]\s]+)\]|(?P<name>[^\[\]\s:/?#@,]+)):(?P<port>[0-9]{1,5})"
)
_URL: Final = re.compile(r"[a-z]+://", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_CALLER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_PORT_MAX: Final = 65_535
_USER_AGENT: Final = "grpc.primary_user_agent"
#: gRPC's default of 4 MiB is less than the answer to 50,000 rows of ten classes, which servers give.
_OPTIONS: Final = (("grpc.max_receive_message_length", -1),)
#: A day: gRPC takes a time that is too long for one that is over.
_TIMEOUT_S_MAX: Final = 86_400.0


class Access:
    """What a client's calls have in common.

    Attributes:
        target: where they go, as gRPC takes it; a channel that was given knows that itself.
        options: of the channel.
        metadata: of each call.
        is_closed: whether there are to be no more calls.

    Args:
        target: an address, or a channel.
        channel: the kind of channel that it may be.
        service: the full name of the one that is called.
        credentials: by which TLS is spoken.
        token: a bearer token; empty: none.
        caller: the name that the server's monitor shows; empty: none.

    Raises:
        TypeError: the target or the credentials are of another kind.
        RuntimeError: there is no event loop for a connection of asyncio.
        ValueError: an argument cannot be what it is given as; the message says what it should be.
    """

    def __init__(
        self,
        target: object,
        channel: type[grpc.Channel | aio.Channel],
        service: str,
        *,
        credentials: object,
        token: str,
        caller: str,
    ) -> None:
        if not isinstance(target, str | channel):
            raise TypeError(f"{target!r:.100} is no address, and no {channel.__module__}.Channel. {_FORM}.")
        self.target = _checked(target) if isinstance(target, str) else ""
        if not self.target and (credentials is not None or caller):
            raise ValueError(
                "credentials and caller are a channel's own. Give them to the channel, or an address here."
            )
        if not isinstance(credentials, grpc.ChannelCredentials | None):
            raise TypeError(f"credentials: {credentials!r:.100} is none. Give grpc.ssl_channel_credentials(…).")
        self.options: Sequence[tuple[str, Any]] = [*_OPTIONS, *([(_USER_AGENT, _name(caller))] if caller else [])]
        self.metadata: tuple[tuple[str, str | bytes], ...] = ()
        if token:
            self.metadata = (("authorization", f"Bearer {_token(token)}"),)
            if self.target and credentials is None and not _is_local(self.target):
                risk = f"it would travel unencrypted to {self.target}, where anybody on the way can read it"
                cure = "Give credentials=grpc.ssl_channel_credentials(…), or a channel of your own where that is well"
                raise ValueError(f"token: {risk}. {cure}.")
        self.is_closed = False
        self._service = service
        #: Whose the connection is that is made here; None where it is a channel's, or for threads.
        self._loop = _running_loop() if self.target and issubclass(channel, aio.Channel) else None

    @contextmanager
    def explaining(self, timeout_s: float | None) -> Iterator[None]:
        """Within it, gRPC's errors become those of this package.

        Raises:
            RuntimeError: this is another event loop than the client's, or the client is closed.
            CallFailed: there is no answer; the client may have been closed meanwhile.
            TypeError, ValueError: ``timeout_s`` is no time to wait.
        """
        if timeout_s is not None:
            _check_timeout(timeout_s)
        if self.is_closed:
            raise RuntimeError("This client is closed. Make another, or close it when all calls are made.")
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "This client was made in another event loop. Make one in each, as in each asyncio.run()."
            )
        try:
            yield
        except grpc.RpcError as error:
            if self._closed_since() and error.code() is grpc.StatusCode.CANCELLED:
                raise closed() from None
            raise explained(error, self.target or "The server", self._service, timeout_s) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed_since() or (task is not None and task.cancelling()):
                raise
            # gRPC cancels what is on its way over a channel that closes; nobody cancelled the caller.
            raise closed() from None
        except ValueError:
            if not self._closed_since():
                raise
            # How gRPC says that another thread was faster: the channel closed since we looked.
            raise closed() from None

    def _closed_since(self) -> bool:
        """Whether the client was closed while a call was on its way; for type checkers, which do not expect that."""
        return self.is_closed


def _check_timeout(timeout_s: Any) -> None:
    if isinstance(timeout_s, bool) or not hasattr(timeout_s, "__float__"):
        raise TypeError(f"timeout_s: {timeout_s!r:.100} is no number. Give seconds, or None.")
    if not 0 < float(timeout_s) <= _TIMEOUT_S_MAX:
        most = f"above 0 and up to {_TIMEOUT_S_MAX:g}, or None to wait as long as it takes"
        raise ValueError(f"timeout_s: {timeout_s!r} is no time to wait. Give seconds, {most}.")


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("No event loop runs here. Make this client within the coroutine that uses it.") from None


def _checked(target: str) -> str:
    url = _URL.match(target)
    if url is not None and not target.startswith("dns://"):
        raise ValueError(
            f"{target!r} is a URL: leave out {url[0]!r}. {_FORM}, and give credentials where it speaks TLS."
        )
    found = _TARGET.fullmatch(target)
    if found is None or int(found["port"] or 1) not in range(1, _PORT_MAX + 1):
        raise ValueError(f"{target!r} is no address. {_FORM}.")
    return target


def _is_local(target: str) -> bool:
    """Whether what is sent there stays on this machine."""
    found = _TARGET.fullmatch(target)
    host = (found["ipv6"] or found["name"]) if found else None
    return host is None or host in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


def _token(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise ValueError(
            "token: it is text of letters, digits and -._~+/ alone, with = at its end. Look for a line break."
        )
    return token


def _name(caller: str) -> str:
    if not _CALLER.fullmatch(caller):
        rule = "up to 63 letters, digits and ._@- after the first, which is a letter or digit"
        raise ValueError(f"{caller!r:.100} is no caller's name: it has {rule}. Try 'checkout'.")
    return caller
