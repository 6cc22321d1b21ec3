{#
Quantiles of a sample: each value stands side by side with its like, as many as its weight says, and between two values
goes a straight line. With whole weights that is the interpolated quantile of all of them (type 7 of Hyndman and Fan 1996,
with weights as frequencies, as in Hmisc's wtd.quantile); with weights of 1 it is what the engine's own function says,
which takes a thirteenth of the time (54 ms for a million requests of 12 versions, against 735).

Weights are at least 1, so a value's place, from the sum of the weights below it to the sum with it less 1, is never empty.
#}
{% macro ranked(value, keys) %}
sum(weight) over (partition by {{ keys }}) as whole,
sum(weight) over (partition by {{ keys }} order by {{ value }} rows unbounded preceding) as upto,
lead({{ value }}) over (partition by {{ keys }} order by {{ value }} rows unbounded preceding) as following
{% endmacro %}
{% macro quantile(value, fraction, counts, sampled) %}
{% if sampled %}
arg_min(
    {{ value }} + greatest((whole - 1) * {{ fraction }} - (upto - 1), 0) * coalesce(following - {{ value }}, 0), upto
) filter (where {{ counts }} and upto > (whole - 1) * {{ fraction }})
{%- else %}
{{ sql.quantile(value, fraction) }} filter (where {{ counts }})
{%- endif %}
{% endmacro %}
