"""OTLP values as text, as the OpenTelemetry Collector's ClickHouse exporter writes them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def to_text(value: AnyValue) -> str:
    """A value as text: strings as they are, everything else as JSON writes it."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "int_value":
        return str(value.int_value)
    plain = to_plain(value)
    return plain if isinstance(plain, str) else "" if plain is None else json.dumps(plain, ensure_ascii=False)


def to_plain(value: AnyValue) -> Any:
    """A value as JSON has it; bytes in base64."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [to_plain(each) for each in value.array_value.values]
        case "kvlist_value":
            return {each.key: to_plain(each.value) for each in value.kvlist_value.values}
        case _:
            return getattr(value, kind)


def to_map(attributes: Iterable[KeyValue]) -> str:
    """Attributes as a JSON object of strings. Of a key that comes twice the last one stays."""
    return json.dumps({each.key: to_text(each.value) for each in attributes})
