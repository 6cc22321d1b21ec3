delete from otel_traces where "Timestamp" < {{ sql.time("$before_ns") }}
