"""Tokens of callers: a file of their digests, with what each may do.

::

    [[token]]
    name = "booking"                     # who it is, in logs and spans
    sha256 = "9f86d081884c7d65…"         # of the token, in hex
    roles = ["infer"]                    # infer, read
    models = ["flight-delay"]            # which models it may call; ["*"]: all
    expires = 2027-01-31T00:00:00Z       # may be left out

A token is 256 random bits, so one round of SHA-256 is enough: a slow hash protects what people choose, which can be
guessed. Nobody guesses 256 bits, and a slow hash would cost each call milliseconds.
"""

from __future__ import annotations

import enum
import hashlib
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sardonyx.names import CALLER_NAME, MODEL_NAME
from sardonyx_server.access.files import AccessFileError, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL_MODELS: Final = "*"
#: Makes a token recognisable to those who search sources and logs for secrets.
PREFIX: Final = "sdx_"
TOKEN_BYTES: Final = 32

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = {"name", "sha256", "roles", "models", "expires"}


class Role(enum.StrEnum):
    """What a caller may do.

    ``INFER``: predict with its models, and read what a caller must know of them: their metadata and readiness.
    ``READ``: read everything, of every model: metadata, lists, states, reflection.
    """

    INFER = "infer"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Token:
    """One caller's rights.

    Attributes:
        name: who it is.
        sha256: the token's digest, in hex.
        roles: what it may do.
        models: which models it may call; ``*`` stands for all.
        expires: when it ends; None: never.
    """

    name: str
    sha256: str
    roles: frozenset[Role]
    models: frozenset[str]
    expires: datetime | None = None

    def may(self, role: Role, model: str | None) -> bool:
        """Whether it may do this with a model; None: with no model in particular."""
        its_own = model is not None and Role.INFER in self.roles and self._calls(model)
        return its_own or (role is Role.READ and Role.READ in self.roles)

    def _calls(self, model: str) -> bool:
        return model in self.models or ALL_MODELS in self.models

    def to_toml(self) -> str:
        """The entry for a token file."""
        lines = [
            "[[token]]",
            f'name = "{self.name}"',
            f'sha256 = "{self.sha256}"',
            f"roles = {_listed(self.roles)}",
            f"models = {_listed(self.models)}",
        ]
        if self.expires:
            lines.append(f"expires = {self.expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
        return "\n".join(lines) + "\n"


def new_token() -> str:
    """A token that nobody has."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> str:
    """What is kept of a token: SHA-256 in hex."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def read_tokens(path: str) -> Mapping[str, Token]:
    """The tokens of a file, by digest. A file without one lets nobody in, which is how the last caller is shut out.

    Raises:
        AccessFileError: it cannot be read, or an entry is wrong.
    """
    try:
        document = tomllib.loads(read_bytes(path).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise AccessFileError(f"{path!r} is no TOML: {error}. Mend it there.") from None
    entries = document.pop("token", [])
    if document or not isinstance(entries, list):
        raise AccessFileError(f"{path!r} holds something else than [[token]] entries. Remove what is none.")
    tokens: dict[str, Token] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            token = _token_of(entry)
            if token.sha256 in tokens:
                raise ValueError("sha256 is that of another entry. Give each token one entry.")
        except ValueError as error:
            raise AccessFileError(f"{path!r}, token {number}: {error}") from None
        tokens[token.sha256] = token
    return tokens


def check_name(name: str) -> str:
    """Return a caller's name if it is one.

    Raises:
        ValueError: it is not.
    """
    if not CALLER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no caller's name. Use up to 63 letters, digits and ._@- after the first.")
    return name


def check_models(models: Iterable[str]) -> frozenset[str]:
    """The models that a token may call.

    Raises:
        ValueError: one is no model's name.
    """
    wrong = [model for model in models if model != ALL_MODELS and not MODEL_NAME.fullmatch(model)]
    if wrong:
        raise ValueError(f"models holds {wrong[0]!r}, which is no model's name. Write names, or '*' for all.")
    return frozenset(models)


def _token_of(entry: Any) -> Token:
    """Read one entry.

    Raises:
        ValueError: it is wrong; the text says where.
    """
    if not isinstance(entry, Mapping):
        raise ValueError("it is no table. Write [[token]] above it.")
    unknown = sorted(entry.keys() - _KEYS)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no key of a token. Keys are {', '.join(sorted(_KEYS))}.")
    sha256 = _text_of(entry, "sha256")
    if not _DIGEST.fullmatch(sha256):
        raise ValueError("sha256 is not 64 lower-case hexadecimal digits. Let `sardonyx-server token` write it.")
    roles = _texts_of(entry, "roles")
    if not roles or not set(roles) <= set(Role):
        raise ValueError(f"roles is {list(roles)}. Name one or more of {', '.join(Role)}.")
    models = check_models(_texts_of(entry, "models"))
    if Role.INFER in roles and not models:
        raise ValueError("models is missing. Name the models that it may call, or '*' for all.")
    name, expires = check_name(_text_of(entry, "name")), _expiry_of(entry.get("expires"))
    return Token(name, sha256, frozenset(map(Role, roles)), models, expires)


def _text_of(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise ValueError(f'{key} is missing, or no text. Write {key} = "…".')
    return value


def _texts_of(entry: Mapping[str, Any], key: str) -> list[str]:
    values = entry.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f'{key} is no list of texts. Write {key} = ["…"].')
    return values


def _expiry_of(value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("expires is no time with its zone. Write one such as 2027-01-31T00:00:00Z.")
    return value


def _listed(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in sorted(values)) + "]"
