-- expand: who lives only briefly: starts in vain, and for how long processors were kept busy.

alter table usage_hours
    add column starts_in_vain bigint not null default 0 check (starts_in_vain >= 0),
    add column busy_micros bigint not null default 0 check (busy_micros >= 0);
comment on column usage_hours.starts_in_vain is 'How often it was started in vain once too often: it left while the connection that it was started for still waited.';
comment on column usage_hours.busy_micros is 'Microseconds for which it kept processors busy beyond its share, for which it was in the slow lane.';

alter table usage_days
    add column starts_in_vain bigint not null default 0 check (starts_in_vain >= 0),
    add column busy_micros bigint not null default 0 check (busy_micros >= 0);
comment on column usage_days.starts_in_vain is 'As in usage_hours, all day.';
comment on column usage_days.busy_micros is 'As in usage_hours, all day.';

alter table usage_marks
    add column starts_in_vain bigint not null default 0 check (starts_in_vain >= 0),
    add column busy_micros bigint not null default 0 check (busy_micros >= 0);
comment on column usage_marks.starts_in_vain is 'The counter as it was last added.';
comment on column usage_marks.busy_micros is 'The counter as it was last added.';
