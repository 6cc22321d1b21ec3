insert or ignore into outcomes
select
    sequence, {{ sql.uuid("digest") }}, prediction_id, row_index, kind, label, label_alias, number, observe_ns,
    arrive_ns, source, revision
from batch
