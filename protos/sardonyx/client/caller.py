"""What both transports know of where they call: addresses, credentials, budget, connections."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from sardonyx.client import calls
from sardonyx.client.arguments import check_kind, whole
from sardonyx.client.balancer import Balancer
from sardonyx.client.budget import RetryBudget
from sardonyx.client.retry import Deadline, checked_timeout_s
from sardonyx.client.security import AUTHORIZATION, Tls, authorization
from sardonyx.client.target import targets
from sardonyx.client.unreached import explained
from sardonyx.errors import DeadlineExceeded, InvalidInput, SardonyxError, Unavailable, Violation
from sardonyx.names import check_caller_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

    from sardonyx.client.balancer import Link
    from sardonyx.client.calls import GivenMetadata, Method
    from sardonyx.client.retry import Retry

    Metadata = Sequence[tuple[str, str | bytes]]

Request = TypeVar("Request")
Response = TypeVar("Response")
Channel = TypeVar("Channel", "grpc.Channel", "grpc.aio.Channel")

#: The request parameter that makes a canary's share sticky.
ROUTING_KEY: Final = "routing-key"
#: Connections to each address. A connection stays with the worker that took it, so two reach two workers of a server.
CONNECTIONS: Final = 2
CONNECTIONS_MAX: Final = 64
_CONNECTIONS: Final = f"a number of connections from 1 to {CONNECTIONS_MAX}"

_USER_AGENT: Final = "grpc.primary_user_agent"

_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    # gRPC's default of 4 MiB is about 17,000 rows of 30 doubles.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # What was sent and is not acknowledged for 10 s ends the connection (gRPC sets TCP_USER_TIMEOUT by these two), and
    # while a call waits for long, pings find out whether there is still somebody. Servers end connections whose pings
    # come more often than every 5 minutes, unless they were told otherwise: at 30 s, calls of 180 s failed.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Channels to one address would share one connection otherwise.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's own figures (1 s to 120 s) are for clients of the open internet: a server that restarted is found again
    # soon, and a call that meets a host that is silent goes elsewhere after 5 s instead of 20.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),
)


@dataclass(frozen=True, slots=True)
class Question(Generic[Request, Response]):
    """A call, however often it is made.

    Attributes:
        method: which.
        request: what is sent.
        deadline: how long its caller waits.
        metadata: what goes with it.
        tried: addresses that could not take it, since it last waited.
    """

    method: Method[Request, Response]
    request: Request
    deadline: Deadline
    metadata: Metadata
    tried: set[str] = field(default_factory=set)

    @property
    def options(self) -> dict[str, Any]:
        """What gRPC is told of this attempt."""
        return {"timeout": self.deadline.left_s, "metadata": self.metadata or None}


class Prediction:
    """What a caller says of a prediction, beside its data.

    Attributes:
        id: the prediction's.
        deadline: how long its caller waits.
        routing_key: the caller's; None where there is none.
        metadata: the caller's, one entry a key; empty where there is none.

    Raises:
        InvalidInput: the routing key is no text, or an empty one; or gRPC does not send such metadata.
    """

    __slots__ = ("deadline", "id", "metadata", "routing_key")

    def __init__(self, id_: str, deadline: Deadline, routing_key: str | None, metadata: GivenMetadata | None) -> None:
        self.id = id_
        self.deadline = deadline
        if routing_key == "":
            raise InvalidInput([Violation("routing_key", "it is empty. Give a text, or None where there is no key.")])
        self.routing_key = None if routing_key is None else calls.checked_text("routing_key", routing_key)
        self.metadata: Metadata = calls.checked_metadata(metadata) if metadata else ()

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a request for this prediction alone."""
        return {} if self.routing_key is None else {ROUTING_KEY: self.routing_key}


