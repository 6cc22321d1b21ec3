-- When the first request came, and whether what was recorded is a sample: some requests stand for others too.
select min(start_ns) as first_ns, coalesce(max(weight) > 1, false) as sampled
from requests
where start_ns >= $since_ns
{% if of_model %}
    and model = $model
{% endif %}
