    count(*) as requests,
    cast(sum(row_count) as bigint) as row_count,
    count(*) filter (where code <> 'OK' and {{ sql.position("$refusals", "code") }} = 0) as failed,
    count(*) filter (where {{ sql.position("$refusals", "code") }} > 0) as refused,
    {{ sql.quantile("duration_ns", 0.50) }} filter (where code = 'OK') as p50_ns,
    {{ sql.quantile("duration_ns", 0.95) }} filter (where code = 'OK') as p95_ns,
    {{ sql.quantile("duration_ns", 0.99) }} filter (where code = 'OK') as p99_ns
