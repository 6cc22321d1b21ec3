{% include "labelled.sql" %}
select
{% if over_time %}
    {{ sql.quotient("start_ns - $since_ns", "$step_ns") }} as step,
{% endif %}
    count(*) as answered,
    count(*) filter (where known) as labelled,
    count(*) filter (where known and (case when $regression then number is null else truth = 0 and len($classes) > 0 end)) as unreadable,
    count(*) filter (where known and correct) as correct,
    count(likely) as scored,
    coalesce(sum(-ln(likely)), 0) as log_loss,
    coalesce(sum(ln(likely) * ln(likely)), 0) as log_loss_squares,
    coalesce(sum(brier), 0) as brier,
    coalesce(sum(brier * brier), 0) as brier_squares,
    count(error) as measured,
    coalesce(sum(abs(error)), 0) as absolute,
    coalesce(sum(error * error), 0) as squares,
    coalesce(sum(error * error * error * error), 0) as quartics,
    {{ sql.quantile("observe_ns - start_ns", 0.9) }} filter (where known) as delay_ns
from (
    select
        *,
        -- Binary: of the second class, which is half of the sum over both.
        ({{ sql.square_sum("vector") }} - 2 * likely + 1) / (case when $binary then 2 else 1 end) as brier
    from scored
) as rows_scored
{% if over_time %}
group by step
order by step
{% endif %}
