delete from requests where start_ns < $before_ns
