"""Several servers: each has its turn, and one that is gone is nobody's trouble but its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from client import plain
from client.plain import MODEL, Plain
from sardonyx import AsyncClient, Client
from sardonyx.client.budget import RESERVE, TOKENS_A_CALL
from sardonyx.client.caller import CONNECTIONS
from sardonyx.client.retry import ATTEMPTS
from sardonyx.errors import InvalidInput, SardonyxError, Unavailable
from server.scene import ALONE, PATIENCE_S, REGRESSOR, Scene, array_of, wait_until
from server.sink import free_port
from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_calls_take_turns() -> None:
    """Two servers get every second call each, from both clients."""
    servers = [Plain(), Plain()]
    with plain.running(servers[0]) as first, plain.running(servers[1]) as second:
        with Client([first, second]) as client:
            client.describe(MODEL)
            for index in range(20):
                assert client.predict(MODEL, {"x": float(index)}).outputs["value"].tolist() == [2.0 * index]
        assert [len(server.requests) for server in servers] == [10, 10]

        async def ask() -> None:
            async with AsyncClient(f"{first}, {second}") as calling:
                await calling.describe(MODEL)
                await asyncio.gather(*(calling.predict(MODEL, {"x": 1.0}) for _ in range(20)))

        asyncio.run(ask())
        assert [len(server.requests) for server in servers] == [20, 20]


def test_each_address_has_its_connections() -> None:
    """A client opens CONNECTIONS to each address, and as many as it is told to."""
    with plain.running(Plain()) as address:
        for connections in (None, 1, 5):
            with Client(address) if connections is None else Client(address, connections=connections) as client:
                client.describe(MODEL)
                for _ in range(20):
                    client.predict(MODEL, {"x": 1.0})
                assert len(_sockets_to(address)) == (connections or CONNECTIONS)


def _sockets_to(address: str) -> list[int]:
    """The descriptors of this process's sockets that are connected to an address."""
    _, _, port = address.rpartition(":")
    rows = [line.split() for path in ("tcp", "tcp6") for line in Path("/proc/net", path).read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[2].rpartition(":")[2], 16) == int(port)}
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(link.readlink()) in inodes:
                found.append(int(link.name))
    return found


def test_silence_ends_a_connection() -> None:
    """What is sent to a host that went away without a word is given up after 10 s, by the kernel."""
    with plain.running(Plain()) as address, Client(address, connections=1) as client:
        client.describe(MODEL)
        (descriptor,) = _sockets_to(address)
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


@contextlib.contextmanager
def _killable(registry: Path, port: int, *options: str) -> Iterator[Program]:
    fixed = ("--registry", str(registry), "--listen", f"127.0.0.1:{port}", *ALONE)
    program = Program.start("sardonyx_server", *fixed, *options)
    try:
        program.wait_for(r"listening on (\S+:\d+)")
        yield program
    finally:
        if program.process.poll() is None:
            assert program.stop() == 0, "".join(program.lines)


def _kill(program: Program) -> None:
    """End a server and its workers at once, as a host does that loses its power."""
    pid = program.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        os.kill(each, signal.SIGKILL)
    program.process.wait()


def _is_ready(port: int) -> bool:
    with Client(f"127.0.0.1:{port}") as client:
        return client.ready(REGRESSOR)


class _Load:
    """Callers of both clients, who never rest; what went wrong, and how often it did not."""

    def __init__(self, addresses: str, scene: Scene) -> None:
        self.errors: list[Exception] = []
        self.answered = 0
        self._addresses = addresses
        self._array = array_of(seed=41, rows=64)
        self._expected = scene.regressor.predict(self._array)
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._block), threading.Thread(target=self._run)]

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def goes_on(self) -> None:
        """Wait until many more calls were answered, or one was not."""
        before = self.answered
        wait_until(lambda: self.answered > before + 1000 or bool(self.errors), "calls are answered")
        assert self.errors == []

    def _check(self, index: int, answer: Any) -> None:
        np.testing.assert_allclose(answer.outputs["value"], self._expected[[index]], rtol=1e-6)
        self.answered += 1

    def _block(self) -> None:
        with Client(self._addresses) as client, ThreadPoolExecutor(48) as pool:

            def call(index: int) -> None:
                while not self._end.is_set():
                    try:
                        self._check(index, client.predict(REGRESSOR, self._array[index]))
                    except (SardonyxError, AssertionError) as error:
                        self.errors.append(error)

            list(pool.map(call, range(48)))

    def _run(self) -> None:
        async def call(client: AsyncClient, index: int) -> None:
            while not self._end.is_set():
                try:
                    self._check(index, await client.predict(REGRESSOR, self._array[index]))
                except (SardonyxError, AssertionError) as error:
                    self.errors.append(error)

        async def all_of_them() -> None:
            async with AsyncClient(self._addresses) as client:
                await asyncio.gather(*(call(client, index) for index in range(64)))

        asyncio.run(all_of_them())


