delete from predictions where start_ns < $before_ns
