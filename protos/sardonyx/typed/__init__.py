"""Every model as a gRPC service of its own: named, typed fields instead of tensors.

``names`` spells what people named so that any language takes it, ``form`` gives every input, output and class of an
interface its field, ``schema`` makes a descriptor of that and ``text`` a .proto of the descriptor. ``messages`` is the
descriptor at run time, and ``rows`` and ``columns`` go between its messages and arrays. All of it follows from the
manifest, and equal interfaces have equal results.
"""

from sardonyx.typed.form import ClassField, Form, InputField, OutputField, drop, form, form_of
from sardonyx.typed.messages import TypedService, typed_service
from sardonyx.typed.names import check_prefix, package_of
from sardonyx.typed.schema import schema
from sardonyx.typed.text import text

__all__ = [
    "ClassField",
    "Form",
    "InputField",
    "OutputField",
    "TypedService",
    "check_prefix",
    "drop",
    "form",
    "form_of",
    "package_of",
    "schema",
    "text",
    "typed_service",
]
