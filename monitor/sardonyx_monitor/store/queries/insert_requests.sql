insert into requests
select start_ns, trace_id, span_id, prediction_id, model, version, major, route, code, row_count, duration_ns
from batch
