select
    (select count(*) from otel_traces) as spans,
    (select count(*) from predictions) as predictions,
    (select count(*) from outcomes) as outcomes
