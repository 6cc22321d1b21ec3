-- Spans, laid out as the OpenTelemetry Collector's ClickHouse exporter does, so that the same pages can read ClickHouse.
-- No key: what keeps resends out is a search among spans of the same start (queries/insert_spans.sql).
create table otel_traces (
    "Timestamp" timestamp_ns not null,
    TraceId varchar not null,
    SpanId varchar not null,
    ParentSpanId varchar not null,
    TraceState varchar not null,
    SpanName varchar not null,
    SpanKind varchar not null,
    ServiceName varchar not null,
    ResourceAttributes map(varchar, varchar) not null,
    ScopeName varchar not null,
    ScopeVersion varchar not null,
    SpanAttributes map(varchar, varchar) not null,
    Duration ubigint not null,
    StatusCode varchar not null,
    StatusMessage varchar not null,
    "Events.Timestamp" timestamp_ns[] not null,
    "Events.Name" varchar[] not null,
    "Events.Attributes" map(varchar, varchar)[] not null,
    "Links.TraceId" varchar[] not null,
    "Links.SpanId" varchar[] not null,
    "Links.TraceState" varchar[] not null,
    "Links.Attributes" map(varchar, varchar)[] not null
);

-- One row for each prediction request, typed, from its span's attributes. Version 0: no version answered. What a later
-- release added stands last, with its default, because a column can only be added there (migrations/).
create table requests (
    start_ns bigint not null,
    trace_id varchar not null,
    span_id varchar not null,
    prediction_id varchar not null,
    model varchar not null,
    version bigint not null,
    major integer not null,
    route varchar not null,
    code varchar not null,
    row_count bigint not null,
    duration_ns bigint not null,
    -- How many requests this one stands for: at least 1.
    weight double not null default 1,
    caller varchar not null default '',
    -- The run that it shared with others; empty where it shared none.
    batch_id varchar not null default '',
    batch_rows bigint not null default 0,
    batch_requests bigint not null default 0,
    -- Only where the route is 'shadow': the version that the caller was answered by, and the share of rows alike.
    live_version bigint not null default 0,
    agreement double
);

-- One row for each row that was answered and recorded.
create table predictions (
    start_ns bigint not null,
    trace_id varchar not null,
    span_id varchar not null,
    prediction_id varchar not null,
    row_index integer not null,
    model varchar not null,
    version bigint not null,
    label varchar,
    value double,
    -- Probabilities in the order of the interface's classes, or the values of a model that estimates several.
    vector double[],
    -- Of its request: an answer of a shadow has the prediction id of the answer that the caller got.
    route varchar not null default '',
    weight double not null default 1,
    -- The row within the request; row_index is the row within the prediction, whose request may carry others too. 0 in
    -- what schema version 1 held: its requests carry one prediction, and row_index says both.
    request_row integer not null default 0
);

-- The predictions of several callers that shared one request: one row for each. Other requests are one prediction.
create table members (
    start_ns bigint not null,
    trace_id varchar not null,
    span_id varchar not null,
    prediction_id varchar not null,
    first_row bigint not null,
    row_count bigint not null
);

-- One row for each row of a request that was captured on its way in.
create table inputs (
    start_ns bigint not null,
    trace_id varchar not null,
    span_id varchar not null,
    prediction_id varchar not null,
    row_index integer not null,
    model varchar not null,
    version bigint not null,
    route varchar not null,
    weight double not null,
    -- With which probability a row of a recorded request was captured: it stands for weight / probability rows.
    probability double not null,
    -- A JSON object: by the input's name its value, or an array of them; null where it is no number.
    data varchar not null,
    request_row integer not null
);

-- Ground truth, append-only. The digest is over everything that was reported: a report that comes again changes nothing.
create table outcomes (
    sequence bigint not null,
    digest uuid primary key,
    prediction_id varchar not null,
    row_index integer not null,
    kind varchar not null,
    label varchar,
    -- The same truth as a job may write it that has 1 for True, or True for 1.
    label_alias varchar,
    number double,
    observe_ns bigint not null,
    arrive_ns bigint not null,
    source varchar not null,
    revision bigint not null
);

-- What senders say of themselves: how many spans they lost before they reached us.
create table senders (
    instance varchar primary key,
    service varchar not null,
    host varchar not null,
    spans_dropped bigint not null,
    seen_ns bigint not null
);

create table schema_version (version integer not null);
