"""The server: answers over gRPC what the registry says is live.

Nouns in the order in which a prediction meets them: ``doors`` (gRPC), ``decode`` (the request, checked), ``routing``
(which version), ``runner`` (the queue and the session), ``encode`` (the answer), ``telemetry`` (the span, after the
answer). Beside that way, ``life`` loads, proves and swaps versions.
"""