def test_a_killed_server_is_nobodys_trouble_and_used_again(scene: Scene) -> None:
    """Under load of both clients one of two servers is killed: no call fails. It comes back, and is called again."""
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        first, _ = (stack.enter_context(_killable(scene.registry, port)) for port in ports)
        wait_until(lambda: all(_is_ready(port) for port in ports), "both are ready")
        with _Load(",".join(f"127.0.0.1:{port}" for port in ports), scene) as load:
            load.goes_on()
            _kill(first)
            load.goes_on()
            again = stack.enter_context(_killable(scene.registry, ports[0], "--log-requests"))
            again.wait_for(rf"ModelInfer.*{REGRESSOR}")
            load.goes_on()
        assert load.errors == []


@pytest.mark.parametrize("dead", [1, 2])
def test_addresses_that_are_gone_cost_no_call(dead: int) -> None:
    """Where others do not answer, the one that does gets every call of many: to move on is no repetition."""
    server = Plain()

    async def ask(addresses: list[str]) -> list[Any]:
        async with AsyncClient(addresses) as client:
            return await asyncio.gather(*(client.predict(MODEL, {"x": float(index)}) for index in range(300)))

    with plain.running(server) as alive:
        answers = asyncio.run(ask([*(f"127.0.0.1:{free_port()}" for _ in range(dead)), alive]))
    assert [answer.outputs["value"].tolist() for answer in answers] == [[2.0 * index] for index in range(300)]


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_many_addresses_that_are_gone_cost_no_first_call(kind: str) -> None:
    """Wherever the one that answers stands among more than ATTEMPTS others, it gets a new client's first call."""
    gone = [f"127.0.0.1:{free_port()}" for _ in range(ATTEMPTS + 2)]

    async def ask(addresses: list[str]) -> None:
        async with AsyncClient(addresses, timeout_s=PATIENCE_S) as client:
            await client.describe(MODEL)

    def block(addresses: list[str]) -> None:
        with Client(addresses, timeout_s=PATIENCE_S) as client:
            client.describe(MODEL)

    with plain.running(Plain()) as alive:
        for place in range(len(gone) + 1):
            addresses = [*gone[:place], alive, *gone[place:]]
            block(addresses) if kind == "blocking" else asyncio.run(ask(addresses))


def test_where_nobody_listens_the_call_ends() -> None:
    """Without any server a call is Unavailable, after a few attempts and before its time is over."""
    with Client([f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"], timeout_s=PATIENCE_S) as client:
        with pytest.raises(Unavailable):
            client.predict(MODEL, {"x": 1.0})
        assert client.ready() is False


def test_attempts_are_bounded() -> None:
    """One call is made ATTEMPTS times to a server that always refuses it."""
    server = Plain(refusal=grpc.StatusCode.UNAVAILABLE)
    with plain.running(server) as address, Client(address, timeout_s=PATIENCE_S) as client:
        with pytest.raises(Unavailable, match="not here"):
            client.describe(MODEL)
        assert server.asked == ATTEMPTS


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT])
def test_what_is_no_matter_of_time_is_asked_once(code: grpc.StatusCode) -> None:
    """A refusal of another kind is the caller's at once."""
    server = Plain(refusal=code)
    with plain.running(server) as address, Client(address) as client:
        with pytest.raises(SardonyxError, match="not here"):
            client.describe(MODEL)
        assert server.asked == 1


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_the_budget_bounds_what_many_callers_ask(kind: str) -> None:
    """A server that refuses all of 100 calls at once is asked little more than 100 times, not ATTEMPTS as often."""
    server = Plain(refusal=grpc.StatusCode.UNAVAILABLE)
    calls = 100

    async def ask(address: str) -> list[Any]:
        async with AsyncClient(address, timeout_s=PATIENCE_S) as client:
            return await asyncio.gather(*(client.describe(MODEL) for _ in range(calls)), return_exceptions=True)

    def block(address: str) -> list[Any]:
        with Client(address, timeout_s=PATIENCE_S) as client, ThreadPoolExecutor(calls) as pool:
            return [future.exception() for future in [pool.submit(client.describe, MODEL) for _ in range(calls)]]

    with plain.running(server) as address:
        outcomes = block(address) if kind == "blocking" else asyncio.run(ask(address))
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    # Each second of the test is worth one more, and it has no more than its callers' patience.
    assert calls <= server.asked <= calls + RESERVE + TOKENS_A_CALL * calls + PATIENCE_S


