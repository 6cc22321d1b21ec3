"""Addresses to listen on, refused in a sentence where they cannot be had."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sardonyx.address import Address


class AddressRefused(Exception):
    """An address cannot be listened on; the message says why and what to do."""


def listen(address: Address, option: str) -> socket.socket:
    """A socket that listens.

    Args:
        address: where; port 0 takes a free one.
        option: the option that gave it, for the message.

    Raises:
        AddressRefused: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=128)
    except OSError as error:
        # Python appends which address it tried.
        why = (error.strerror or str(error)).split(" (while", 1)[0]
        raise AddressRefused(
            f"Cannot listen on {address}: {why}. Stop the program that has it, or choose another {option}."
        ) from error


def probe(address: Address, option: str) -> None:
    """Make sure that somebody else can listen there: gRPC would write its own words on standard error first.

    Raises:
        AddressRefused: it cannot be had.
    """
    listen(address, option).close()
