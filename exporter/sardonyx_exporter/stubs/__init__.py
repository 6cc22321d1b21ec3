"""What callers compile: the .proto of a generation for any language, or a Python package around it.

``writing`` finds the version whose interface callers may rely on, ``python`` makes a package of its .proto, and
``client`` writes the classes in it.
"""

from sardonyx_exporter.stubs.writing import Language, StubsResult, write_stubs

__all__ = ["Language", "StubsResult", "write_stubs"]
