{% import "quantiles.sql" as quantiles %}
{% include "labelled.sql" %},
measured as (
    select
        *,
        -- Binary: of the second class, which is half of the sum over both.
        ({{ sql.square_sum("vector") }} - 2 * likely + 1) / (case when $binary then 2 else 1 end) as brier,
        observe_ns - start_ns as delay
    from scored
),
ranked as (
    select
        *{% if sampled and not over_time %},
        {{ quantiles.ranked("delay", "known") }}
{% endif %}

    from measured
)
select
{% if over_time %}
    {{ sql.quotient("start_ns - $since_ns", "$step_ns") }} as step,
{% else %}
    {{ quantiles.quantile("delay", 0.9, "known", sampled) }} as delay_ns,
{% endif %}
    coalesce(sum(weight), 0) as answered,
    coalesce(sum(weight) filter (where known), 0) as labelled,
    coalesce(sum(weight) filter (where known and not readable), 0) as unreadable,
    coalesce(sum(weight) filter (where readable and correct), 0) as correct,
    coalesce(sum(weight * -ln(likely)), 0) as log_loss,
    coalesce(sum(weight * ln(likely) * ln(likely)), 0) as log_loss_squares,
    coalesce(sum(weight * brier), 0) as brier,
    coalesce(sum(weight * brier * brier), 0) as brier_squares,
    coalesce(sum(weight * abs(error)), 0) as absolute,
    coalesce(sum(weight * error * error), 0) as squares,
    coalesce(sum(weight * error * error * error * error), 0) as quartics,
{% set evidence = {
    "readable": "readable and label is not null", "scored": "likely is not null", "measured": "error is not null"
} %}
{% for name, counts in evidence.items() %}
    count(*) filter (where {{ counts }}) as {{ name }}_rows,
    coalesce(sum(weight) filter (where {{ counts }}), 0) as {{ name }}_weight,
    coalesce(sum(weight * weight) filter (where {{ counts }}), 0) as {{ name }}_squares{{ "," if not loop.last }}
{% endfor %}
from ranked
{% if over_time %}
group by step
order by step
{% endif %}
