-- Each canary of a model beside the version that was live on the same interface, from when both were asked.
with canaries as (
    select version, major, min(start_ns) as first_ns, max(start_ns) as last_ns
    from requests
    where start_ns >= $since_ns and start_ns < $until_ns and model = $model and route = 'canary' and version > 0
    group by version, major
),
lived as (
    select canaries.version, canaries.first_ns, canaries.last_ns, requests.version as live, requests.start_ns
    from canaries
    join requests on requests.major = canaries.major and requests.version <> canaries.version
    where requests.start_ns >= $since_ns and requests.start_ns < $until_ns and requests.model = $model
        and requests.route = 'live' and requests.start_ns < canaries.last_ns + $step_ns
),
latest as (
    select version, arg_max(live, start_ns) as live from lived group by version
)
select
    lived.version, lived.live, greatest(min(lived.first_ns), min(lived.start_ns)) as since_ns, max(lived.last_ns) as last_ns
from lived
join latest on latest.version = lived.version and latest.live = lived.live
group by lived.version, lived.live
order by lived.version
