"""What the monitor has seen of a model's callers, read from its JSON API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sardonyx.errors import SardonyxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_MONITOR: Final = "http://127.0.0.1:8080"
TIMEOUT_S: Final = 30.0


class MonitorSilent(SardonyxError):
    """The monitor does not say who calls; the message says why not, without a full stop."""


@dataclass(frozen=True, slots=True)
class SeenCaller:
    """Who called an interface generation.

    Attributes:
        name: the caller's; empty where it gave none.
        requests: how many calls it made: an estimate where the servers record a sample.
        last: when it made the last one.
    """

    name: str
    requests: float
    last: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """What the monitor saw of one interface generation.

    Attributes:
        callers: who called it, the busiest first.
        whole: whether the monitor was there for all of the time that it was asked about.
        since: the oldest call of any model that the monitor has; None where it has none.
    """

    callers: Sequence[SeenCaller]
    whole: bool
    since: datetime | None


def read_seen(monitor: str, model: str, major: int, within: str) -> Seen:
    """Who called an interface generation lately.

    Args:
        monitor: the address of the monitor's page, such as http://127.0.0.1:8080.
        model: its name.
        major: the interface generation.
        within: the span of time before now, such as ``7d``.

    Raises:
        MonitorSilent: the monitor cannot be reached, or does not know.
    """
    view = _get(f"{monitor.rstrip('/')}/api/models/{quote(model)}/callers?within={quote(within)}")
    try:
        since = view["watched_since"]
        return Seen(
            callers=[_caller(each) for each in view["callers"] if each["major"] == major],
            whole=view["whole"],
            since=None if since is None else datetime.fromisoformat(since),
        )
    except (KeyError, TypeError, ValueError):
        raise MonitorSilent("it answers, but not as a sardonyx-monitor of this release does") from None


def _caller(view: Mapping[str, Any]) -> SeenCaller:
    return SeenCaller(view["caller"], view["requests"], datetime.fromisoformat(view["last"]))


def _get(address: str) -> Any:
    if not address.startswith(("http://", "https://")):
        raise MonitorSilent("that is no address of a page: write http://host:port")
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:  # noqa: S310 (checked above)
            said = answer.read()
    except urllib.error.HTTPError as error:
        raise MonitorSilent(f"it answers with status {error.code}: {_said(error)}") from None
    except urllib.error.URLError as error:
        raise MonitorSilent(f"it cannot be reached: {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise MonitorSilent(f"it cannot be reached: {error}") from None
    except ValueError:
        raise MonitorSilent("that is no address of a page: write http://host:port") from None
    try:
        return json.loads(said)
    except ValueError:
        raise MonitorSilent("it answers, but not as a sardonyx-monitor of this release does") from None


def _said(error: urllib.error.HTTPError) -> str:
    """What a monitor says of a failure."""
    try:
        return str(json.load(error)["error"]["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError, OSError):
        return str(error.reason)
