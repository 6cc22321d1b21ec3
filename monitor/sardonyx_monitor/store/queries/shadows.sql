-- Each shadow of a model beside the version that last answered what it was shown, with how often they were alike.
with mirrored as (
    select * from requests
    where start_ns >= $since_ns and start_ns < $until_ns and model = $model and route = 'shadow' and version > 0
),
latest as (
    select version, arg_max(live_version, start_ns) as live from mirrored group by version
)
select
    mirrored.version,
    latest.live,
    min(start_ns) as since_ns,
    max(start_ns) as last_ns,
    coalesce(sum(weight * row_count * agreement), 0) as alike,
    coalesce(cast(sum(row_count) filter (where agreement is not null) as bigint), 0) as compared_rows,
    coalesce(sum(weight * row_count) filter (where agreement is not null), 0) as compared,
    coalesce(sum(weight * weight * row_count) filter (where agreement is not null), 0) as compared_squares
from mirrored
join latest on latest.version = mirrored.version and latest.live = mirrored.live_version
group by mirrored.version, latest.live
order by mirrored.version
