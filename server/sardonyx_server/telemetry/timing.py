"""Server timing: a caller that asks learns from the trailers where its request's time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: A call with this metadata key and any value but ``0`` is answered with server timing.
ASKED_KEY: Final = "x-server-timing"
#: https://www.w3.org/TR/server-timing/#the-server-timing-header-field
TRAILER_KEY: Final = "server-timing"
#: The names of the stages, in the order in which a request meets them.
STAGES: Final = ("decode", "queue", "run", "encode")


def asked(metadata: Iterable[tuple[str, str | bytes]] | None) -> bool:
    """Whether a call's metadata ask for server timing."""
    return any(key == ASKED_KEY and value not in ("0", b"0") for key, value in metadata or ())


def trailer(stages_ns: Sequence[int]) -> tuple[str, str]:
    """The trailer: ``decode;dur=0.021, queue;dur=0.000, …``, durations in milliseconds.

    Args:
        stages_ns: how long each of STAGES took.
    """
    timings = (f"{name};dur={ns / 1e6:.3f}" for name, ns in zip(STAGES, stages_ns, strict=True))
    return TRAILER_KEY, ", ".join(timings)
