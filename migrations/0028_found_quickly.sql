-- expand: how long nobody has answered for a domain is counted by itself, and only while others are heard; what is asked of all rows has
-- an index: when any domain was found as it should be, and how much was ordered of late at all authorities.

alter table domains add column unheard_since timestamptz;
comment on column domains.unheard_since is 'Since when nobody has answered for it at any look, while others'' name servers did; none where somebody has, or where our own way to DNS may be what is silent.';

create index domains_good_at on domains (good_at);
create index acme_attempts_at on acme_attempts (at);
