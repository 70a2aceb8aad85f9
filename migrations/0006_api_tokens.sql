-- expand: bearer tokens of the JSON API.

create table api_tokens (
    id text primary key check (id ~ '^k-[a-z2-7]{16}$'),
    name text not null check (octet_length(name) between 1 and 200),
    sha256 text not null unique check (sha256 ~ '^[0-9a-f]{64}$'),
    scopes text[] not null check (scopes <@ array['tenants:read', 'tenants:write', 'mails:read'] and cardinality(scopes) > 0),
    created_at timestamptz not null,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
comment on table api_tokens is 'Bearer tokens of the JSON API. The token itself is shown once and kept nowhere.';
comment on column api_tokens.id is 'Random: "k-" and 80 bits in base 32.';
comment on column api_tokens.name is 'What the operator calls it.';
comment on column api_tokens.sha256 is 'Hex SHA-256 of the token (256 random bits, so a plain hash does).';
comment on column api_tokens.scopes is 'What it may do: tenants:read, tenants:write, mails:read.';
comment on column api_tokens.created_at is 'When it was made.';
comment on column api_tokens.expires_at is 'When it ends by itself; never, when there is none.';
comment on column api_tokens.last_used_at is 'When it was last used, to the minute.';
comment on column api_tokens.revoked_at is 'When it was revoked.';