def test_a_hedge_is_the_callers_wish() -> None:
    """Without hedge_after_s a slow server's answer is waited for, and nobody else is asked."""
    servers = [Plain(), Plain()]
    with plain.running(servers[0]) as first, plain.running(servers[1]) as second:
        with Client([first, second]) as client:
            client.describe(MODEL)
            for server in servers:
                server.hold.clear()
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(client.predict, MODEL, {"x": 1.0})
                wait_until(lambda: sum(len(server.requests) for server in servers) == 1, "it is asked")
                for server in servers:
                    server.hold.set()
                assert answer.result().outputs["value"].tolist() == [2.0]
        assert sum(len(server.requests) for server in servers) == 1


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("properties", [{"sardonyx_version": "1"}, {}], ids=["sardonyx", "another"])
def test_the_first_answer_counts_and_the_other_call_is_cancelled(kind: str, properties: dict[str, str]) -> None:
    """With hedge_after_s each call that meets a silent server is answered by the other, and the first is told."""
    slow, fast = Plain(properties), Plain(properties)

    def told() -> bool:
        return len(slow.requests) == slow.cancelled > 0

    with plain.running(slow) as first, plain.running(fast) as second:

        async def ask() -> list[float]:
            async with AsyncClient([first, second], hedge_after_s=0.03, timeout_s=10 * PATIENCE_S) as client:
                await client.describe(MODEL)
                slow.hold.clear()
                values = [(await client.predict(MODEL, {"x": float(i)})).outputs["value"].item() for i in range(8)]
                # Before the client closes, which would end all calls.
                await asyncio.to_thread(wait_until, told, "the silent one is told")
                return values

        def block() -> list[float]:
            with Client([first, second], hedge_after_s=0.03, timeout_s=10 * PATIENCE_S) as client:
                client.describe(MODEL)
                slow.hold.clear()
                values = [client.predict(MODEL, {"x": float(i)}).outputs["value"].item() for i in range(8)]
                wait_until(told, "the silent one is told")
                return values

        values = block() if kind == "blocking" else asyncio.run(ask())
        assert values == [2.0 * index for index in range(8)]
        # Those that met the silent one first carry the same id to the other.
        assert {request.id for request in slow.requests} <= {request.id for request in fast.requests}
        assert fast.cancelled == 0


def test_a_hedge_spends_of_the_budget() -> None:
    """Where both servers are silent, no more calls are made twice than the budget has."""
    servers = [Plain(), Plain()]
    calls = 60
    with plain.running(servers[0]) as first, plain.running(servers[1]) as second:

        async def ask() -> list[Any]:
            async with AsyncClient([first, second], hedge_after_s=0.01) as client:
                await client.describe(MODEL)
                for server in servers:
                    server.hold.clear()
                waiting = (client.predict(MODEL, {"x": 1.0}, timeout_s=0.5) for _ in range(calls))
                return await asyncio.gather(*waiting, return_exceptions=True)

        outcomes = asyncio.run(ask())
        assert all(isinstance(outcome, SardonyxError) for outcome in outcomes)
        assert sum(len(server.requests) for server in servers) <= calls + RESERVE + TOKENS_A_CALL * calls + 10


def test_a_hedged_error_is_the_callers() -> None:
    """Where both attempts fail, the call fails with an error of theirs; a bad call is refused without a second one."""
    server = Plain(refusal=grpc.StatusCode.INVALID_ARGUMENT)
    with plain.running(server) as address, Client(address, hedge_after_s=PATIENCE_S / 2) as client:
        with pytest.raises(InvalidInput, match="not here"):
            client.describe(MODEL)
        assert server.asked == 1


@pytest.mark.parametrize(
    "address",
    [
        *("", " , ", [], None, 8001, b"localhost:8001", {"localhost:8001": 1}, [8001], ["localhost:8001", None]),
        *("localhost", "localhost:99999999", "localhost:0", "localhost:http", "::1:8001", "user@localhost:8001"),
        *("http://localhost:8001", "https://localhost", "grpc://localhost:8001", "dns:///localhost", "xds:///models"),
        *("unix:", "localhost:8001 localhost:8002", "localhost:8001/v2", "localhost:8001,localhost"),
    ],
)
def test_what_is_no_address_is_refused(address: Any) -> None:
    """A client that has nobody to call says so when it is made, and shows what an address looks like."""
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidInput, match=r"^address: .*(127\.0\.0\.1:8001|Give the port)"):
            kind(address)


@pytest.mark.parametrize("form", ["{}", "dns:{}", "dns:///{}", "ipv4:{}", " {} ,", "unix:{socket}"])
def test_every_form_of_an_address_leads_there(form: str, tmp_path: Path) -> None:
    """GRPC's names of targets are addresses too."""
    with plain.running(Plain(), socket=tmp_path / "models") as address:
        target = form.format(address, socket=tmp_path / "models")
        with Client(target) as client:
            assert client.predict(MODEL, {"x": 2.0}).outputs["value"].tolist() == [4.0]


@pytest.mark.parametrize(
    "options",
    [
        *({"connections": wrong} for wrong in (0, 65, "2", 2.5, True, None)),
        *({"timeout_s": wrong} for wrong in (0, -1, float("nan"), float("inf"), "x", None, True, [1.0], b"1")),
        *({"hedge_after_s": wrong} for wrong in (-1, float("nan"), "x", True)),
        *({"tls": wrong} for wrong in (True, "ca.pem", {"ca": "ca.pem"})),
        *({"token": wrong} for wrong in (7, b"secret", "", "two words")),
        *({"caller": wrong} for wrong in (7, b"me", "", "a b")),
        {"allow_insecure_token": "no"},
    ],
    ids=repr,
)
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    """An option that makes no sense is named when the client is made, and a token is not repeated."""
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidInput, match=f"^{next(iter(options))}: ") as refused:
            kind("127.0.0.1:1", **options)
        assert "secret" not in refused.value.message
