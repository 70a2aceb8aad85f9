-- expand: since when the clock by which hours are added up goes steadily, so that one that leaps drops nothing; and whose days are those of
-- somebody who only signed up, so that what a percloud costs is not reckoned over people who never came.

alter table usage_rolled add column steady_since timestamptz;
comment on column usage_rolled.steady_since is 'The hour since when the clock goes steadily, neither backwards nor more than a day ahead at once: after a leap nothing is added up for an hour, and nothing dropped for two days. None before the first look.';
comment on column usage_hours.refused is 'Requests, of its visitors or its own, that were refused for being too many, too large or too slow, or made no sense.';

alter table usage_days add column confirmed boolean not null default true;
comment on column usage_days.confirmed is 'Whether the percloud''s sign-up was confirmed by then. Those that never were are no perclouds when it is asked what one costs.';
