-- Truths that wait for their prediction, or whose id or row is wrong.
select count(*) as orphans
from outcomes
where not exists (
    select 1 from requests
    where requests.prediction_id = outcomes.prediction_id and outcomes.row_index < requests.row_count
)
and not exists (
    select 1 from members
    where members.prediction_id = outcomes.prediction_id and outcomes.row_index < members.row_count
)
