-- Who called which interface of a model, the busiest first, and the version that answered each last.
select
    major,
    caller,
    arg_max(version, start_ns) as version,
    sum(weight) as requests,
    coalesce(sum(weight) filter (where code <> 'OK' and {{ sql.position("$refusals", "code") }} = 0), 0) as failed,
    coalesce(sum(weight) filter (where {{ sql.position("$refusals", "code") }} > 0), 0) as refused,
    max(start_ns) as last_ns
from requests
where start_ns >= $since_ns and start_ns < $until_ns and model = $model and route <> 'shadow' and version > 0
group by major, caller
qualify row_number() over (partition by major order by sum(weight) desc, caller) <= $limit
order by major desc, requests desc, caller
