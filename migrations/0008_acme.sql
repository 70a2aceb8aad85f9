-- expand: certificates of public CAs: whose they are, pauses, renewal, and what several reconcilers must know of ACME together.

alter table certificates
    add column tenant_id text check (tenant_id ~ '^t-[a-z2-7]{16}$'),
    add column paused boolean not null default false,
    add column wish bigint not null default 0,
    add column failing_since timestamptz,
    add column told_at timestamptz,
    add column waits text,
    add column renew_at timestamptz,
    add column ari_start timestamptz,
    add column ari_end timestamptz,
    add column ari_due_at timestamptz;
comment on column certificates.tenant_id is 'Whose names these are; none for the provider''s own. No foreign key: the row outlives its percloud for the moment in which the reconciler takes it away.';
comment on column certificates.paused is 'An operator has said to leave it alone: neither issued nor renewed, the one there is goes on serving.';
comment on column certificates.wish is 'Counts wishes, so that a turn that ends does not put off one that came meanwhile.';
comment on column certificates.failing_since is 'When the first failure in a row was; none while all is well.';
comment on column certificates.told_at is 'When its owner was told of the failure that lasts; once per failure.';
comment on column certificates.waits is 'Why it waits although nothing is wrong with it (a budget is used up), in words; none when it does not.';
comment on column certificates.renew_at is 'When a new one shall be ordered: a moment chosen by chance near the right fraction of its life, or inside the window that its CA suggests.';
comment on column certificates.ari_start is 'Where the window begins that its CA suggested last (RFC 9773); none when it suggests none.';
comment on column certificates.ari_end is 'Where that window ends.';
comment on column certificates.ari_due_at is 'When its CA is asked again; none when it is never asked.';
create index certificates_names on certificates using gin (names);
create index certificates_claimed on certificates (claimed_until) where claimed_until > '-infinity';
create index certificates_failing on certificates (failing_since) where failing_since is not null;
create index certificates_tenant on certificates (tenant_id) where tenant_id is not null;

-- A pause that ends is news, too.
drop trigger certificates_news_update on certificates;
create trigger certificates_news_update after update on certificates for each row
    when ((new.wanted, new.key_sealed, new.chain_pem, new.paused) is distinct from (old.wanted, old.key_sealed, old.chain_pem, old.paused)
        or new.due_at < old.due_at or (old.due_at is null and new.due_at is not null))
    execute function certificates_news();

create table acme_accounts (
    id text primary key check (octet_length(id) between 1 and 300),
    directory text not null,
    credentials_sealed bytea,
    failures integer not null default 0 check (failures >= 0),
    away_until timestamptz,
    away_because text,
    created_at timestamptz not null,
    check ((away_until is null) = (away_because is null))
);
comment on table acme_accounts is 'How we are known to each public CA, and whether it is away at the moment: shared by all reconcilers.';
comment on column acme_accounts.id is 'The directory''s host, with "#" and the external account''s key id where there is one.';
comment on column acme_accounts.directory is 'The URL of the CA''s directory (RFC 8555).';
comment on column acme_accounts.credentials_sealed is 'The account''s URL and key, sealed for the context "acme_accounts/" and the id; none before the first order.';
comment on column acme_accounts.failures is 'How often in a row it did not answer as a CA should.';
comment on column acme_accounts.away_until is 'Until when nobody asks it, after several such failures in a row.';
comment on column acme_accounts.away_because is 'What it said, or did not, in words.';
comment on column acme_accounts.created_at is 'When it was first used.';

create table acme_attempts (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    account text not null,
    certificate_id text not null check (certificate_id ~ '^c-[a-z2-7]{16}$'),
    names text[] not null check (cardinality(names) between 1 and 100),
    registered text[] not null check (cardinality(registered) between 1 and 100),
    renewal boolean not null,
    outcome text not null default 'pending' check (outcome in ('pending', 'issued', 'not-validated', 'refused', 'away'))
);
comment on table acme_attempts is 'Every order at a public CA in the last week: what budgets are counted from, by all reconcilers together.';
comment on column acme_attempts.id is 'Counts up.';
comment on column acme_attempts.at is 'When it began.';
comment on column acme_attempts.account is 'With which account; as in acme_accounts.';
comment on column acme_attempts.certificate_id is 'For which certificate; no foreign key, since budgets count those that have gone, too.';
comment on column acme_attempts.names is 'For which names.';
comment on column acme_attempts.registered is 'The registered domains of those names (one below a public suffix): CAs count by them.';
comment on column acme_attempts.renewal is 'A renewal that names the certificate it replaces inside its CA''s window: CAs do not count it.';
comment on column acme_attempts.outcome is 'pending (it runs, or its worker died), issued, not-validated (the name''s own failure), refused, or away (the CA''s).';
create index acme_attempts_account on acme_attempts (account, at desc);
create index acme_attempts_names on acme_attempts using gin (names);
create index acme_attempts_registered on acme_attempts using gin (registered);

create table acme_challenges (
    token text not null check (octet_length(token) between 1 and 200),
    kind text not null check (kind in ('http-01', 'tls-alpn-01')),
    name text not null check (octet_length(name) between 1 and 253),
    key_authorization text not null check (octet_length(key_authorization) between 1 and 500),
    certificate_id text not null check (certificate_id ~ '^c-[a-z2-7]{16}$'),
    expires_at timestamptz not null,
    primary key (kind, token)
);
comment on table acme_challenges is 'What the edge answers to a CA that comes to see whether a name leads here (RFC 8555, RFC 8737). There while an order runs.';
comment on column acme_challenges.token is 'The challenge''s token: the last part of the path that the CA asks for by HTTP.';
comment on column acme_challenges.kind is 'http-01 or tls-alpn-01; dns-01 is answered by a DNS server.';
comment on column acme_challenges.name is 'The name that is to be proved.';
comment on column acme_challenges.key_authorization is 'What the answer holds, or is made of. Not a secret: the CA fetches it over plain HTTP.';
comment on column acme_challenges.certificate_id is 'For which certificate.';
comment on column acme_challenges.expires_at is 'After this it is no longer answered, and taken away: its worker died.';
create index acme_challenges_name on acme_challenges (name);
create index acme_challenges_expires on acme_challenges (expires_at);

alter table api_tokens drop constraint api_tokens_scopes_check;
alter table api_tokens add constraint api_tokens_scopes_check check (cardinality(scopes) > 0 and scopes <@ array[
    'tenants:read', 'tenants:write', 'mails:read', 'certificates:read', 'certificates:write', 'domains:read', 'domains:write']);
comment on column api_tokens.scopes is 'What it may do: tenants:read, tenants:write, mails:read, certificates:read, certificates:write, domains:read, domains:write.';
