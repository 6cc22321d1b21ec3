"""The errors of sardonyx: raised by the server, sent as google.rpc.Status, raised again by the client.

::

    SardonyxError
    ├── InvalidInput            a request that the model's interface does not allow
    ├── NotFound
    │   ├── ModelNotFound
    │   ├── VersionNotFound
    │   └── RouteNotFound
    │       └── InterfaceRetired
    ├── Unavailable             nothing wrong with the request: the same call may succeed later
    │   ├── VersionNotReady
    │   └── ServerDraining
    ├── Overloaded              the queue is full
    ├── DeadlineExceeded
    ├── AccessDenied
    │   ├── Unauthenticated
    │   └── PermissionDenied
    ├── RuleBroken              an act that the rules of interfaces and routes forbid
    ├── RegistryError           the registry holds something that it should not, or cannot be reached
    │   ├── RegistryMissing
    │   ├── RegistryCorrupt
    │   └── RegistryReplaced
    └── InternalError           a bug: the id leads to the server's log

Every message is one or more whole sentences: what was wrong, where, and what to do next.
"""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


#: A message names so many of what there is.
_NAMES_MAX = 5
#: A message repeats so many characters of what was asked for.
_QUOTED_MAX = 100
#: Names are compared at 27 µs each, and at 250 ns for each character: nobody is to keep a server busy with misspelling.
_NEAREST_NAMES_MAX = 256
_NEAREST_LENGTH_MAX = 100


class SardonyxError(Exception):
    """Base of the family."""

    @property
    def message(self) -> str:
        """The error's text for a person."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is copied, and sent to another process: most make their message of what they are given."""
        return _made, (type(self), self.args), self.__dict__


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request.

    Attributes:
        field: where: ``inputs[distance]``, ``inputs[distance].shape``, ``model_name``.
        description: what was expected, what came, and what to do.
        row: the row of the request, from 0; None where no single row is at fault.
    """

    field: str
    description: str
    row: int | None = None

    def __str__(self) -> str:
        """One line for a person."""
        place = self.field if self.row is None else f"{self.field}, row {self.row}"
        return f"{place}: {self.description}"


class InvalidInput(SardonyxError):
    """The request does not fit the model's interface; sending it again cannot help."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__(" ".join(str(violation) for violation in self.violations))


class NotFound(SardonyxError):
    """Base of what was asked for and does not exist."""


class ModelNotFound(NotFound):
    """The registry holds no model of that name.

    Args:
        model: the name.
        known: which there are; None: that is not for everybody to know.
    """

    def __init__(self, model: str, known: Iterable[str] | None = ()) -> None:
        self.model = model
        # A name may be among them without anything being there: a folder whose versions are gone.
        names = sorted(set(known or ()) - {model})
        self.nearest = nearest(model, names)
        if self.nearest:
            hint = f"Did you mean {_listed(self.nearest)}?"
        elif names:
            hint = f"There is {_listed(names[:_NAMES_MAX])}{', and more' if len(names) > _NAMES_MAX else ''}."
        elif known is None:
            hint = "Ask the server's operator which there are."
        else:
            hint = "There is none yet: export one and promote it."
        super().__init__(f"There is no model named {_quoted(model)} here. {hint}")


class VersionNotFound(NotFound):
    """The model has no such version, or it is not served."""

    def __init__(self, model: str, version: str, known: Iterable[str] = ()) -> None:
        self.model = model
        self.version = version
        self.nearest = tuple(known)
        hint = f"There is {_listed(self.nearest)}." if self.nearest else "There is none: promote one."
        super().__init__(f"There is no version {_quoted(version)} of model {model!r} here. {hint}")


class RouteNotFound(NotFound):
    """Nothing is live where the request asked to go."""

    def __init__(self, model: str, route: str, known: Iterable[str] = ()) -> None:
        self.model = model
        self.route = route
        self.nearest = tuple(known)
        super().__init__(self._said(model, route, _ways(self.nearest)))

    @staticmethod
    def _said(model: str, route: str, ways: str) -> str:
        return f"Model {model!r} has no route {_quoted(route)}. {ways or 'Promote a version first.'}"


