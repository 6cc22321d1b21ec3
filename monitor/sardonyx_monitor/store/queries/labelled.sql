{# The answered rows of one version with their truths: what quality and confusion are computed from. #}
with answered as (
    select * from predictions
    where model = $model and version = $version and start_ns >= $since_ns and start_ns < $until_ns
),
{% include "latest.sql" %},
labelled as (
    select
        answered.start_ns,
        answered.label,
        answered.value,
        answered.vector,
        latest.prediction_id is not null as known,
        latest.number,
        latest.observe_ns,
        answered.label = latest.label or answered.label = latest.label_alias as correct,
        {{ sql.position("$classes", "answered.label") }} as chosen,
        greatest(
            {{ sql.position("$classes", "latest.label") }},
            {{ sql.position("$classes", "latest.label_alias") }}
        ) as truth
    from answered
    left join latest on answered.prediction_id = latest.prediction_id and answered.row_index = latest.row_index
),
scored as (
    select
        *,
        -- scikit-learn clips probabilities at the smallest step of a double above 1.
        case
            when truth > 0 and {{ sql.finite("vector[truth]") }} then greatest(vector[truth], 2.220446049250313e-16)
        end as likely,
        -- One answer that is no number would make none of the whole sum.
        case when {{ sql.finite("value - number") }} then value - number end as error
    from labelled
)
