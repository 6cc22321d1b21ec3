delete from inputs where start_ns < $before_ns
