delete from members where start_ns < $before_ns