class Caller(Generic[Channel]):
    """Calls one or more servers, and opens a connection when it first calls over it."""

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        timeout_s: float = 10.0,
        connections: int = CONNECTIONS,
        tls: Tls | None = None,
        token: str | None = None,
        caller: str | None = None,
        allow_insecure_token: bool = False,
        hedge_after_s: float | None = None,
    ) -> None:
        """Say where to call, and how.

        Args:
            address: ``host:port``, or gRPC's ``dns:`` and ``unix:`` targets; several of them separated by commas, or a
                sequence of them. Calls take turns; an address that cannot be reached is left alone for a while.
            timeout_s: how long a call may take in all, its repetitions included.
            connections: how many to each address. A server's workers share its port by connections.
            tls: speak TLS; None: plain text.
            token: what the server knows the caller by, sent with every call.
            caller: a name for whoever calls, such as ``checkout``: traces and the monitor's page show who calls which
                interface, and nobody retires one that is called. A server that asks for tokens goes by the token's
                name.
            allow_insecure_token: send the token in plain text to another machine.
            hedge_after_s: ask again, at another address where there is one, when there has been no answer for so long;
                the first answer counts and the other call is cancelled. None: never. It is for reads that must not wait
                for a slow server, and costs load: it spends of the budget for repetitions. Both calls carry the same
                id, so telemetry may hold that prediction twice.

        Raises:
            InvalidInput: one of these is none; the message says which.
        """
        addresses = targets(address)
        if not 0 < whole("connections", connections, _CONNECTIONS) <= CONNECTIONS_MAX:
            raise InvalidInput([Violation("connections", f"expected {_CONNECTIONS}, got {connections!r}.")])
        check_kind("tls", tls, Tls | None, "Tls(ca='ca.pem'), or Tls() for the authorities that gRPC ships with")
        check_kind("allow_insecure_token", allow_insecure_token, bool, "True or False")
        self._timeout_s = checked_timeout_s(timeout_s)
        self._hedge_after_s = None if hedge_after_s is None else checked_timeout_s(hedge_after_s, "hedge_after_s")
        self._tls = tls
        # gRPC puts it before its own user agent.
        self._agent = () if caller is None else ((_USER_AGENT, check_caller_name(caller)),)
        self._authorization: Metadata = authorization(
            token, addresses, secure=tls is not None, allow_insecure=allow_insecure_token
        )
        self._balancer = Balancer(addresses, connections)
        self._budget = RetryBudget()
        self._channels: dict[Link, Channel] = {}
        self._closed = False
        #: Held by who opens a channel, or sees to it that there are no more.
        self._opening = threading.Lock()

    def _open(self, address: str, options: Sequence[tuple[str, Any]], tls: Tls | None) -> Channel:
        """A channel of the transport's own kind."""
        raise NotImplementedError

    def _channel(self, link: Link) -> Channel:
        channel = self._channels.get(link)
        return self._opened(link) if channel is None else channel

    def _opened(self, link: Link) -> Channel:
        with self._opening:
            if self._closed:
                raise closed()
            if link not in self._channels:
                # Equal options would make two channels one.
                options = (*_OPTIONS, *self._agent, ("sardonyx.connection", link.number))
                self._channels[link] = self._open(link.address, options, self._tls)
            return self._channels[link]

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline(self._timeout_s if timeout_s is None else timeout_s)

    def _wait_s(self, retry: Retry, question: Question[Any, Any], error: SardonyxError) -> float:
        """How long to wait before a question is asked again, in seconds; raises the error where it is not."""
        if self._closed:
            raise closed() from error
        wait_s = retry.wait_s(error, elsewhere=self._balancer.others(question.tried))
        if wait_s:
            # By then what failed may be well again.
            question.tried.clear()
        return wait_s

    def _error(self, question: Question[Any, Any], link: Link, raised: grpc.RpcError) -> SardonyxError:
        """What gRPC raised, as an error of ours; what it says of the address is remembered."""
        error = calls.error_of(raised, question.deadline.timeout_s, link.address, self._balancer.silent())
        if calls.unreachable(raised, error):
            self._balancer.failed(link)
            error = explained(error.message, link.address, self._tls, self._balancer.silent()) or error
        elif not isinstance(error, DeadlineExceeded):
            self._balancer.answered(link)
        if isinstance(error, Unavailable):
            question.tried.add(link.address)
        return error

    def _metadata(self, given: Metadata | None) -> Metadata:
        """What a call carries; a caller's own authorization stands in the client's place."""
        if not given:
            return self._authorization
        if any(key == AUTHORIZATION for key, _ in given):
            return tuple(given)
        return tuple(given) + tuple(self._authorization)


def closed() -> Unavailable:
    """What a call gets that the client was closed under."""
    return Unavailable("The client was closed. Keep it open until all calls are answered, or make another.")
