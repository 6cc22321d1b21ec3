"""The telemetry vocabulary: every span and attribute name that sardonyx writes or reads, once.

The RPC names follow OpenTelemetry's RPC semantic conventions (release candidate, v1.44.0). No convention covers
predictions of tabular models yet (open-telemetry/semantic-conventions#3420), so those live in a namespace of their own,
``sardonyx.*``.
"""

from __future__ import annotations

from typing import Final

SERVICE_NAME_SERVER: Final = "sardonyx-server"
SCOPE_NAME: Final = "sardonyx.server"

#: The span of a prediction is named for its method, without a leading slash.
SPAN_MODEL_INFER: Final = "inference.GRPCInferenceService/ModelInfer"

# RPC semantic conventions.
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

# Which model answered, and why that version.
MODEL_NAME: Final = "sardonyx.model.name"
MODEL_VERSION: Final = "sardonyx.model.version"
INTERFACE_MAJOR: Final = "sardonyx.interface.major"
ROUTE: Final = "sardonyx.route"

# The prediction itself.
PREDICTION_ID: Final = "sardonyx.prediction.id"
ROWS: Final = "sardonyx.rows"
#: Predicted classes, one a row: an array of strings, integers or booleans.
OUTPUT_LABELS: Final = "sardonyx.output.labels"
#: Probabilities, row-major, rows x classes, in the order of the interface's classes: an array of doubles.
OUTPUT_PROBABILITIES: Final = "sardonyx.output.probabilities"
#: Predicted values, row-major: an array of doubles.
OUTPUT_VALUES: Final = "sardonyx.output.values"
#: How many rows the three arrays hold: the first ones, where a request has more than OUTPUT_ROWS_MAX.
OUTPUT_ROWS: Final = "sardonyx.output.rows"

#: A span of 1,024 rows with two probabilities takes about 40 kB; a batch of them must stay below gRPC's 4 MiB.
OUTPUT_ROWS_MAX: Final = 1024

# How long each stage took, in nanoseconds.
STAGE_DECODE_NS: Final = "sardonyx.stage.decode_ns"
STAGE_QUEUE_NS: Final = "sardonyx.stage.queue_ns"
STAGE_RUN_NS: Final = "sardonyx.stage.run_ns"
STAGE_ENCODE_NS: Final = "sardonyx.stage.encode_ns"
STAGES: Final = (STAGE_DECODE_NS, STAGE_QUEUE_NS, STAGE_RUN_NS, STAGE_ENCODE_NS)

#: On the instrumentation scope: how many spans this process has lost so far, so that whoever counts knows the gap.
SPANS_DROPPED: Final = "sardonyx.spans.dropped"

#: What each name means: printed in the documentation, and held to this module by a test.
MEANINGS: Final[dict[str, str]] = {
    RPC_SYSTEM: "always `grpc`",
    RPC_METHOD: "the full method, such as `inference.GRPCInferenceService/ModelInfer`",
    RPC_STATUS: "the status code's name, such as `OK` or `INVALID_ARGUMENT`",
    ERROR_TYPE: "only on failure: the status code's name",
    SERVER_ADDRESS: "the address that the server listens on",
    SERVER_PORT: "the port that the server listens on",
    MODEL_NAME: "the model asked for",
    MODEL_VERSION: "the version that answered (integer); absent where none did",
    INTERFACE_MAJOR: "the interface generation of that version (integer)",
    ROUTE: "why that version: `live` or `pinned`",
    PREDICTION_ID: "the caller's request id, or the one that the server gave",
    ROWS: "rows in the request (integer)",
    OUTPUT_LABELS: "predicted classes, one a row",
    OUTPUT_PROBABILITIES: "probabilities, row-major, rows x classes",
    OUTPUT_VALUES: "predicted values, row-major",
    OUTPUT_ROWS: f"rows that the output arrays hold: at most {OUTPUT_ROWS_MAX}",
    STAGE_DECODE_NS: "reading and validating the request (integer, ns)",
    STAGE_QUEUE_NS: "waiting for the model (integer, ns)",
    STAGE_RUN_NS: "running the model (integer, ns)",
    STAGE_ENCODE_NS: "writing the answer (integer, ns)",
    SPANS_DROPPED: "on the scope: spans that this process has lost so far (integer)",
}
