-- The same for one model, by version and in steps of time.
select
    version,
    {{ sql.quotient("start_ns - $since_ns", "$step_ns") }} as step,
{% include "traffic_columns.sql" %}
from requests
where start_ns >= $since_ns and start_ns < $until_ns and model = $model
group by version, step
order by version, step
