-- By which route the requests came that a version answered, those of shadows included.
select model, version, route, sum(weight) as requests
from requests
where start_ns >= $since_ns and start_ns < $until_ns and version > 0
{% if of_model %}
    and model = $model
{% endif %}
group by model, version, route
order by model, version, route
