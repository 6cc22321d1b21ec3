{% include "labelled.sql" %}
select truth, chosen, count(*) as row_count, sum(weight) as weight
from scored
where truth > 0 and chosen > 0
group by truth, chosen
