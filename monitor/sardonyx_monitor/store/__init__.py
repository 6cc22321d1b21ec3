"""The store: one DuckDB file, one thread that writes, a few that read.

SQL lives in ``queries/``, one statement a file; the functions that other engines call otherwise are in ``dialect.py``.
"""
