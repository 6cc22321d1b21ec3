{% include "labelled.sql" %}
select
{% if over_time %}
    {{ sql.quotient("start_ns - $since_ns", "$step_ns") }} as step,
{% endif %}
    truth, chosen, count(*) as row_count, sum(weight) as weight
from scored
where truth > 0 and chosen > 0
group by {{ "step, " if over_time }}truth, chosen
