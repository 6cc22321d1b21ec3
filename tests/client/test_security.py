"""How both clients show who they are and of whom they make sure, against real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from sardonyx import AsyncClient, Client
from sardonyx.client import Tls
from sardonyx.errors import InvalidInput, PermissionDenied, SardonyxError, Unauthenticated, Unavailable
from sardonyx_server.access.tokens import Role, Token, digest_of, new_token
from server.scene import ALONE, CLASSIFIER, REGRESSOR, Scene, array_of, frame_of, wait_until
from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: May ask one model.
BOOKING = new_token()
ROW = [1.0, 2.0, 3.0]


def _files(folder: Path, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """A certificate and its key, as files."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return cert, key


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Whom both sides trust."""
    return trustme.CA()


@pytest.fixture(scope="module")
def pair(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The client's certificate and key."""
    return _files(tmp_path_factory.mktemp("caller"), authority.issue_cert("caller"))


@pytest.fixture(scope="module")
def guarded(scene: Scene, authority: trustme.CA, pair: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks mutual TLS and asks for tokens; its address."""
    folder = tmp_path_factory.mktemp("guarded")
    cert, key = _files(folder, authority.issue_cert("127.0.0.1"))
    (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    token = Token("booking", digest_of(BOOKING), frozenset({Role.INFER}), frozenset({REGRESSOR}))
    (folder / "tokens.toml").write_text(token.to_toml())
    options = ("--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(folder / "ca.pem"))
    program = Program.start(
        "sardonyx_server",
        *("--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE, *options),
        *("--token-file", str(folder / "tokens.toml")),
    )
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        with Client(address, tls=_tls(authority, pair), token=BOOKING) as client:
            wait_until(lambda: client.ready(REGRESSOR), "the model is ready")
        yield address
    finally:
        assert program.stop() == 0, "".join(program.lines)


def _tls(authority: trustme.CA, pair: tuple[Path, Path]) -> Tls:
    return Tls(ca=authority.cert_pem.bytes(), cert=pair[0], key=str(pair[1]))


def _ask(kind: type[Client | AsyncClient], model: str, data: Any, *args: Any, **options: Any) -> list[Any]:
    """The outcomes of a few calls: with the asyncio client, of several at once."""
    metadata = options.pop("metadata", None)
    if kind is Client:
        with Client(*args, **options) as client:
            return [client.predict(model, data, metadata=metadata) for _ in range(3)]

    async def ask() -> list[Any]:
        async with AsyncClient(*args, **options) as client:
            return await asyncio.gather(*(client.predict(model, data, metadata=metadata) for _ in range(30)))

    return asyncio.run(ask())


both = pytest.mark.parametrize("kind", [Client, AsyncClient])


@both
def test_a_known_caller_is_answered(
    guarded: str, authority: trustme.CA, pair: tuple[Path, Path], kind: Any, scene: Scene
) -> None:
    """With certificate and token every call is answered, shared or not."""
    array = array_of(seed=51, rows=1)
    for answer in _ask(kind, REGRESSOR, array, guarded, tls=_tls(authority, pair), token=BOOKING):
        assert answer.outputs["value"].tolist() == pytest.approx(scene.regressor.predict(array).tolist())


@both
def test_a_token_may_come_with_the_call(
    guarded: str, authority: trustme.CA, pair: tuple[Path, Path], kind: Any
) -> None:
    """A caller's own authorization counts for all that its call takes, and stands in the client's place."""
    metadata = [("authorization", f"Bearer {BOOKING}")]
    assert _ask(kind, REGRESSOR, ROW, guarded, tls=_tls(authority, pair), metadata=metadata)
    assert _ask(kind, REGRESSOR, ROW, guarded, tls=_tls(authority, pair), metadata=metadata, token=new_token())


@both
@pytest.mark.parametrize(
    ("token", "model", "data", "error"),
    [
        (None, REGRESSOR, ROW, Unauthenticated),
        (new_token(), REGRESSOR, ROW, Unauthenticated),
        (BOOKING, CLASSIFIER, frame_of(1, 1), PermissionDenied),
    ],
    ids=["no token", "another's token", "another model"],
)
def test_who_may_not_is_told_so(
    guarded: str,
    authority: trustme.CA,
    pair: tuple[Path, Path],
    kind: Any,
    token: str | None,
    model: str,
    data: Any,
    error: type[SardonyxError],
) -> None:
    """Without a token, with an unknown one, or for another's model: the error says which, and nothing is repeated."""
    with pytest.raises(error):
        _ask(kind, model, data, guarded, tls=_tls(authority, pair), token=token)


@both
def test_nobody_talks_to_a_stranger(guarded: str, authority: trustme.CA, pair: tuple[Path, Path], kind: Any) -> None:
    """A server of another authority, a caller without certificate, and plain text: no call is answered."""
    stranger = trustme.CA()
    for tls in (_tls(stranger, pair), Tls(ca=authority.cert_pem.bytes()), None):
        with pytest.raises(Unavailable):
            _ask(kind, REGRESSOR, ROW, guarded, tls=tls, token=BOOKING, timeout_s=1.0)


@both
@pytest.mark.parametrize(
    ("address", "options", "name"),
    [
        ("models.example:8001", {"token": BOOKING}, "token"),
        ("127.0.0.1:1,10.0.0.1:8001", {"token": BOOKING}, "token"),
        ("127.0.0.1:1", {"token": f"{BOOKING}\n"}, "token"),
        ("127.0.0.1:1", {"token": ""}, "token"),
    ],
    ids=["elsewhere", "one of two elsewhere", "a line's end", "empty"],
)
def test_a_token_that_others_could_read_is_not_sent(
    kind: Any, address: str, options: dict[str, Any], name: str
) -> None:
    """A token for another machine without TLS, or what is none, is refused when the client is made."""
    with pytest.raises(InvalidInput, match=name):
        kind(address, **options)


@both
@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:1", "[::1]:1", "unix:/run/models", "dns:///localhost:1"])
def test_a_token_may_stay_on_this_machine(kind: Any, address: str) -> None:
    """To this machine a token goes without TLS, and elsewhere where the caller says so."""
    kind(address, token=BOOKING)
    kind("models.example:8001", token=BOOKING, tls=Tls())
    kind("models.example:8001", token=BOOKING, allow_insecure_token=True)


@both
def test_a_wrong_token_is_no_matter_of_waiting(
    guarded: str, authority: trustme.CA, pair: tuple[Path, Path], kind: Any
) -> None:
    """Whether a model is ready is not asked in vain for ever by who may not ask."""

    async def ask() -> bool:
        async with AsyncClient(guarded, tls=_tls(authority, pair), token=new_token()) as client:
            return await client.ready(REGRESSOR)

    def block() -> bool:
        with Client(guarded, tls=_tls(authority, pair), token=new_token()) as client:
            return client.ready(REGRESSOR)

    with pytest.raises(Unauthenticated):
        block() if kind is Client else asyncio.run(ask())


@both
def test_pem_is_taken_as_text_too(guarded: str, authority: trustme.CA, pair: tuple[Path, Path], kind: Any) -> None:
    """What is in a file may be given instead of its path; the key is in no message about it."""
    cert, key = (path.read_text() for path in pair)
    tls = Tls(ca=authority.cert_pem.bytes().decode(), cert=cert, key=key)
    assert _ask(kind, REGRESSOR, ROW, guarded, tls=tls, token=BOOKING)
    assert "PRIVATE" not in repr(tls)


@pytest.mark.parametrize("part", [7, True, ["ca.pem"]])
def test_what_is_no_pem_is_refused(part: Any) -> None:
    """A part of another kind is named at once, and bytes that are none when the client connects."""
    with pytest.raises(InvalidInput, match=r"tls\.ca"):
        Tls(ca=part)
    with pytest.raises(InvalidInput, match=r"tls\.key"):
        Tls(cert=b"x", key=part)
    with Client("127.0.0.1:1", tls=Tls(ca=b"x")) as client, pytest.raises(InvalidInput, match=r"tls\.ca.*no PEM"):
        client.predict(REGRESSOR, ROW)


def test_half_a_pair_is_refused() -> None:
    """A certificate without its key, and a file that is not there, are named."""
    with pytest.raises(InvalidInput, match="belong together"):
        Tls(cert=b"x")
    with Client("127.0.0.1:1", tls=Tls(ca="nowhere.pem")) as client, pytest.raises(InvalidInput, match=r"nowhere\.pem"):
        client.predict(REGRESSOR, ROW)
