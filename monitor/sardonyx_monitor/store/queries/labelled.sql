{#
The answered rows of one version with their truths: what quality and confusion are computed from. A shadow answers under
the id of the answer that the caller got, so a truth joins to both: they are told apart by their route.
#}
with answered as (
    select * from predictions
    where model = $model and version = $version and start_ns >= $since_ns and start_ns < $until_ns
{% if of_route %}
        and route = $route
{% else %}
        and route <> 'shadow'
{% endif %}
),
{% include "latest.sql" %},
labelled as (
    select
        answered.start_ns,
        answered.label,
        answered.value,
        answered.vector,
        answered.weight,
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
        -- Whether the truth is one that this model could give. Of a version that the registry does not hold, only its
        -- answers say whether it chooses a class.
        known and (
            case when $regression or label is null then number is not null else truth > 0 or len($classes) = 0 end
        ) as readable,
        -- scikit-learn clips probabilities at the smallest step of a double above 1. Of an answer of which one is no
        -- number, none is taken.
        case
            when truth > 0 and {{ sql.finite("vector[truth]") }} and {{ sql.finite(sql.square_sum("vector")) }}
                then greatest(vector[truth], 2.220446049250313e-16)
        end as likely,
        -- One answer that is no number would make none of the whole sum.
        case when {{ sql.finite("value - number") }} then value - number end as error
    from labelled
)
