-- When the first request came.
select min(start_ns) as first_ns
from requests
where start_ns >= $since_ns
{% if of_model %}
    and model = $model
{% endif %}
