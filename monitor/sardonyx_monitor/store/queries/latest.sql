-- The truths of the predictions above: the highest revision, then the latest observation, then the last to arrive.
latest as (
    select *
    from outcomes
    where prediction_id in (select prediction_id from answered)
    qualify row_number() over (
        partition by prediction_id, row_index
        order by revision desc, observe_ns desc, sequence desc
    ) = 1
)
