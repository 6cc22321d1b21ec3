insert into members
select start_ns, trace_id, span_id, prediction_id, first_row, row_count from batch
