-- expand: claims that DNS knew of once, which those that nobody proves cannot crowd out.

alter table domains add column challenge_seen_at timestamptz;
comment on column domains.challenge_seen_at is 'When its challenge, this one or an earlier, was first seen in DNS: from then on it makes no room for other claims. None for never.';
comment on column domains.asked_at is 'When its owner last did something about it; looks are frequent after that. Of a claim that waits for its proof, a month after it was made at the latest.';
update domains set challenge_seen_at = coalesce(verified_at, checked_at)
where verified_at is not null or report -> 'records' @> '[{"kind": "TXT", "state": "ok"}]';
