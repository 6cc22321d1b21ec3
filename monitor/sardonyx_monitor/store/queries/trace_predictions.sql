-- The answered rows of a trace, with their truths.
with answered as (
    select * from predictions where trace_id = $trace_id
),
{% include "latest.sql" %}
select
    answered.span_id, answered.prediction_id, answered.row_index, answered.model, answered.version, answered.route, answered.label,
    answered.value, answered.vector, latest.label as truth_label, latest.label_alias as truth_alias,
    latest.number as truth_number, latest.observe_ns, latest.source
from answered
left join latest on latest.prediction_id = answered.prediction_id and latest.row_index = answered.row_index
order by answered.start_ns, answered.span_id, answered.request_row, answered.row_index
limit $limit
