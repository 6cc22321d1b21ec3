-- Requests, and how long the answered ones took; those that a shadow got only where they are asked for.
{% import "quantiles.sql" as quantiles %}
{% set keys = (["model", "version"] if by_version else []) + (["step"] if over_time else []) %}
with taken as (
    select
        model, version, code, row_count, duration_ns, weight, code = 'OK' as answered,
        {{ sql.quotient("start_ns - $since_ns", "$step_ns") }} as step
    from requests
    where start_ns >= $since_ns and start_ns < $until_ns
{% if of_model %}
        and model = $model
{% endif %}
{% if of_version %}
        and version = $version and route = $route
{% else %}
        and route <> 'shadow'
{% endif %}
),
ranked as (
    select
        *{% if sampled %},
        {{ quantiles.ranked("duration_ns", (keys + ["answered"]) | join(", ")) }}
{% endif %}

    from taken
)
select
{% for key in keys %}
    {{ key }},
{% endfor %}
    count(*) as recorded,
    coalesce(sum(weight), 0) as requests,
    coalesce(sum(weight * row_count), 0) as row_count,
    coalesce(sum(weight) filter (where not answered and {{ sql.position("$refusals", "code") }} = 0), 0) as failed,
    coalesce(sum(weight) filter (where {{ sql.position("$refusals", "code") }} > 0), 0) as refused,
{% for name, fraction in [("p50_ns", 0.50), ("p95_ns", 0.95), ("p99_ns", 0.99)] %}
    {{ quantiles.quantile("duration_ns", fraction, "answered", sampled) }} as {{ name }}{{ "," if not loop.last }}
{% endfor %}
from ranked
{% if keys %}
group by {{ keys | join(", ") }}
order by {{ keys | join(", ") }}
{% endif %}
