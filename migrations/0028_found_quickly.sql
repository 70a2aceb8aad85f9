-- expand: what is asked of all rows has an index: when any domain was found as it should be, and how much was ordered of late at all authorities.

create index domains_good_at on domains (good_at);
create index acme_attempts_at on acme_attempts (at);
