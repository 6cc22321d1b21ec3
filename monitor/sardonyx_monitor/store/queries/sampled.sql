-- Whether what was recorded is a sample: some requests stand for others too.
select coalesce(max(weight) > 1, false) as sampled
from requests
where start_ns >= $since_ns and start_ns < $until_ns
{% if of_model %}
    and model = $model
{% endif %}
