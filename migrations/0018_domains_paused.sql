-- expand: domains that an operator has paused, and what is known of those who issue certificates.

alter table domains
    add column paused boolean not null default false,
    add column resumed_at timestamptz;
comment on column domains.paused is 'Left alone by an operator: DNS is not looked at and nothing is ordered for it; what serves goes on, until its certificate ends soon.';
comment on column domains.resumed_at is 'When its last pause ended: what was missed before counts for nothing. None for never.';
comment on column domains.asked_at is 'When its owner last did something about it, or an operator ended a pause; looks are frequent after that. Of a claim that waits for its proof, a month after it was made at the latest, unless it was paused.';

create table issuers (
    one boolean primary key default true check (one),
    public text[] not null,
    own_domains boolean not null,
    own_root boolean not null,
    written_at timestamptz not null
);
comment on table issuers is 'Who issues certificates at this provider: one row, written by the reconciler when it starts, for those who tell people what to expect and know no CA themselves. No row before that.';
comment on column issuers.one is 'There is one row at most.';
comment on column issuers.public is 'The public CAs, in the order in which they are asked; none where there is only the local one.';
comment on column issuers.own_domains is 'Whether any of them can issue for names that owners bring along.';
comment on column issuers.own_root is 'Whether those are reached with a root of the operator''s own: most likely browsers must be told to trust what they issue, too.';
comment on column issuers.written_at is 'When it was written.';
