-- Routes, weights, shared runs and captured inputs. What is there already was recorded whole: weight 1.
alter table requests add column weight double default 1;
alter table requests add column caller varchar default '';
alter table requests add column batch_id varchar default '';
alter table requests add column batch_rows bigint default 0;
alter table requests add column batch_requests bigint default 0;
alter table requests add column live_version bigint default 0;
alter table requests add column agreement double;
alter table requests alter column weight set not null;
alter table requests alter column caller set not null;
alter table requests alter column batch_id set not null;
alter table requests alter column batch_rows set not null;
alter table requests alter column batch_requests set not null;
alter table requests alter column live_version set not null;
alter table predictions add column route varchar default '';
alter table predictions add column weight double default 1;
alter table predictions alter column route set not null;
alter table predictions alter column weight set not null;
alter table predictions add column request_row integer default 0;
alter table predictions alter column request_row set not null;
create table members (
    start_ns bigint not null,
    trace_id varchar not null,
    span_id varchar not null,
    prediction_id varchar not null,
    first_row bigint not null,
    row_count bigint not null
);
create table inputs (
    start_ns bigint not null,
    trace_id varchar not null,
    span_id varchar not null,
    prediction_id varchar not null,
    row_index integer not null,
    model varchar not null,
    version bigint not null,
    route varchar not null,
    weight double not null,
    probability double not null,
    data varchar not null,
    request_row integer not null
);
