"""What callers compile: the .proto of a generation for any language, or a Python package around it.

``writing`` finds the version whose interface callers may rely on, ``reflection`` asks a running server for it instead,
``described`` is what either says, ``python`` makes a package of it, and ``client`` writes the classes in that.
"""

from sardonyx_exporter.stubs.writing import Language, StubsResult, write_stubs, write_stubs_of_server

__all__ = ["Language", "StubsResult", "write_stubs", "write_stubs_of_server"]
