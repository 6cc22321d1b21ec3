-- Requests by model and version, and how long the answered ones took.
select
    model,
    version,
{% include "traffic_columns.sql" %}
from requests
where start_ns >= $since_ns and start_ns < $until_ns
{% if of_model %}
    and model = $model
{% endif %}
group by model, version
order by model, version
