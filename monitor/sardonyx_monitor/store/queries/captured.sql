-- The captured rows of a model, newest first.
select start_ns, trace_id, span_id, prediction_id, row_index, version, route, weight, probability, data
from inputs
where start_ns >= $since_ns and start_ns < $until_ns and model = $model
{% if of_version %}
    and version = $version
{% endif %}
order by start_ns desc, span_id, request_row
limit $limit
