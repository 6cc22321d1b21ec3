-- An outcome arrives after its prediction, which is gone by then.
delete from outcomes where arrive_ns < $before_ns
