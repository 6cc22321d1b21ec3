-- What the spans of a trace say of their requests.
select
    span_id, prediction_id, model, version, route, code, row_count, weight, caller, batch_id, batch_rows, batch_requests,
    live_version, agreement
from requests
where trace_id = $trace_id
order by start_ns, span_id
limit $limit
