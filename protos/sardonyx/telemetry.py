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
#: A message of a stream is a prediction of its own, and has a span of its own.
SPAN_MODEL_STREAM_INFER: Final = "inference.GRPCInferenceService/ModelStreamInfer"

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

#: Who called: by its token, or where the server asks for none, by its own word.
CALLER: Final = "sardonyx.caller"

# What a shadow's answer is compared with.
SHADOW_LIVE_VERSION: Final = "sardonyx.shadow.live_version"
SHADOW_AGREEMENT: Final = "sardonyx.shadow.agreement"

# The prediction itself.
PREDICTION_ID: Final = "sardonyx.prediction.id"
ROWS: Final = "sardonyx.rows"
#: Where one request carries the predictions of several callers: the id of each, and how many rows each has.
PREDICTION_IDS: Final = "sardonyx.prediction.ids"
PREDICTION_ROWS: Final = "sardonyx.prediction.rows"
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

# The run that the prediction shared with others.
BATCH_ID: Final = "sardonyx.batch.id"
BATCH_ROWS: Final = "sardonyx.batch.rows"
BATCH_REQUESTS: Final = "sardonyx.batch.requests"
#: The ids of the requests in the run, the first BATCH_IDS_MAX of them.
BATCH_PREDICTION_IDS: Final = "sardonyx.batch.prediction_ids"
BATCH_IDS_MAX: Final = 32

#: How many predictions this span stands for: 1 / the probability that it was kept. Absent means 1.
WEIGHT: Final = "sardonyx.weight"

# Captured input rows: some rows of some requests, each kept with a known probability.
INPUT_ROWS: Final = "sardonyx.input.rows"
INPUT_PROBABILITY: Final = "sardonyx.input.inclusion_probability"
#: Followed by the input's name: its values in the captured rows, row-major.
INPUT_VALUE_PREFIX: Final = "sardonyx.input.value."

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
    ROUTE: "why that version: `live`, `canary`, `pinned` or `shadow`",
    CALLER: "who called: the name of its token; where the server asks for none, the first name in its user agent",
    SHADOW_LIVE_VERSION: "only for `shadow`: the version that the caller was answered by (integer)",
    SHADOW_AGREEMENT: "only for `shadow`: the share of rows in which both versions answer alike (0 to 1)",
    PREDICTION_ID: "the caller's request id, or the one that the server gave",
    ROWS: "rows in the request (integer)",
    PREDICTION_IDS: "where callers share a request: the id of each prediction, in the order of their rows",
    PREDICTION_ROWS: "the rows of each of them (array of integers); absent where each has one",
    OUTPUT_LABELS: "predicted classes, one a row",
    OUTPUT_PROBABILITIES: "probabilities, row-major, rows x classes",
    OUTPUT_VALUES: "predicted values, row-major",
    OUTPUT_ROWS: f"rows that the output arrays hold: at most {OUTPUT_ROWS_MAX}",
    BATCH_ID: "the run that answered, where several requests shared it: equal in all of them (16 hex digits)",
    BATCH_ROWS: "rows of that run (integer); a caller that left during it has no batch in its span",
    BATCH_REQUESTS: "requests of that run (integer)",
    BATCH_PREDICTION_IDS: f"the prediction ids of that run, at most {BATCH_IDS_MAX}",
    WEIGHT: "how many predictions this span stands for; absent means 1 (double)",
    INPUT_ROWS: "which rows of the request were captured, from 0 (array of integers)",
    INPUT_PROBABILITY: "the probability with which each of them was captured (double)",
    INPUT_VALUE_PREFIX + "<name>": "the values of one input in the captured rows, row-major",
    STAGE_DECODE_NS: "reading and validating the request (integer, ns)",
    STAGE_QUEUE_NS: "waiting for the model (integer, ns)",
    STAGE_RUN_NS: "running the model (integer, ns)",
    STAGE_ENCODE_NS: "writing the answer (integer, ns)",
    SPANS_DROPPED: "on the scope: spans that this process has lost so far (integer)",
}
