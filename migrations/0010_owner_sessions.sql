-- expand: owners at the portal: the key that vouches for them, tickets that were taken, mailed links, and sessions.

alter table tenants add column owner_key text check (owner_key ~ '^[A-Za-z0-9_-]{43}$');
comment on column tenants.owner_key is 'The public half (Ed25519, base64url) of the key with which the percloud vouches for its owner here; as its runtime last said, none before that.';

create table owner_tickets (
    sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    expires_at timestamptz not null
);
comment on table owner_tickets is 'Tickets that were taken, so that none is taken twice. A row goes some time after its ticket has ended.';
comment on column owner_tickets.sha256 is 'Hex SHA-256 of "owner-ticket:", the percloud''s id, ":" and the ticket''s nonce.';
comment on column owner_tickets.expires_at is 'When the ticket ends by itself.';
create index owner_tickets_end on owner_tickets (expires_at);

create table owner_links (
    sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    tenant_id text not null references tenants (id) on delete cascade,
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    used_at timestamptz
);
comment on table owner_links is 'Links mailed to owners who cannot get into their percloud: each opens the portal once.';
comment on column owner_links.sha256 is 'Hex SHA-256 of "owner-link:" and the token in the link (256 random bits, so a plain hash does).';
comment on column owner_links.tenant_id is 'Whose owner it was mailed to.';
comment on column owner_links.created_at is 'When it was asked for.';
comment on column owner_links.expires_at is 'When it ends by itself.';
comment on column owner_links.used_at is 'When it was used; once only.';
create index owner_links_tenant on owner_links (tenant_id);
create index owner_links_end on owner_links (expires_at);

create table owner_sessions (
    sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    tenant_id text not null references tenants (id) on delete cascade,
    via text not null check (via in ('ticket', 'mail')),
    created_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > created_at),
    ended_at timestamptz
);
comment on table owner_sessions is 'Browsers in which an owner is signed in at the portal, for one percloud each. Rows stay a day after their end, so that the page can say where to come in again.';
comment on column owner_sessions.sha256 is 'Hex SHA-256 of "owner-session:" and the cookie''s value (256 random bits, so a plain hash does).';
comment on column owner_sessions.tenant_id is 'Whose owner it is.';
comment on column owner_sessions.via is 'How they came: with a ticket of the percloud, or by a mailed link.';
comment on column owner_sessions.created_at is 'When it began.';
comment on column owner_sessions.expires_at is 'When it ends by itself; use does not prolong it.';
comment on column owner_sessions.ended_at is 'When the owner signed out.';
create index owner_sessions_tenant on owner_sessions (tenant_id);
create index owner_sessions_end on owner_sessions (expires_at);
