insert into inputs
select
    start_ns, trace_id, span_id, prediction_id, row_index, model, version, route, weight, probability, data,
    request_row
from batch
