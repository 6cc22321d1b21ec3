-- Truths that wait for their prediction, or whose id is wrong.
select count(*) as orphans
from outcomes
where not exists (select 1 from predictions where predictions.prediction_id = outcomes.prediction_id)
