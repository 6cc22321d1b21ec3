"""Random ids are never given twice: not by one process, not by its threads, and not by a child and its parent."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from sardonyx.prediction_id import RandomIds


def test_no_id_is_given_twice() -> None:
    """Over several draws, from several threads, each id is new, of 32 hex digits, and another giver's are others."""
    ids = RandomIds()
    with ThreadPoolExecutor(8) as pool:
        given = [each for some in pool.map(lambda _: [ids.next() for _ in range(500)], range(16)) for each in some]

    assert len(set(given)) == len(given) == 8000
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in given)
    assert RandomIds().next() not in given


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_does_not_give_its_parents_ids() -> None:
    """What was drawn before a fork is the parent's alone."""
    ids = RandomIds()
    ids.next()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, ids.next().encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        told = pipe.read()

    assert len(told) == 32
    assert told not in {ids.next() for _ in range(256)}
