-- What a search can choose from.
select distinct model, version from requests where start_ns >= $since_ns and version > 0 order by model, version
