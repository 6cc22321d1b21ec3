-- Traces that hold a span of what is searched for, newest first.
with found as (
    select spans.TraceId as trace_id, max({{ sql.ns('spans."Timestamp"') }}) as matched_ns
    from otel_traces as spans
{% if of_requests %}
    join requests on requests.trace_id = spans.TraceId and requests.span_id = spans.SpanId
        and requests.start_ns = {{ sql.ns('spans."Timestamp"') }}
{% endif %}
    where spans."Timestamp" >= {{ sql.time("$since_ns") }} and spans."Timestamp" < {{ sql.time("$until_ns") }}
        and spans.Duration >= $duration_ns_min
{% if of_requests %}
        and requests.start_ns >= $since_ns and requests.start_ns < $until_ns
{% endif %}
{% if of_model %}
        and requests.model = $model
{% endif %}
{% if of_version %}
        and requests.version = $version
{% endif %}
{% if of_code %}
        and requests.code = $code
{% endif %}
{% if of_failures %}
        and (requests.code <> 'OK')
{% endif %}
{% if of_route %}
        and requests.route = $route
{% endif %}
{% if of_text %}
        and (
            requests.prediction_id = $text
            or requests.batch_id = $text
            or (requests.trace_id, requests.span_id) in (
                select trace_id, span_id from members where prediction_id = $text
            )
        )
{% endif %}
{% if of_trace %}
        and spans.TraceId = $trace_id
{% endif %}
    group by spans.TraceId
    order by matched_ns desc
    limit $limit
),
described as (
    select
        trace_id,
        min(start_ns) as start_ns,
        max(end_ns) - min(start_ns) as duration_ns,
        count(*) as spans,
        arg_min(name, start_ns) as name,
        arg_min(service, start_ns) as service,
        max(matched_ns) as matched_ns,
        bool_or(status = 'Error') as error
    from (
        select
            spans.TraceId as trace_id,
            {{ sql.ns('spans."Timestamp"') }} as start_ns,
            {{ sql.ns('spans."Timestamp"') }} + spans.Duration::bigint as end_ns,
            spans.SpanName as name,
            spans.ServiceName as service,
            spans.StatusCode as status,
            found.matched_ns
        from otel_traces as spans
        join found on found.trace_id = spans.TraceId
    ) as spans_found
    group by trace_id
)
select described.*, first.model, first.version, first.code, first.prediction_id, first.row_count,
    first.route, first.caller, first.weight, first.batch_id, first.batch_requests
from described
left join (
    select trace_id, arg_min(model, start_ns) as model, arg_min(version, start_ns) as version,
        arg_min(code, start_ns) as code, arg_min(prediction_id, start_ns) as prediction_id,
        arg_min(row_count, start_ns) as row_count, arg_min(route, start_ns) as route,
        arg_min(caller, start_ns) as caller, arg_min(weight, start_ns) as weight,
        arg_min(batch_id, start_ns) as batch_id, arg_min(batch_requests, start_ns) as batch_requests
    from requests
    where trace_id in (select trace_id from found)
    group by trace_id
) as first on first.trace_id = described.trace_id
order by matched_ns desc
