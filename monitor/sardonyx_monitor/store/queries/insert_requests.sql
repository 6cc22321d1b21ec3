insert into requests
select
    start_ns, trace_id, span_id, prediction_id, model, version, major, route, code, row_count, duration_ns, weight, caller,
    batch_id, batch_rows, batch_requests, live_version, agreement
from batch
