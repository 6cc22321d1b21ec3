-- A store as release 0.1.0 wrote it, schema version 1, with one request of ten seconds ago, three answers, and a truth.
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

-- One row for each prediction request, typed, from its span's attributes. Version 0: no version answered.
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
    duration_ns bigint not null
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
    vector double[]
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

insert into schema_version values (1);
insert into requests values (
    epoch_us(now()) * 1000 - 10000000000, repeat('1', 32), repeat('2', 16), 'kept', 'by-hand', 1, 1, 'live', 'OK', 3, 5000000
);
insert into predictions
select start_ns, trace_id, span_id, prediction_id, row_index, model, version, label, null, null
from requests, (values (0, 'late'), (1, 'punctual'), (2, 'late')) as answered (row_index, label);
insert into outcomes
select 1, uuid(), prediction_id, 0, 'label', 'late', null, null, start_ns, start_ns, '', 0 from requests;
insert into otel_traces
select
    make_timestamp_ns(start_ns), trace_id, span_id, '', '', 'ModelInfer', 'Server', 'sardonyx-server', map {}, '', '', map {},
    duration_ns, 'Unset', '', [], [], [], [], [], [], []
from requests;
