select instance, service, host, spans_dropped, seen_ns from senders order by instance
