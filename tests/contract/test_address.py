"""Addresses are read as they are written, and nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.address import Address

_NAMES = st.from_regex(r"[A-Za-z0-9_.*-]{1,20}", fullmatch=True)
_HOSTS = _NAMES | st.ip_addresses().map(str)


@given(host=_HOSTS, port=st.integers(0, 65_535))
def test_what_is_written_is_read(host: str, port: int) -> None:
    """A host and a port survive being written and read."""
    address = Address(host, port)
    assert Address.parse(str(address)) == address


@given(st.text() | st.from_regex(r"[^:]{0,9}:[0-9]{1,6}", fullmatch=True))
def test_nothing_is_left_out(text: str) -> None:
    """What is taken for an address has all of the text in it."""
    try:
        address = Address.parse(text)
    except ValueError:
        return
    host, _, port = text.rpartition(":")
    assert (address.host, address.port) == (host.strip("[]"), int(port))


@pytest.mark.parametrize(
    "text",
    [
        *("", "foo", ":80", "foo:", "foo:-1", "foo:65536", "foo:99999999", "foo:x", "foo:٣", "foo bar:80", "fo\no:80"),
        *(
            "::1:80",
            "[::1]",
            "[::1]x:80",
            "[zz]:80",
            "[127.0.0.1]:80",
            "user@foo:80",
            "foo:80/",
            "foo:80?x",
            "foo:80#x",
        ),
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    """No part of a text is passed over, and no port comes from nowhere."""
    with pytest.raises(ValueError, match=r"is no address\. Write host:port"):
        Address.parse(text)
