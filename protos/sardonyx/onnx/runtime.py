"""ONNX Runtime, kept from reporting to its maker: whoever runs graphs imports it from here.

Its telemetry is on by default: as soon as it is imported it gives the machine an id, in a file below ``~/.cache``, and
then looks for the maker's host. Nobody who serves or exports a model has agreed to that, and behind a firewall it
raises alarms. ``onnxruntime.disable_telemetry_events()`` comes too late: the import has begun it.
"""

import os

# Read when it is imported. What the operator has set stays: 0 lets it report.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