class InterfaceRetired(RouteNotFound):
    """The interface was ended: none of its versions serves again."""

    @staticmethod
    def _said(model: str, route: str, ways: str) -> str:
        ended = "Nothing else of it is live: a version that is exported and promoted now begins another interface."
        return f"Interface {_quoted(route)} of model {model!r} was retired. {ways or ended}"


class Unavailable(SardonyxError):
    """Not now: the same call may succeed after ``retry_after_s`` seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class VersionNotReady(Unavailable):
    """The version is known and still loading."""

    def __init__(self, model: str, version: int, state: str, retry_after_s: float = 1.0) -> None:
        self.model = model
        self.version = version
        self.state = state
        super().__init__(
            f"Version {version} of model {model!r} is {state}. Try again in {retry_after_s:g} s.", retry_after_s
        )


class ServerDraining(Unavailable):
    """The server is going away; another replica, or this one after its restart, will answer."""

    def __init__(self, retry_after_s: float = 1.0) -> None:
        super().__init__("The server is shutting down. Send the call to another replica.", retry_after_s)


class Overloaded(SardonyxError):
    """The queue is full; waiting before the next attempt is part of the cure."""

    def __init__(self, message: str, retry_after_s: float = 0.1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class DeadlineExceeded(SardonyxError):
    """The caller's deadline passed before there was an answer."""


class AccessDenied(SardonyxError):
    """Base of what the caller may not do."""


class Unauthenticated(AccessDenied):
    """The caller did not say who it is."""


class PermissionDenied(AccessDenied):
    """The caller is known and may not do this."""


class RuleBroken(SardonyxError):
    """The act is forbidden by a rule of interfaces or routes; ``differences`` says what differs."""

    def __init__(self, message: str, differences: Sequence[str] = ()) -> None:
        self.differences = tuple(differences)
        super().__init__(message)


class RegistryError(SardonyxError):
    """The registry could not be read or written."""


class RegistryMissing(RegistryError):
    """There is no registry there (yet)."""


class RegistryCorrupt(RegistryError):
    """The registry holds something that contradicts itself: a digest, a chain, a name."""


class RegistryReplaced(RegistryError):
    """The registry holds another log than the one that was read before."""


class InternalError(SardonyxError):
    """A bug in sardonyx. The text says nothing of the cause; the id finds it in the log."""

    def __init__(self, error_id: str) -> None:
        self.error_id = error_id
        super().__init__(f"The server failed to answer. Its log has the cause under error id {error_id}.")


def again(error: SardonyxError) -> SardonyxError:
    """An equal error: one that several callers get is not to be raised twice, for each adds its own traceback."""
    return copy.copy(error)


def _made(kind: type[SardonyxError], args: tuple[Any, ...]) -> SardonyxError:
    """An error of that kind and message, as it is before its attributes are set."""
    return kind.__new__(kind, *args)


def nearest(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """The known names most like the given one, best first; none where it would take long to find them."""
    names = list(known)
    if len(name) > _NEAREST_LENGTH_MAX or len(names) > _NEAREST_NAMES_MAX:
        return ()
    folded = {each.casefold(): each for each in names}
    return tuple(folded[each] for each in difflib.get_close_matches(name.casefold(), folded, n=limit, cutoff=0.5))


def _ways(known: Sequence[str]) -> str:
    """Where calls may go, in a sentence; empty where there is nothing."""
    # Versions are called by their number, and lie on no route of that name.
    versions = [each for each in known if each.isdecimal()]
    routes = [each for each in known if not each.isdecimal()]
    there = [f"{what} are {_listed(names)}" for what, names in (("Routes", routes), ("versions", versions)) if names]
    return f"{'; '.join(there)}." if there else ""


def _quoted(text: str) -> str:
    """What was asked for, as far as it need be repeated."""
    return repr(text if len(text) <= _QUOTED_MAX else f"{text[:_QUOTED_MAX]}…")


def _listed(names: Sequence[str]) -> str:
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
