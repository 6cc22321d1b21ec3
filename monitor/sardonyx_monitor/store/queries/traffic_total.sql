-- The same for one model, whoever answered.
select
{% include "traffic_columns.sql" %}
from requests
where start_ns >= $since_ns and start_ns < $until_ns and model = $model
