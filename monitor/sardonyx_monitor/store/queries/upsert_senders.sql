insert into senders
select instance, service, host, spans_dropped, seen_ns from batch
on conflict (instance) do update set
    spans_dropped = greatest(senders.spans_dropped, excluded.spans_dropped),
    seen_ns = greatest(senders.seen_ns, excluded.seen_ns)
