insert into predictions
select
    start_ns, trace_id, span_id, prediction_id, row_index, model, version, label, value, {{ sql.numbers("vector") }}, route,
    weight, request_row
from batch
