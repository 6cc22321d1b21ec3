"""Ids that the server gives are random, and never given twice."""

from __future__ import annotations

import re

from sardonyx_server.ids import Ids


def test_no_id_is_given_twice() -> None:
    """Over several draws each id is new, of 32 hex digits, and another process's are others."""
    ids, other = Ids(), Ids()
    given = [ids.next() for _ in range(2000)]

    assert len(set(given)) == len(given)
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in given)
    assert other.next() not in given
