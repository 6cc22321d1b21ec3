select
    {{ sql.ns('"Timestamp"') }} as start_ns,
    SpanId as span_id,
    ParentSpanId as parent_span_id,
    SpanName as name,
    SpanKind as kind,
    ServiceName as service,
    ResourceAttributes as resource,
    ScopeName as scope,
    SpanAttributes as attributes,
    Duration::bigint as duration_ns,
    StatusCode as status,
    StatusMessage as status_message,
    {{ sql.epochs('"Events.Timestamp"') }} as event_ns,
    "Events.Name" as event_name,
    "Events.Attributes" as event_attributes,
    "Links.TraceId" as link_trace_id,
    "Links.SpanId" as link_span_id
from otel_traces
where TraceId = $trace_id
order by "Timestamp", SpanId
limit $limit
