-- The captured rows of a trace.
select span_id, prediction_id, row_index, request_row, probability, data
from inputs
where trace_id = $trace_id
order by start_ns, span_id, request_row
limit $limit
