delete from senders where seen_ns < $before_ns
