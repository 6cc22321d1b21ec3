"""The dialect seam: what DuckDB writes otherwise than ClickHouse does.

A statement in ``queries/`` calls these by ``{{ sql.name(…) }}``; everything else in it is common SQL. A second engine
is a second class with the same methods, and the same tests.
"""

from __future__ import annotations


class DuckDB:
    """DuckDB's words. Arguments are SQL expressions."""

    @staticmethod
    def time(ns: str) -> str:
        """Nanoseconds since 1970 as a timestamp. ClickHouse: ``fromUnixTimestamp64Nano``."""
        return f"make_timestamp_ns({ns})"

    @staticmethod
    def times(ns: str) -> str:
        """An array of nanoseconds as timestamps. ClickHouse: ``arrayMap``."""
        return f"list_transform({ns}::bigint[], lambda each: make_timestamp_ns(each))"

    @staticmethod
    def ns(time: str) -> str:
        """A timestamp as nanoseconds since 1970. ClickHouse: ``toUnixTimestamp64Nano``."""
        return f"epoch_ns({time})"

    @staticmethod
    def epochs(times: str) -> str:
        """An array of timestamps as nanoseconds since 1970."""
        return f"list_transform({times}, lambda each: epoch_ns(each))"

    @staticmethod
    def map(json: str) -> str:
        """A JSON object of strings as a map. ClickHouse: ``JSONExtract(…, 'Map(String, String)')``."""
        return f"from_json({json}, '\"MAP(VARCHAR, VARCHAR)\"')"

    @staticmethod
    def maps(json: str) -> str:
        """An array of JSON objects as maps."""
        return f"list_transform({json}::varchar[], lambda each: from_json(each, '\"MAP(VARCHAR, VARCHAR)\"'))"

    @staticmethod
    def texts(values: str) -> str:
        """An array of text, even where the batch holds only empty ones."""
        return f"{values}::varchar[]"

    @staticmethod
    def numbers(values: str) -> str:
        """An array of doubles, even where the batch holds none."""
        return f"{values}::double[]"

    @staticmethod
    def uuid(text: str) -> str:
        """16 bytes in hex as a UUID. ClickHouse: ``toUUID``."""
        return f"{text}::uuid"

    @staticmethod
    def quantile(value: str, fraction: float) -> str:
        """An interpolated quantile. ClickHouse: ``quantileExactInclusive``; its ``quantiles`` are estimates."""
        return f"quantile_cont({value}, {fraction})"

    @staticmethod
    def quotient(number: str, divisor: str) -> str:
        """Whole division. ClickHouse: ``intDiv``."""
        return f"({number}) // ({divisor})"

    @staticmethod
    def finite(value: str) -> str:
        """Whether a double is neither infinite nor NaN. ClickHouse: ``isFinite``."""
        return f"isfinite({value})"

    @staticmethod
    def position(values: str, value: str) -> str:
        """Where a value stands in an array, from 1; 0 where it does not. ClickHouse: ``indexOf``."""
        return f"coalesce(list_position({values}, {value}), 0)"

    @staticmethod
    def square_sum(values: str) -> str:
        """The sum of an array's squares, NaN where it holds one: DuckDB has null for it. ClickHouse: ``arraySum``."""
        return f"list_sum(list_transform({values}, lambda each: coalesce(each * each, 'nan'::double)))"
