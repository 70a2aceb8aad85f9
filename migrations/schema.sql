-- Derived from the migrations by a test (see README.md here); for reading, never to be run or edited.

CREATE FUNCTION public.certificates_awaited() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    update domains set due_at = 'epoch', wish = wish + 1
    where wanted = 'active' and observed in ('verified', 'active') and (name = new.names[1] or twin = new.names[1]);
    return null;
end $$;

CREATE FUNCTION public.certificates_news() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_notify('certificates', coalesce(new.id, old.id));
    return null;
end $$;

CREATE FUNCTION public.domains_route() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op <> 'INSERT' and old.observed = 'active' then
        perform pg_notify('routes', old.name);
        if old.twin is not null then
            perform pg_notify('routes', old.twin);
        end if;
    end if;
    if tg_op <> 'DELETE' and new.observed = 'active' then
        perform pg_notify('routes', new.name);
        if new.twin is not null then
            perform pg_notify('routes', new.twin);
        end if;
    end if;
    return null;
end $$;

CREATE FUNCTION public.domains_wake() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_notify('domains', '');
    return null;
end $$;

CREATE FUNCTION public.mails_wake() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_notify('mails', '');
    return null;
end $$;

CREATE FUNCTION public.sign_up_again(of_domain text, proof_sha256 text, new_account text, new_setup text, new_confirm text, new_language text, new_again text, at timestamp with time zone) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    found_id text;
    old_account text;
begin
    select id, account_id into found_id, old_account from tenants
    where domain = of_domain and again_sha256 = proof_sha256 and confirmed_at is null and set_up_at is null and wanted = 'running'
    for update;
    if found_id is null then
        return null;
    end if;
    update tenants set
        account_id = new_account, setup_sha256 = new_setup, confirm_sha256 = new_confirm, language = new_language, again_sha256 = new_again,
        created_at = at, due_at = at, tries = 0, wish = wish + 1
    where id = found_id;
    delete from accounts where id = old_account and not exists (select from tenants where account_id = old_account);
    return found_id;
end $$;

CREATE FUNCTION public.tenants_route() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    host text;
begin
    for host in
        select name from (
            select distinct name from unnest(array[
                case when tg_op <> 'INSERT' then old.domain end, case when tg_op <> 'INSERT' then old.own_domain end,
                case when tg_op <> 'DELETE' then new.domain end, case when tg_op <> 'DELETE' then new.own_domain end
            ]) as name
            union
            select unnest(array[d.name, d.twin]) from domains d
            where d.tenant_id = case when tg_op = 'DELETE' then old.id else new.id end and d.observed = 'active'
        ) as names
        where name is not null
        order by name = case when tg_op <> 'DELETE' then new.own_domain end desc nulls last
    loop
        perform pg_notify('routes', host);
    end loop;
    return null;
end $$;

CREATE FUNCTION public.tenants_wake() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_notify('tenants', '');
    return null;
end $$;

CREATE FUNCTION public.usage_add(of_tenants text[], of_hours timestamp with time zone[], of_requests bigint[], of_egress_bytes bigint[], of_refused bigint[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    rows_added bigint;
    said bigint := coalesce(cardinality(of_tenants), 0);
begin
    if said = 0 then
        return 0;
    end if;
    if said > 10000 then
        raise exception 'too many rows at once: % of 10000', said using errcode = 'check_violation';
    end if;
    if exists (
        select from unnest(of_tenants, of_hours, of_requests, of_egress_bytes, of_refused) as s (tenant_id, hour, requests, egress_bytes, refused)
        where s.tenant_id is null or s.hour is null
            or coalesce(s.requests not between 0 and 1000000000000, true)
            or coalesce(s.egress_bytes not between 0 and 1000000000000000, true)
            or coalesce(s.refused not between 0 and 1000000000000, true)
    ) then
        raise exception 'a row has nothing, less than nothing or too much in it' using errcode = 'check_violation';
    end if;
    if exists (
        select from unnest(of_hours) as s (hour)
        where s.hour <> date_trunc('hour', s.hour, 'UTC') or s.hour not between now() - interval '25 hours' and now() + interval '1 day'
    ) then
        raise exception 'an hour that is none, or further from now than a day' using errcode = 'check_violation';
    end if;
    perform usage_partitions(month) from (select distinct date_trunc('month', h, 'UTC') as month from unnest(of_hours) as h) as months;
    insert into usage_hours (tenant_id, hour, requests, egress_bytes, refused)
    select s.tenant_id, s.hour, sum(s.requests)::bigint, sum(s.egress_bytes)::bigint, sum(s.refused)::bigint
    from unnest(of_tenants, of_hours, of_requests, of_egress_bytes, of_refused) as s (tenant_id, hour, requests, egress_bytes, refused)
    where exists (select from tenants t where t.id = s.tenant_id)
    group by s.tenant_id, s.hour
    order by s.tenant_id, s.hour -- everybody in the same order, so that nobody waits for each other
    on conflict (tenant_id, hour) do update set
        requests = usage_hours.requests + excluded.requests,
        egress_bytes = usage_hours.egress_bytes + excluded.egress_bytes,
        refused = usage_hours.refused + excluded.refused;
    get diagnostics rows_added = row_count;
    return rows_added;
end $$;

CREATE FUNCTION public.usage_add_counts(of_tenants text[], of_hours timestamp with time zone[], of_requests bigint[], of_egress_bytes bigint[], of_refused bigint[], of_forbidden bigint[], of_crowded bigint[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    rows_added bigint;
    said bigint := coalesce(cardinality(of_tenants), 0);
begin
    if said = 0 then
        return 0;
    end if;
    if said > 10000 then
        raise exception 'too many rows at once: % of 10000', said using errcode = 'check_violation';
    end if;
    if exists (
        select from unnest(of_tenants, of_hours, of_requests, of_egress_bytes, of_refused, of_forbidden, of_crowded)
            as s (tenant_id, hour, requests, egress_bytes, refused, forbidden, crowded)
        where s.tenant_id is null or s.hour is null
            or coalesce(s.requests not between 0 and 1000000000000, true)
            or coalesce(s.egress_bytes not between 0 and 1000000000000000, true)
            or coalesce(s.refused not between 0 and 1000000000000, true)
            or coalesce(s.forbidden not between 0 and 1000000000000, true)
            or coalesce(s.crowded not between 0 and 1000000000000, true)
    ) then
        raise exception 'a row has nothing, less than nothing or too much in it' using errcode = 'check_violation';
    end if;
    if exists (
        select from unnest(of_hours) as s (hour)
        where s.hour <> date_trunc('hour', s.hour, 'UTC') or s.hour not between now() - interval '25 hours' and now() + interval '1 day'
    ) then
        raise exception 'an hour that is none, or further from now than a day' using errcode = 'check_violation';
    end if;
    perform usage_partitions(month) from (select distinct date_trunc('month', h, 'UTC') as month from unnest(of_hours) as h) as months;
    insert into usage_hours (tenant_id, hour, requests, egress_bytes, refused, forbidden, crowded)
    select s.tenant_id, s.hour, sum(s.requests)::bigint, sum(s.egress_bytes)::bigint, sum(s.refused)::bigint, sum(s.forbidden)::bigint,
        sum(s.crowded)::bigint
    from unnest(of_tenants, of_hours, of_requests, of_egress_bytes, of_refused, of_forbidden, of_crowded)
        as s (tenant_id, hour, requests, egress_bytes, refused, forbidden, crowded)
    where exists (select from tenants t where t.id = s.tenant_id)
    group by s.tenant_id, s.hour
    order by s.tenant_id, s.hour -- everybody in the same order, so that nobody waits for each other
    on conflict (tenant_id, hour) do update set
        requests = usage_hours.requests + excluded.requests,
        egress_bytes = usage_hours.egress_bytes + excluded.egress_bytes,
        refused = usage_hours.refused + excluded.refused,
        forbidden = usage_hours.forbidden + excluded.forbidden,
        crowded = usage_hours.crowded + excluded.crowded;
    get diagnostics rows_added = row_count;
    return rows_added;
end $$;

CREATE FUNCTION public.usage_forget(at timestamp with time zone) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    part text;
    keep_hours text := 'usage_hours_' || to_char((at - interval '40 days') at time zone 'UTC', 'YYYYMM');
    keep_days text := 'usage_days_' || to_char((at - interval '13 months') at time zone 'UTC', 'YYYY');
begin
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where (i.inhparent = 'usage_hours'::regclass and c.relname collate "C" < keep_hours)
            or (i.inhparent = 'usage_days'::regclass and c.relname collate "C" < keep_days)
        order by 1
    loop
        execute format('drop table %I', part);
        return next part;
    end loop;
end $$;

CREATE FUNCTION public.usage_partitions(at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    month timestamptz := date_trunc('month', at, 'UTC');
    year date;
    part text;
begin
    for ahead in 0..2 loop
        part := 'usage_hours_' || to_char(month at time zone 'UTC', 'YYYYMM');
        if to_regclass(part) is null then
            perform pg_advisory_xact_lock(hashtext('usage_partitions'));
            execute format('create table if not exists %I partition of usage_hours for values from (%L) to (%L)',
                part, month, (month at time zone 'UTC' + interval '1 month') at time zone 'UTC');
        end if;
        year := date_trunc('year', month at time zone 'UTC')::date;
        part := 'usage_days_' || to_char(year, 'YYYY');
        if to_regclass(part) is null then
            perform pg_advisory_xact_lock(hashtext('usage_partitions'));
            execute format('create table if not exists %I partition of usage_days for values from (%L) to (%L)',
                part, year, (year + interval '1 year')::date);
        end if;
        month := (month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
    end loop;
end $$;

CREATE TABLE public.accounts (
    id text NOT NULL,
    email text NOT NULL,
    email_key text GENERATED ALWAYS AS (lower(email)) STORED NOT NULL,
    email_confirmed_at timestamp with time zone,
    language text DEFAULT 'en'::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT accounts_email_check CHECK ((((octet_length(email) >= 3) AND (octet_length(email) <= 254)) AND (POSITION(('@'::text) IN (email)) > 1) AND (email !~ '\s'::text))),
    CONSTRAINT accounts_id_check CHECK ((id ~ '^a-[a-z2-7]{16}$'::text)),
    CONSTRAINT accounts_language_check CHECK ((language ~ '^[a-z]{2,3}$'::text))
);

COMMENT ON TABLE public.accounts IS 'A contract at this provider: an e-mail address that may hold several perclouds. Goes when its last percloud has gone.';

COMMENT ON COLUMN public.accounts.id IS 'Random: "a-" and 80 bits in base 32.';

COMMENT ON COLUMN public.accounts.email IS 'The address as it was typed.';

COMMENT ON COLUMN public.accounts.email_key IS 'The address as it is compared.';

COMMENT ON COLUMN public.accounts.email_confirmed_at IS 'When a link mailed to the address was first used.';

COMMENT ON COLUMN public.accounts.language IS 'The language of mails to this person (BCP 47 primary tag).';

COMMENT ON COLUMN public.accounts.created_at IS 'When the first percloud was asked for.';

CREATE TABLE public.acme_accounts (
    id text NOT NULL,
    directory text NOT NULL,
    credentials_sealed bytea,
    failures integer DEFAULT 0 NOT NULL,
    away_until timestamp with time zone,
    away_because text,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT acme_accounts_check CHECK (((away_until IS NULL) = (away_because IS NULL))),
    CONSTRAINT acme_accounts_failures_check CHECK ((failures >= 0)),
    CONSTRAINT acme_accounts_id_check CHECK (((octet_length(id) >= 1) AND (octet_length(id) <= 300)))
);

COMMENT ON TABLE public.acme_accounts IS 'How we are known to each public CA, and whether it is away at the moment: shared by all reconcilers.';

COMMENT ON COLUMN public.acme_accounts.id IS 'The directory''s host, with "#" and the external account''s key id where there is one.';

COMMENT ON COLUMN public.acme_accounts.directory IS 'The URL of the CA''s directory (RFC 8555).';

COMMENT ON COLUMN public.acme_accounts.credentials_sealed IS 'The account''s URL and key, sealed for the context "acme_accounts/" and the id; none before the first order.';

COMMENT ON COLUMN public.acme_accounts.failures IS 'How often in a row it did not answer as a CA should.';

COMMENT ON COLUMN public.acme_accounts.away_until IS 'Until when nobody asks it, after several such failures in a row.';

COMMENT ON COLUMN public.acme_accounts.away_because IS 'What it said, or did not, in words.';

COMMENT ON COLUMN public.acme_accounts.created_at IS 'When it was first used.';

CREATE TABLE public.acme_attempts (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    account text NOT NULL,
    certificate_id text NOT NULL,
    names text[] NOT NULL,
    registered text[] NOT NULL,
    renewal boolean NOT NULL,
    outcome text DEFAULT 'pending'::text NOT NULL,
    tenant_id text,
    serving boolean DEFAULT false NOT NULL,
    again_at timestamp with time zone,
    CONSTRAINT acme_attempts_certificate_id_check CHECK ((certificate_id ~ '^c-[a-z2-7]{16}$'::text)),
    CONSTRAINT acme_attempts_names_check CHECK (((cardinality(names) >= 1) AND (cardinality(names) <= 100))),
    CONSTRAINT acme_attempts_outcome_check CHECK ((outcome = ANY (ARRAY['pending'::text, 'issued'::text, 'not-validated'::text, 'refused'::text, 'away'::text, 'cut-off'::text]))),
    CONSTRAINT acme_attempts_registered_check CHECK (((cardinality(registered) >= 1) AND (cardinality(registered) <= 100)))
);

COMMENT ON TABLE public.acme_attempts IS 'Every order at a public CA in the last week: what budgets are counted from, by all reconcilers together.';

COMMENT ON COLUMN public.acme_attempts.id IS 'Counts up.';

COMMENT ON COLUMN public.acme_attempts.at IS 'When it began.';

COMMENT ON COLUMN public.acme_attempts.account IS 'With which account; as in acme_accounts.';

COMMENT ON COLUMN public.acme_attempts.certificate_id IS 'For which certificate; no foreign key, since budgets count those that have gone, too.';

COMMENT ON COLUMN public.acme_attempts.names IS 'For which names.';

COMMENT ON COLUMN public.acme_attempts.registered IS 'The registered domains of those names (one below a public suffix): CAs count by them.';

COMMENT ON COLUMN public.acme_attempts.renewal IS 'A renewal that names the certificate it replaces, inside its CA''s window, and was taken for one: CAs do not count it.';

COMMENT ON COLUMN public.acme_attempts.outcome IS 'pending (it runs), issued, not-validated (the name''s own failure), refused (before any validation), away (the CA''s), or cut-off (its worker died, or its turn took too long: nobody knows).';

COMMENT ON COLUMN public.acme_attempts.tenant_id IS 'For whose certificate; no foreign key, since it counts after the percloud has gone, too. None: the provider''s own.';

COMMENT ON COLUMN public.acme_attempts.serving IS 'There was one that served: a renewal, whatever its CA takes it for.';

COMMENT ON COLUMN public.acme_attempts.again_at IS 'Before this the CA does not want to be asked for the same names again; none when it named no time.';

ALTER TABLE public.acme_attempts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.acme_attempts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.acme_challenges (
    token text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    key_authorization text NOT NULL,
    certificate_id text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT acme_challenges_certificate_id_check CHECK ((certificate_id ~ '^c-[a-z2-7]{16}$'::text)),
    CONSTRAINT acme_challenges_key_authorization_check CHECK (((octet_length(key_authorization) >= 1) AND (octet_length(key_authorization) <= 500))),
    CONSTRAINT acme_challenges_kind_check CHECK ((kind = ANY (ARRAY['http-01'::text, 'tls-alpn-01'::text, 'dns-01'::text]))),
    CONSTRAINT acme_challenges_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 253))),
    CONSTRAINT acme_challenges_token_check CHECK (((octet_length(token) >= 1) AND (octet_length(token) <= 200)))
);

COMMENT ON TABLE public.acme_challenges IS 'What the edge answers to a CA that comes to see whether a name leads here (RFC 8555, RFC 8737), and what was put into the DNS for that. There while an order runs.';

COMMENT ON COLUMN public.acme_challenges.token IS 'The challenge''s token: the last part of the path that the CA asks for by HTTP.';

COMMENT ON COLUMN public.acme_challenges.kind IS 'http-01 or tls-alpn-01, which the edge answers; dns-01 is a TXT value that is to be taken away.';

COMMENT ON COLUMN public.acme_challenges.name IS 'The name that is to be proved.';

COMMENT ON COLUMN public.acme_challenges.key_authorization IS 'What the answer holds, or is made of. Not a secret: the CA fetches it over plain HTTP.';

COMMENT ON COLUMN public.acme_challenges.certificate_id IS 'For which certificate.';

COMMENT ON COLUMN public.acme_challenges.expires_at IS 'After this it is no longer answered, and taken away: its worker died. For dns-01, when it is tried next to take it away.';

CREATE TABLE public.api_tokens (
    id text NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_tokens_id_check CHECK ((id ~ '^k-[a-z2-7]{16}$'::text)),
    CONSTRAINT api_tokens_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 200))),
    CONSTRAINT api_tokens_scopes_check CHECK (((cardinality(scopes) > 0) AND (scopes <@ ARRAY['tenants:read'::text, 'tenants:write'::text, 'mails:read'::text, 'certificates:read'::text, 'certificates:write'::text, 'domains:read'::text, 'domains:write'::text, 'usage:read'::text]))),
    CONSTRAINT api_tokens_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text))
);

COMMENT ON TABLE public.api_tokens IS 'Bearer tokens of the JSON API. The token itself is shown once and kept nowhere.';

COMMENT ON COLUMN public.api_tokens.id IS 'Random: "k-" and 80 bits in base 32.';

COMMENT ON COLUMN public.api_tokens.name IS 'What the operator calls it.';

COMMENT ON COLUMN public.api_tokens.sha256 IS 'Hex SHA-256 of the token (256 random bits, so a plain hash does).';

COMMENT ON COLUMN public.api_tokens.scopes IS 'What it may do: tenants:read, tenants:write, mails:read, certificates:read, certificates:write, domains:read, domains:write, usage:read.';

COMMENT ON COLUMN public.api_tokens.created_at IS 'When it was made.';

COMMENT ON COLUMN public.api_tokens.expires_at IS 'When it ends by itself; never, when there is none.';

COMMENT ON COLUMN public.api_tokens.last_used_at IS 'When it was last used, to the minute.';

COMMENT ON COLUMN public.api_tokens.revoked_at IS 'When it was revoked.';

CREATE TABLE public.audit (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    tenant_id text,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT audit_action_check CHECK ((action ~ '^[a-z]+\.[a-z-]+$'::text)),
    CONSTRAINT audit_actor_check CHECK ((actor ~ '^(owner|visitor|operator|reconcile|token:k-[a-z2-7]{16})$'::text)),
    CONSTRAINT audit_tenant_id_check CHECK ((tenant_id ~ '^t-[a-z2-7]{16}$'::text))
);

COMMENT ON TABLE public.audit IS 'Who did what. Only ever added to.';

COMMENT ON COLUMN public.audit.id IS 'Counts up.';

COMMENT ON COLUMN public.audit.at IS 'When.';

COMMENT ON COLUMN public.audit.actor IS 'visitor (sign-up), owner, operator (percloud admin), token:… (the API), or reconcile.';

COMMENT ON COLUMN public.audit.action IS 'What: tenant.created, tenant.suspended …';

COMMENT ON COLUMN public.audit.tenant_id IS 'To which percloud; no foreign key, since this outlives it.';

COMMENT ON COLUMN public.audit.details IS 'What else is needed to understand it; never a secret, an address or content.';

ALTER TABLE public.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.certificates (
    id text NOT NULL,
    names text[] NOT NULL,
    wanted text DEFAULT 'issued'::text NOT NULL,
    observed text DEFAULT 'absent'::text NOT NULL,
    issuer text,
    chain_pem text,
    key_sealed bytea,
    not_before timestamp with time zone,
    not_after timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    claimed_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    claim bigint DEFAULT 0 NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    last_error text,
    trace_parent text,
    tenant_id text,
    paused boolean DEFAULT false NOT NULL,
    wish bigint DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    told_at timestamp with time zone,
    waits text,
    renew_at timestamp with time zone,
    ari_start timestamp with time zone,
    ari_end timestamp with time zone,
    ari_due_at timestamp with time zone,
    trouble text,
    told_of text,
    ari_explanation text,
    mend jsonb,
    CONSTRAINT certificates_ari_explanation_check CHECK (((octet_length(ari_explanation) >= 1) AND (octet_length(ari_explanation) <= 500))),
    CONSTRAINT certificates_check CHECK (((observed = 'absent'::text) OR ((chain_pem IS NOT NULL) AND (key_sealed IS NOT NULL) AND (not_before IS NOT NULL) AND (not_after IS NOT NULL)))),
    CONSTRAINT certificates_id_check CHECK ((id ~ '^c-[a-z2-7]{16}$'::text)),
    CONSTRAINT certificates_mend_check CHECK ((jsonb_typeof(mend) = 'object'::text)),
    CONSTRAINT certificates_names_check CHECK (((cardinality(names) >= 1) AND (cardinality(names) <= 100))),
    CONSTRAINT certificates_observed_check CHECK ((observed = ANY (ARRAY['absent'::text, 'issued'::text]))),
    CONSTRAINT certificates_tenant_id_check CHECK ((tenant_id ~ '^t-[a-z2-7]{16}$'::text)),
    CONSTRAINT certificates_told_of_check CHECK ((told_of = ANY (ARRAY['owner'::text, 'operator'::text]))),
    CONSTRAINT certificates_tries_check CHECK ((tries >= 0)),
    CONSTRAINT certificates_trouble_check CHECK ((trouble = ANY (ARRAY['owner'::text, 'operator'::text]))),
    CONSTRAINT certificates_wanted_check CHECK ((wanted = ANY (ARRAY['issued'::text, 'gone'::text])))
);

COMMENT ON TABLE public.certificates IS 'One certificate for one set of names: what is wanted and what there is. The edge reads it; only the reconciler writes it.';

COMMENT ON COLUMN public.certificates.id IS 'Random: "c-" and 80 bits in base 32; also what its sealed key is bound to.';

COMMENT ON COLUMN public.certificates.names IS 'The DNS names it stands for; "*." in front of one stands for all directly below it.';

COMMENT ON COLUMN public.certificates.wanted IS 'issued: there shall be a valid one; gone: the row shall go.';

COMMENT ON COLUMN public.certificates.observed IS 'Whether there is one. It may have ended: see not_after.';

COMMENT ON COLUMN public.certificates.issuer IS 'Who issued it, in our words: local for the local CA.';

COMMENT ON COLUMN public.certificates.chain_pem IS 'The certificate and what leads to its root, leaf first.';

COMMENT ON COLUMN public.certificates.key_sealed IS 'Its private key, sealed with XChaCha20-Poly1305 for the context "certificates/" and the id; the sealing key is not in the database.';

COMMENT ON COLUMN public.certificates.not_before IS 'When it begins.';

COMMENT ON COLUMN public.certificates.not_after IS 'When it ends; it is renewed when a third of its life is left.';

COMMENT ON COLUMN public.certificates.created_at IS 'When it was first wanted.';

COMMENT ON COLUMN public.certificates.due_at IS 'When the reconciler shall look at it next; none when it waits for a person.';

COMMENT ON COLUMN public.certificates.claimed_until IS 'Until when a worker has it (a lease: a dead worker lets go by itself).';

COMMENT ON COLUMN public.certificates.claim IS 'A fencing number: a late worker cannot write.';

COMMENT ON COLUMN public.certificates.tries IS 'Failures in a row.';

COMMENT ON COLUMN public.certificates.last_error IS 'What went wrong last, for the operator; none after a success.';

COMMENT ON COLUMN public.certificates.trace_parent IS 'W3C trace context of the request that last wanted something.';

COMMENT ON COLUMN public.certificates.tenant_id IS 'Whose names these are; none for the provider''s own. No foreign key: the row outlives its percloud for the moment in which the reconciler takes it away.';

COMMENT ON COLUMN public.certificates.paused IS 'An operator has said to leave it alone: neither issued nor renewed, the one there is goes on serving.';

COMMENT ON COLUMN public.certificates.wish IS 'Counts wishes, so that a turn that ends does not put off one that came meanwhile.';

COMMENT ON COLUMN public.certificates.failing_since IS 'When the first failure in a row was; none while all is well.';

COMMENT ON COLUMN public.certificates.told_at IS 'When its owner was told of the failure that lasts; once per failure.';

COMMENT ON COLUMN public.certificates.waits IS 'Why it waits although nothing is wrong with it (a budget is used up), in words; none when it does not.';

COMMENT ON COLUMN public.certificates.renew_at IS 'When a new one shall be ordered: a moment chosen by chance near the right fraction of its life, or inside the window that its CA suggests.';

COMMENT ON COLUMN public.certificates.ari_start IS 'Where the window begins that its CA suggested last (RFC 9773); none when it suggests none.';

COMMENT ON COLUMN public.certificates.ari_end IS 'Where that window ends.';

COMMENT ON COLUMN public.certificates.ari_due_at IS 'When its CA is asked again; none when it is never asked.';

COMMENT ON COLUMN public.certificates.trouble IS 'Who can mend what kept it from being issued last: owner (the name does not validate, or its domain forbids our CA) or operator (anything else, a limit at its CA and a budget that is used up too); none while nothing has.';

COMMENT ON COLUMN public.certificates.told_of IS 'Of whose trouble its owner was told at told_at; none in rows that an older release wrote: of the owner''s.';

COMMENT ON COLUMN public.certificates.ari_explanation IS 'A page on which its CA says why it suggests that window; none when it names none.';

COMMENT ON COLUMN public.certificates.mend IS 'What its owner can mend, where trouble is owner: where the name leads, with the words of its CA, or which CAA records stand against it and whom to let in. None in rows that an older release wrote.';

CREATE TABLE public.cost_prices (
    one boolean DEFAULT true NOT NULL,
    currency text NOT NULL,
    machine_micros bigint NOT NULL,
    machines integer NOT NULL,
    share_percent integer NOT NULL,
    watts integer NOT NULL,
    kwh_micros bigint NOT NULL,
    storage_gb_micros bigint NOT NULL,
    egress_gb_micros bigint NOT NULL,
    weight_base integer NOT NULL,
    weight_cpu integer NOT NULL,
    weight_memory integer NOT NULL,
    CONSTRAINT cost_prices_check CHECK ((((weight_base + weight_cpu) + weight_memory) = 100)),
    CONSTRAINT cost_prices_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT cost_prices_egress_gb_micros_check CHECK (((egress_gb_micros >= 0) AND (egress_gb_micros <= 1000000000))),
    CONSTRAINT cost_prices_kwh_micros_check CHECK (((kwh_micros >= 0) AND (kwh_micros <= 1000000000))),
    CONSTRAINT cost_prices_machine_micros_check CHECK (((machine_micros >= 0) AND (machine_micros <= '1000000000000'::bigint))),
    CONSTRAINT cost_prices_machines_check CHECK (((machines >= 1) AND (machines <= 10000))),
    CONSTRAINT cost_prices_one_check CHECK (one),
    CONSTRAINT cost_prices_share_percent_check CHECK (((share_percent >= 1) AND (share_percent <= 100))),
    CONSTRAINT cost_prices_storage_gb_micros_check CHECK (((storage_gb_micros >= 0) AND (storage_gb_micros <= 1000000000))),
    CONSTRAINT cost_prices_watts_check CHECK (((watts >= 0) AND (watts <= 1000000))),
    CONSTRAINT cost_prices_weight_base_check CHECK (((weight_base >= 0) AND (weight_base <= 100))),
    CONSTRAINT cost_prices_weight_cpu_check CHECK (((weight_cpu >= 0) AND (weight_cpu <= 100))),
    CONSTRAINT cost_prices_weight_memory_check CHECK (((weight_memory >= 0) AND (weight_memory <= 100)))
);

COMMENT ON TABLE public.cost_prices IS 'What the operator pays, in millionths of the currency: what costs are worked out from. One row, or none while nobody has said.';

COMMENT ON COLUMN public.cost_prices.one IS 'There is one row only.';

COMMENT ON COLUMN public.cost_prices.currency IS 'ISO 4217, such as EUR.';

COMMENT ON COLUMN public.cost_prices.machine_micros IS 'What one machine costs a month.';

COMMENT ON COLUMN public.cost_prices.machines IS 'How many machines there are.';

COMMENT ON COLUMN public.cost_prices.share_percent IS 'How much of them is there for perclouds.';

COMMENT ON COLUMN public.cost_prices.watts IS 'What one machine draws on average.';

COMMENT ON COLUMN public.cost_prices.kwh_micros IS 'What a kilowatt-hour costs.';

COMMENT ON COLUMN public.cost_prices.storage_gb_micros IS 'What a gigabyte (10^9 bytes) on the disk costs a month, beyond the machine.';

COMMENT ON COLUMN public.cost_prices.egress_gb_micros IS 'What a gigabyte (10^9 bytes) that goes out costs.';

COMMENT ON COLUMN public.cost_prices.weight_base IS 'How many per cent of machine and power every percloud shares alike, for being registered.';

COMMENT ON COLUMN public.cost_prices.weight_cpu IS 'How many per cent are shared by processor time.';

COMMENT ON COLUMN public.cost_prices.weight_memory IS 'How many per cent are shared by memory-time.';

CREATE TABLE public.domain_targets (
    target text NOT NULL,
    tenant_id text NOT NULL,
    made_at timestamp with time zone NOT NULL,
    CONSTRAINT domain_targets_target_check CHECK ((target ~ '^t-[a-z2-7]{26}$'::text))
);

COMMENT ON TABLE public.domain_targets IS 'Every routing target that was ever handed out. Rows stay for ever, so that a CNAME that somebody forgot never leads to somebody else.';

COMMENT ON COLUMN public.domain_targets.target IS 'The label below edge.BASE: "t-" and 128 random bits in base 32.';

COMMENT ON COLUMN public.domain_targets.tenant_id IS 'Whose it was; the percloud may be gone.';

COMMENT ON COLUMN public.domain_targets.made_at IS 'When it was made.';

CREATE TABLE public.domains (
    id text NOT NULL,
    tenant_id text NOT NULL,
    name text NOT NULL,
    twin text,
    base text NOT NULL,
    target text NOT NULL,
    challenge text NOT NULL,
    challenge_expires_at timestamp with time zone NOT NULL,
    wanted text DEFAULT 'active'::text NOT NULL,
    observed text DEFAULT 'pending'::text NOT NULL,
    report jsonb,
    claimed_at timestamp with time zone NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    check_at timestamp with time zone NOT NULL,
    checked_at timestamp with time zone,
    verified_at timestamp with time zone,
    good_at timestamp with time zone,
    misses integer DEFAULT 0 NOT NULL,
    missed_at timestamp with time zone,
    due_at timestamp with time zone,
    claimed_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    claim bigint DEFAULT 0 NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    last_error text,
    wish bigint DEFAULT 0 NOT NULL,
    trace_parent text,
    challenge_seen_at timestamp with time zone,
    paused boolean DEFAULT false NOT NULL,
    resumed_at timestamp with time zone,
    part text DEFAULT 'main'::text NOT NULL,
    leads_until timestamp with time zone,
    slow boolean DEFAULT false NOT NULL,
    unheard_since timestamp with time zone,
    CONSTRAINT domains_challenge_check CHECK ((challenge ~ '^[a-z2-7]{26,64}$'::text)),
    CONSTRAINT domains_check CHECK (((twin ~ '^[a-z0-9.-]{3,253}$'::text) AND (twin <> name))),
    CONSTRAINT domains_check1 CHECK ((((base = name) OR (base = twin)) OR ((('www.'::text || base) = name) OR (('www.'::text || base) = twin)))),
    CONSTRAINT domains_check2 CHECK (((observed = ANY (ARRAY['pending'::text, 'lost'::text])) OR (verified_at IS NOT NULL))),
    CONSTRAINT domains_id_check CHECK ((id ~ '^d-[a-z2-7]{16}$'::text)),
    CONSTRAINT domains_leads CHECK (((part <> 'former'::text) OR (leads_until IS NOT NULL))),
    CONSTRAINT domains_misses_check CHECK ((misses >= 0)),
    CONSTRAINT domains_name_check CHECK ((name ~ '^[a-z0-9.-]{3,253}$'::text)),
    CONSTRAINT domains_observed_check CHECK ((observed = ANY (ARRAY['pending'::text, 'verified'::text, 'active'::text, 'lost'::text]))),
    CONSTRAINT domains_part_check CHECK ((part = ANY (ARRAY['main'::text, 'next'::text, 'former'::text]))),
    CONSTRAINT domains_tries_check CHECK ((tries >= 0)),
    CONSTRAINT domains_wanted_check CHECK ((wanted = ANY (ARRAY['active'::text, 'gone'::text])))
);

COMMENT ON TABLE public.domains IS 'Names of their own that owners claim for their perclouds: what is wanted (written by web and admin) and what is (written by the reconciler). Several perclouds may claim one name; one at most has it.';

COMMENT ON COLUMN public.domains.id IS 'Random: "d-" and 80 bits in base 32.';

COMMENT ON COLUMN public.domains.tenant_id IS 'For which percloud.';

COMMENT ON COLUMN public.domains.name IS 'The name it shall answer at, in ASCII.';

COMMENT ON COLUMN public.domains.twin IS 'The same with or without "www.", which leads to the name; none when not wanted.';

COMMENT ON COLUMN public.domains.base IS 'The name without "www.": the challenge stands below it, and one percloud at most has it.';

COMMENT ON COLUMN public.domains.target IS 'The label below edge.BASE that a CNAME leads to; for this claim alone, for ever.';

COMMENT ON COLUMN public.domains.challenge IS 'What the TXT record must say; random, for this claim alone.';

COMMENT ON COLUMN public.domains.challenge_expires_at IS 'When another challenge is made, unless this one was found in DNS.';

COMMENT ON COLUMN public.domains.wanted IS 'active: the percloud shall answer at it; gone: the row shall go.';

COMMENT ON COLUMN public.domains.observed IS 'pending: not proved yet; verified: proved and leads here, its certificate is awaited; active: serves, or leads to where the percloud answers; lost: proved once, and three daily looks in a row failed (where it leads here still, its certificate has come to its end, too), or somebody else has proved it.';

COMMENT ON COLUMN public.domains.report IS 'What the last look at DNS found, record by record.';

COMMENT ON COLUMN public.domains.claimed_at IS 'When it was claimed.';

COMMENT ON COLUMN public.domains.asked_at IS 'When its owner last did something about it, or an operator ended a pause; looks are frequent after that. Of a claim that waits for its proof, a month after it was made at the latest, unless it was paused.';

COMMENT ON COLUMN public.domains.check_at IS 'When DNS is to be looked at next.';

COMMENT ON COLUMN public.domains.checked_at IS 'When DNS was last looked at.';

COMMENT ON COLUMN public.domains.verified_at IS 'When it was proved.';

COMMENT ON COLUMN public.domains.good_at IS 'When DNS was last right.';

COMMENT ON COLUMN public.domains.misses IS 'Daily looks in a row that found it wrong; from the third on nothing is renewed for it.';

COMMENT ON COLUMN public.domains.missed_at IS 'When the last of them was.';

COMMENT ON COLUMN public.domains.due_at IS 'When the reconciler shall look at it next; none for never.';

COMMENT ON COLUMN public.domains.claimed_until IS 'Until when a worker has it (a lease: a dead worker lets go by itself).';

COMMENT ON COLUMN public.domains.claim IS 'A fencing number: a late worker cannot write.';

COMMENT ON COLUMN public.domains.tries IS 'Failures in a row.';

COMMENT ON COLUMN public.domains.last_error IS 'What went wrong last, for the operator; none after a success.';

COMMENT ON COLUMN public.domains.wish IS 'Counts wishes, so that a turn that ends does not put off one that came meanwhile.';

COMMENT ON COLUMN public.domains.trace_parent IS 'W3C trace context of the request that last wanted something.';

COMMENT ON COLUMN public.domains.challenge_seen_at IS 'When its challenge, this one or an earlier, was first seen in DNS: from then on it makes no room for other claims. None for never.';

COMMENT ON COLUMN public.domains.paused IS 'Left alone by an operator: DNS is not looked at and nothing is ordered for it; what serves goes on, until its certificate ends soon.';

COMMENT ON COLUMN public.domains.resumed_at IS 'When its last pause ended: what was missed before counts for nothing. None for never.';

COMMENT ON COLUMN public.domains.part IS 'main: the one that it answers at, or shall, when it has no other; next: shall take the place of main, which serves until then; former: gave way to main, and leads there.';

COMMENT ON COLUMN public.domains.leads_until IS 'When a former one is let go of at the latest; of one that is on its way back to be the one in use, when it would have been. None for the others.';

COMMENT ON COLUMN public.domains.slow IS 'Whether its last look at DNS took long: such ones have a share of the looks, and no more.';

COMMENT ON COLUMN public.domains.unheard_since IS 'Since when nobody has answered for it at any look, while others'' name servers did; none where somebody has, or where our own way to DNS may be what is silent.';

CREATE TABLE public.tenants (
    id text NOT NULL,
    account_id text NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    domain text NOT NULL COLLATE pg_catalog."C",
    wanted text DEFAULT 'running'::text NOT NULL,
    suspended_reason text,
    observed text DEFAULT 'absent'::text NOT NULL,
    spec_hash text,
    socket text,
    setup_sha256 text,
    confirm_sha256 text,
    confirmed_at timestamp with time zone,
    set_up_at timestamp with time zone,
    used_bytes bigint DEFAULT 0 NOT NULL,
    quota_bytes bigint NOT NULL,
    language text DEFAULT 'en'::text NOT NULL,
    delete_after timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    claimed_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    claim bigint DEFAULT 0 NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    last_error text,
    wish bigint DEFAULT 0 NOT NULL,
    trace_parent text,
    again_sha256 text,
    own_domain text,
    served_domain text,
    owner_key text,
    retry boolean DEFAULT false NOT NULL,
    full_told_at timestamp with time zone,
    former_domain text,
    CONSTRAINT tenants_again_sha256_check CHECK ((again_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT tenants_check CHECK (((wanted = 'suspended'::text) = (suspended_reason IS NOT NULL))),
    CONSTRAINT tenants_check1 CHECK (((observed = 'absent'::text) OR (socket IS NOT NULL))),
    CONSTRAINT tenants_confirm_sha256_check CHECK ((confirm_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT tenants_domain_check CHECK ((domain ~ '^[a-z0-9.-]{1,253}$'::text)),
    CONSTRAINT tenants_former_domain_check CHECK ((former_domain ~ '^[a-z0-9.-]{3,253}$'::text)),
    CONSTRAINT tenants_id_check CHECK ((id ~ '^t-[a-z2-7]{16}$'::text)),
    CONSTRAINT tenants_language_check CHECK ((language ~ '^[a-z]{2,3}$'::text)),
    CONSTRAINT tenants_observed_check CHECK ((observed = ANY (ARRAY['absent'::text, 'running'::text, 'suspended'::text, 'failing'::text]))),
    CONSTRAINT tenants_own_domain_check CHECK ((own_domain ~ '^[a-z0-9.-]{3,253}$'::text)),
    CONSTRAINT tenants_owner_key_check CHECK ((owner_key ~ '^[A-Za-z0-9_-]{43}$'::text)),
    CONSTRAINT tenants_quota_bytes_check CHECK ((quota_bytes > 0)),
    CONSTRAINT tenants_setup_sha256_check CHECK ((setup_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT tenants_suspended_reason_check CHECK (((octet_length(suspended_reason) >= 1) AND (octet_length(suspended_reason) <= 2000))),
    CONSTRAINT tenants_tries_check CHECK ((tries >= 0)),
    CONSTRAINT tenants_used_bytes_check CHECK ((used_bytes >= 0)),
    CONSTRAINT tenants_wanted_check CHECK ((wanted = ANY (ARRAY['running'::text, 'suspended'::text, 'deleted'::text])))
);

COMMENT ON TABLE public.tenants IS 'Perclouds: what is wanted (written by web and admin) and what is (written by the reconciler). A row goes when its percloud has gone.';

COMMENT ON COLUMN public.tenants.id IS 'Random: "t-" and 80 bits in base 32; never reused.';

COMMENT ON COLUMN public.tenants.account_id IS 'Whose contract it is.';

COMMENT ON COLUMN public.tenants.name IS 'The label below the base domain, in ASCII.';

COMMENT ON COLUMN public.tenants.domain IS 'The host name it answers at.';

COMMENT ON COLUMN public.tenants.wanted IS 'What the owner or the operator asked for. The reconciler reads it, and only turns it to deleted when the owner''s grace or an unconfirmed sign-up has run out.';

COMMENT ON COLUMN public.tenants.suspended_reason IS 'Why it is suspended, for the owner to read; there while wanted is suspended.';

COMMENT ON COLUMN public.tenants.observed IS 'What the host was last seen to have; absent also before the first look.';

COMMENT ON COLUMN public.tenants.spec_hash IS 'The hash of the spec that the host was last seen to have.';

COMMENT ON COLUMN public.tenants.socket IS 'Where the edge reaches it.';

COMMENT ON COLUMN public.tenants.setup_sha256 IS 'Hex SHA-256 of "setup:" and the token in the one-time set-up link. Kept after use: taking it out would restart a runtime for nothing.';

COMMENT ON COLUMN public.tenants.confirm_sha256 IS 'Hex SHA-256 of "confirm:" and the token in the mailed link; none when an operator made it.';

COMMENT ON COLUMN public.tenants.confirmed_at IS 'When the mailed link was used; never means that it lapses.';

COMMENT ON COLUMN public.tenants.set_up_at IS 'When its owner was first seen to have set it up.';

COMMENT ON COLUMN public.tenants.used_bytes IS 'Bytes in use, as the runtime last said.';

COMMENT ON COLUMN public.tenants.quota_bytes IS 'Bytes that it may hold.';

COMMENT ON COLUMN public.tenants.language IS 'The language of its first pages.';

COMMENT ON COLUMN public.tenants.delete_after IS 'The owner asked for deletion in the own Control panel; after this moment it is done.';

COMMENT ON COLUMN public.tenants.created_at IS 'When it was asked for.';

COMMENT ON COLUMN public.tenants.due_at IS 'When the reconciler shall look at it next; none for never.';

COMMENT ON COLUMN public.tenants.claimed_until IS 'Until when a worker has it (a lease: a dead worker lets go by itself).';

COMMENT ON COLUMN public.tenants.claim IS 'A fencing number: a late worker cannot write.';

COMMENT ON COLUMN public.tenants.tries IS 'Failures in a row.';

COMMENT ON COLUMN public.tenants.last_error IS 'What went wrong last, for the operator; none after a success.';

COMMENT ON COLUMN public.tenants.wish IS 'Counts wishes, so that a turn that ends does not put off one that came meanwhile.';

COMMENT ON COLUMN public.tenants.trace_parent IS 'W3C trace context of the request that last wanted something, so that one trace shows it through to the end.';

COMMENT ON COLUMN public.tenants.again_sha256 IS 'Hex SHA-256 of "again:" and a secret in the cookie of the browser that signed up: while nobody has confirmed, it may give another address.';

COMMENT ON COLUMN public.tenants.own_domain IS 'The own domain that it answers at, once that is proved and has a certificate; written by the domains'' reconciler. None: it answers at domain.';

COMMENT ON COLUMN public.tenants.served_domain IS 'The name in the spec that the host was last seen to have: no visitor is sent to a name that the runtime does not know yet.';

COMMENT ON COLUMN public.tenants.owner_key IS 'The public half (Ed25519, base64url) of the key with which the percloud vouches for its owner here; as its runtime last said, none before that.';

COMMENT ON COLUMN public.tenants.retry IS 'Its host shall try it at once, should it fail. Written with a wish; the reconciler takes it back once its host was told, or it does not fail.';

COMMENT ON COLUMN public.tenants.full_told_at IS 'When its owner was last told that it was put to sleep for filling the disk.';

COMMENT ON COLUMN public.tenants.former_domain IS 'The own domain that it answered at before own_domain, which its runtime answers to as well: the edge leads visitors there until it knows that the runtime knows the new one.';

CREATE VIEW public.edge_routes WITH (security_barrier='true') AS
 WITH perclouds AS NOT MATERIALIZED (
         SELECT tenants.id,
            tenants.domain,
            tenants.own_domain,
            tenants.served_domain,
            tenants.socket,
            tenants.quota_bytes,
                CASE
                    WHEN (tenants.observed = 'failing'::text) THEN 'failing'::text
                    WHEN ((tenants.observed = 'absent'::text) AND (tenants.tries >= 3)) THEN 'failing'::text
                    WHEN (tenants.observed = 'absent'::text) THEN 'preparing'::text
                    WHEN ((tenants.wanted = 'suspended'::text) OR (tenants.observed = 'suspended'::text)) THEN 'suspended'::text
                    ELSE 'running'::text
                END AS state,
                CASE
                    WHEN ((tenants.own_domain IS NULL) OR (tenants.served_domain IS NULL)) THEN tenants.domain
                    WHEN ((tenants.served_domain = tenants.own_domain) OR (tenants.served_domain = tenants.domain)) THEN tenants.served_domain
                    WHEN (EXISTS ( SELECT
                       FROM public.domains d
                      WHERE ((d.tenant_id = tenants.id) AND (d.observed = 'active'::text) AND ((tenants.served_domain = d.name) OR (tenants.served_domain = d.twin))))) THEN tenants.served_domain
                    ELSE tenants.own_domain
                END AS answers_at
           FROM public.tenants
          WHERE (tenants.wanted <> 'deleted'::text)
        )
 SELECT perclouds.domain AS host,
    perclouds.id AS tenant_id,
        CASE
            WHEN ((perclouds.state = 'running'::text) AND (perclouds.own_domain IS NULL) AND (COALESCE(perclouds.served_domain, perclouds.domain) <> perclouds.domain)) THEN 'preparing'::text
            ELSE perclouds.state
        END AS state,
    perclouds.socket,
    (NULLIF(perclouds.answers_at, perclouds.domain) COLLATE "default") AS redirect_to,
    perclouds.quota_bytes
   FROM perclouds
UNION ALL
 SELECT perclouds.own_domain AS host,
    perclouds.id AS tenant_id,
        CASE
            WHEN ((perclouds.state = 'running'::text) AND (perclouds.served_domain IS DISTINCT FROM perclouds.own_domain)) THEN 'preparing'::text
            ELSE perclouds.state
        END AS state,
    perclouds.socket,
    NULL::text AS redirect_to,
    perclouds.quota_bytes
   FROM perclouds
  WHERE (perclouds.own_domain IS NOT NULL)
UNION ALL
 SELECT d.twin AS host,
    t.id AS tenant_id,
    t.state,
    t.socket,
    (NULLIF(t.answers_at, d.twin) COLLATE "default") AS redirect_to,
    t.quota_bytes
   FROM (public.domains d
     JOIN perclouds t ON ((t.id = d.tenant_id)))
  WHERE ((d.observed = 'active'::text) AND (d.twin IS DISTINCT FROM t.own_domain) AND (d.twin IS NOT NULL) AND ((d.part <> 'main'::text) OR (t.own_domain IS NULL) OR (t.own_domain = d.name)))
UNION ALL
 SELECT d.name AS host,
    t.id AS tenant_id,
    t.state,
    t.socket,
    (NULLIF(t.answers_at, d.name) COLLATE "default") AS redirect_to,
    t.quota_bytes
   FROM (public.domains d
     JOIN perclouds t ON ((t.id = d.tenant_id)))
  WHERE ((d.observed = 'active'::text) AND (d.name IS DISTINCT FROM t.own_domain) AND ((d.part <> 'main'::text) OR (t.own_domain IS NULL) OR (t.own_domain = d.twin)));

COMMENT ON VIEW public.edge_routes IS 'What the edge may know of perclouds.';

COMMENT ON COLUMN public.edge_routes.host IS 'The host name in the request.';

COMMENT ON COLUMN public.edge_routes.tenant_id IS 'Whose it is.';

COMMENT ON COLUMN public.edge_routes.state IS 'running, suspended, preparing or failing.';

COMMENT ON COLUMN public.edge_routes.socket IS 'Where it listens; none while it is being prepared.';

COMMENT ON COLUMN public.edge_routes.redirect_to IS 'The name to go to instead, with the same path; none where the percloud answers at this one.';

COMMENT ON COLUMN public.edge_routes.quota_bytes IS 'Bytes that it may hold: no request''s body is larger.';

CREATE TABLE public.issuers (
    one boolean DEFAULT true NOT NULL,
    public text[] NOT NULL,
    own_domains boolean NOT NULL,
    own_root boolean NOT NULL,
    written_at timestamp with time zone NOT NULL,
    caa_names text[] DEFAULT '{}'::text[] NOT NULL,
    caa_accounts text[] DEFAULT '{}'::text[] NOT NULL,
    caa_methods text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT issuers_one_check CHECK (one)
);

COMMENT ON TABLE public.issuers IS 'Who issues certificates at this provider: one row, written by the reconciler when it starts, for those who tell people what to expect and know no CA themselves. No row before that.';

COMMENT ON COLUMN public.issuers.one IS 'There is one row at most.';

COMMENT ON COLUMN public.issuers.public IS 'The public CAs, in the order in which they are asked; none where there is only the local one.';

COMMENT ON COLUMN public.issuers.own_domains IS 'Whether any of them can issue for names that owners bring along.';

COMMENT ON COLUMN public.issuers.own_root IS 'Whether those are reached with a root of the operator''s own: most likely browsers must be told to trust what they issue, too.';

COMMENT ON COLUMN public.issuers.written_at IS 'When it was written.';

COMMENT ON COLUMN public.issuers.caa_names IS 'The domains by which those who issue for own domains know themselves in CAA records; none while that is not known of each of them.';

COMMENT ON COLUMN public.issuers.caa_accounts IS 'Our accounts there, as CAA records name them (RFC 8657); none before there are any.';

COMMENT ON COLUMN public.issuers.caa_methods IS 'The ways in which own domains are proved to them, as CAA records name them.';

CREATE TABLE public.mails (
    id bigint NOT NULL,
    tenant_id text,
    kind text NOT NULL,
    language text DEFAULT 'en'::text NOT NULL,
    recipient text,
    data jsonb,
    observed text DEFAULT 'queued'::text NOT NULL,
    subject text,
    text_body text,
    html_body text,
    queued_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    erase_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    claimed_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    claim bigint DEFAULT 0 NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    last_error text,
    trace_parent text,
    CONSTRAINT mails_check CHECK (((observed <> 'queued'::text) OR ((recipient IS NOT NULL) AND (data IS NOT NULL)))),
    CONSTRAINT mails_check1 CHECK (((observed <> 'sent'::text) OR ((data IS NULL) AND (text_body IS NULL) AND (html_body IS NULL)))),
    CONSTRAINT mails_kind_check CHECK ((kind ~ '^[a-z-]{1,40}$'::text)),
    CONSTRAINT mails_language_check CHECK ((language ~ '^[a-z]{2,3}$'::text)),
    CONSTRAINT mails_observed_check CHECK ((observed = ANY (ARRAY['queued'::text, 'sent'::text, 'spooled'::text, 'failed'::text]))),
    CONSTRAINT mails_tenant_id_check CHECK ((tenant_id ~ '^t-[a-z2-7]{16}$'::text)),
    CONSTRAINT mails_tries_check CHECK ((tries >= 0))
);

COMMENT ON TABLE public.mails IS 'Mails on their way out. What is in one is erased as soon as it is sent; the row itself goes when it is due.';

COMMENT ON COLUMN public.mails.id IS 'Counts up; the Message-ID is made of it, so that a mail sent twice is one mail.';

COMMENT ON COLUMN public.mails.tenant_id IS 'Which percloud it is about, if any; no foreign key, since the news of a deletion outlives the percloud.';

COMMENT ON COLUMN public.mails.kind IS 'Which template: confirm, set-up-link, suspended, deleted …';

COMMENT ON COLUMN public.mails.language IS 'The language to write it in.';

COMMENT ON COLUMN public.mails.recipient IS 'To whom; erased with the rest.';

COMMENT ON COLUMN public.mails.data IS 'What the template needs, secrets in links included; erased once sent or spooled.';

COMMENT ON COLUMN public.mails.observed IS 'queued, sent, spooled (no mail server: kept for the operator to read) or failed (needs a person).';

COMMENT ON COLUMN public.mails.subject IS 'The subject, once spooled.';

COMMENT ON COLUMN public.mails.text_body IS 'The text, once spooled.';

COMMENT ON COLUMN public.mails.html_body IS 'The HTML, once spooled.';

COMMENT ON COLUMN public.mails.queued_at IS 'When it was wanted.';

COMMENT ON COLUMN public.mails.sent_at IS 'When the mail server took it, or when it was spooled.';

COMMENT ON COLUMN public.mails.erase_at IS 'When the row goes, whatever became of it.';

COMMENT ON COLUMN public.mails.due_at IS 'When the reconciler shall look at it next, if only to erase it; none for never.';

COMMENT ON COLUMN public.mails.claimed_until IS 'Until when a worker has it.';

COMMENT ON COLUMN public.mails.claim IS 'A fencing number: a late worker cannot write.';

COMMENT ON COLUMN public.mails.tries IS 'Failures in a row.';

COMMENT ON COLUMN public.mails.last_error IS 'What went wrong last, for the operator; never an address.';

COMMENT ON COLUMN public.mails.trace_parent IS 'W3C trace context of the request that wanted it.';

ALTER TABLE public.mails ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.mails_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.names (
    name text NOT NULL COLLATE pg_catalog."C",
    skeleton text NOT NULL COLLATE pg_catalog."C",
    tenant_id text NOT NULL,
    taken_at timestamp with time zone NOT NULL,
    quarantined_at timestamp with time zone,
    CONSTRAINT names_name_check CHECK ((name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'::text)),
    CONSTRAINT names_tenant_id_check CHECK ((tenant_id ~ '^t-[a-z2-7]{16}$'::text))
);

COMMENT ON TABLE public.names IS 'Every name ever handed out below the base domain. A name that was in use is never handed out again: links, followers and mails of its owner must not reach a stranger.';

COMMENT ON COLUMN public.names.name IS 'The label in ASCII (an A-label for IDN).';

COMMENT ON COLUMN public.names.skeleton IS 'What the name looks like (UTS #39); unique, so that no two names can be taken for each other.';

COMMENT ON COLUMN public.names.tenant_id IS 'Who has or had it; no foreign key, since the percloud''s row goes and this one stays.';

COMMENT ON COLUMN public.names.taken_at IS 'When it was handed out.';

COMMENT ON COLUMN public.names.quarantined_at IS 'When its percloud was deleted; nobody gets it again.';

CREATE TABLE public.owner_links (
    sha256 text NOT NULL,
    tenant_id text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT owner_links_check CHECK ((expires_at > created_at)),
    CONSTRAINT owner_links_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text))
);

COMMENT ON TABLE public.owner_links IS 'Links mailed to owners who cannot get into their percloud: each opens the portal once.';

COMMENT ON COLUMN public.owner_links.sha256 IS 'Hex SHA-256 of "owner-link:" and the token in the link (256 random bits, so a plain hash does).';

COMMENT ON COLUMN public.owner_links.tenant_id IS 'Whose owner it was mailed to.';

COMMENT ON COLUMN public.owner_links.created_at IS 'When it was asked for.';

COMMENT ON COLUMN public.owner_links.expires_at IS 'When it ends by itself.';

COMMENT ON COLUMN public.owner_links.used_at IS 'When it was used; once only.';

CREATE TABLE public.owner_sessions (
    sha256 text NOT NULL,
    tenant_id text NOT NULL,
    via text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT owner_sessions_check CHECK ((expires_at > created_at)),
    CONSTRAINT owner_sessions_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT owner_sessions_via_check CHECK ((via = ANY (ARRAY['ticket'::text, 'mail'::text])))
);

COMMENT ON TABLE public.owner_sessions IS 'Browsers in which an owner is signed in at the portal, for one percloud each. Rows stay a day after their end, so that the page can say where to come in again.';

COMMENT ON COLUMN public.owner_sessions.sha256 IS 'Hex SHA-256 of "owner-session:" and the cookie''s value (256 random bits, so a plain hash does).';

COMMENT ON COLUMN public.owner_sessions.tenant_id IS 'Whose owner it is.';

COMMENT ON COLUMN public.owner_sessions.via IS 'How they came: with a ticket of the percloud, or by a mailed link.';

COMMENT ON COLUMN public.owner_sessions.created_at IS 'When it began.';

COMMENT ON COLUMN public.owner_sessions.expires_at IS 'When it ends by itself; use does not prolong it.';

COMMENT ON COLUMN public.owner_sessions.ended_at IS 'When the owner signed out.';

CREATE TABLE public.owner_tickets (
    sha256 text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT owner_tickets_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text))
);

COMMENT ON TABLE public.owner_tickets IS 'Tickets that were taken, so that none is taken twice. A row goes some time after its ticket has ended.';

COMMENT ON COLUMN public.owner_tickets.sha256 IS 'Hex SHA-256 of "owner-ticket:", the percloud''s id, ":" and the ticket''s nonce.';

COMMENT ON COLUMN public.owner_tickets.expires_at IS 'When the ticket ends by itself.';

CREATE TABLE public.reconcilers (
    noun text NOT NULL,
    turned_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    last_error text,
    CONSTRAINT reconcilers_outcome_check CHECK ((outcome = ANY (ARRAY['ok'::text, 'later'::text, 'stuck'::text, 'idle'::text])))
);

COMMENT ON TABLE public.reconcilers IS 'When each reconciler last turned and how it went; percloud doctor reads it.';

COMMENT ON COLUMN public.reconcilers.noun IS 'What it reconciles: tenants, mails, certificates.';

COMMENT ON COLUMN public.reconcilers.turned_at IS 'When it last turned, or looked and found nothing to do.';

COMMENT ON COLUMN public.reconcilers.outcome IS 'How the last turn ended.';

COMMENT ON COLUMN public.reconcilers.last_error IS 'What the last turn that failed said; none after a success.';

CREATE VIEW public.spooled_mails WITH (security_barrier='true') AS
 SELECT mails.id,
    mails.kind,
    mails.language,
    mails.recipient,
    mails.subject,
    mails.text_body,
    mails.html_body,
    mails.sent_at
   FROM public.mails
  WHERE (mails.observed = 'spooled'::text);

COMMENT ON VIEW public.spooled_mails IS 'Mails that nobody sends, since no mail server is configured: for admin and for the development page. Empty where a mail server is.';

COMMENT ON COLUMN public.spooled_mails.id IS 'As in mails.';

COMMENT ON COLUMN public.spooled_mails.kind IS 'As in mails.';

COMMENT ON COLUMN public.spooled_mails.language IS 'As in mails.';

COMMENT ON COLUMN public.spooled_mails.recipient IS 'As in mails.';

COMMENT ON COLUMN public.spooled_mails.subject IS 'As in mails.';

COMMENT ON COLUMN public.spooled_mails.text_body IS 'As in mails.';

COMMENT ON COLUMN public.spooled_mails.html_body IS 'As in mails.';

COMMENT ON COLUMN public.spooled_mails.sent_at IS 'As in mails.';

CREATE TABLE public.usage_days (
    tenant_id text NOT NULL,
    day date NOT NULL,
    cpu_micros bigint DEFAULT 0 NOT NULL,
    memory_byte_seconds bigint DEFAULT 0 NOT NULL,
    awake_seconds bigint DEFAULT 0 NOT NULL,
    wakes bigint DEFAULT 0 NOT NULL,
    storage_bytes bigint,
    requests bigint DEFAULT 0 NOT NULL,
    egress_bytes bigint DEFAULT 0 NOT NULL,
    throttled_micros bigint DEFAULT 0 NOT NULL,
    memory_limits bigint DEFAULT 0 NOT NULL,
    thread_limits bigint DEFAULT 0 NOT NULL,
    disk_limits bigint DEFAULT 0 NOT NULL,
    failures bigint DEFAULT 0 NOT NULL,
    refused bigint DEFAULT 0 NOT NULL,
    starts_in_vain bigint DEFAULT 0 NOT NULL,
    busy_micros bigint DEFAULT 0 NOT NULL,
    forbidden bigint DEFAULT 0 NOT NULL,
    crowded bigint DEFAULT 0 NOT NULL,
    confirmed boolean DEFAULT true NOT NULL,
    CONSTRAINT usage_days_awake_seconds_check CHECK ((awake_seconds >= 0)),
    CONSTRAINT usage_days_busy_micros_check CHECK ((busy_micros >= 0)),
    CONSTRAINT usage_days_cpu_micros_check CHECK ((cpu_micros >= 0)),
    CONSTRAINT usage_days_crowded_check CHECK ((crowded >= 0)),
    CONSTRAINT usage_days_disk_limits_check CHECK ((disk_limits >= 0)),
    CONSTRAINT usage_days_egress_bytes_check CHECK ((egress_bytes >= 0)),
    CONSTRAINT usage_days_failures_check CHECK ((failures >= 0)),
    CONSTRAINT usage_days_forbidden_check CHECK ((forbidden >= 0)),
    CONSTRAINT usage_days_memory_byte_seconds_check CHECK ((memory_byte_seconds >= 0)),
    CONSTRAINT usage_days_memory_limits_check CHECK ((memory_limits >= 0)),
    CONSTRAINT usage_days_refused_check CHECK ((refused >= 0)),
    CONSTRAINT usage_days_requests_check CHECK ((requests >= 0)),
    CONSTRAINT usage_days_starts_in_vain_check CHECK ((starts_in_vain >= 0)),
    CONSTRAINT usage_days_storage_bytes_check CHECK ((storage_bytes >= 0)),
    CONSTRAINT usage_days_tenant_id_check CHECK ((tenant_id ~ '^t-[a-z2-7]{16}$'::text)),
    CONSTRAINT usage_days_thread_limits_check CHECK ((thread_limits >= 0)),
    CONSTRAINT usage_days_throttled_micros_check CHECK ((throttled_micros >= 0)),
    CONSTRAINT usage_days_wakes_check CHECK ((wakes >= 0))
)
PARTITION BY RANGE (day);

COMMENT ON TABLE public.usage_days IS 'The hours of each day (UTC) added up, a row for every percloud that there was, asleep or not; a partition a year.';

COMMENT ON COLUMN public.usage_days.tenant_id IS 'Whose.';

COMMENT ON COLUMN public.usage_days.day IS 'Which day, in UTC.';

COMMENT ON COLUMN public.usage_days.cpu_micros IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.memory_byte_seconds IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.awake_seconds IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.wakes IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.storage_bytes IS 'Bytes on the disk as they were last seen on this day or before; none when nobody has looked yet.';

COMMENT ON COLUMN public.usage_days.requests IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.egress_bytes IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.throttled_micros IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.memory_limits IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.thread_limits IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.disk_limits IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.failures IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.refused IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.starts_in_vain IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.busy_micros IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.forbidden IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.crowded IS 'As in usage_hours, all day.';

COMMENT ON COLUMN public.usage_days.confirmed IS 'Whether the percloud''s sign-up was confirmed by then. Those that never were are no perclouds when it is asked what one costs.';

CREATE TABLE public.usage_hours (
    tenant_id text NOT NULL,
    hour timestamp with time zone NOT NULL,
    cpu_micros bigint DEFAULT 0 NOT NULL,
    memory_byte_seconds bigint DEFAULT 0 NOT NULL,
    awake_seconds bigint DEFAULT 0 NOT NULL,
    wakes bigint DEFAULT 0 NOT NULL,
    storage_bytes bigint,
    requests bigint DEFAULT 0 NOT NULL,
    egress_bytes bigint DEFAULT 0 NOT NULL,
    throttled_micros bigint DEFAULT 0 NOT NULL,
    memory_limits bigint DEFAULT 0 NOT NULL,
    thread_limits bigint DEFAULT 0 NOT NULL,
    disk_limits bigint DEFAULT 0 NOT NULL,
    failures bigint DEFAULT 0 NOT NULL,
    refused bigint DEFAULT 0 NOT NULL,
    starts_in_vain bigint DEFAULT 0 NOT NULL,
    busy_micros bigint DEFAULT 0 NOT NULL,
    forbidden bigint DEFAULT 0 NOT NULL,
    crowded bigint DEFAULT 0 NOT NULL,
    CONSTRAINT usage_hours_awake_seconds_check CHECK ((awake_seconds >= 0)),
    CONSTRAINT usage_hours_busy_micros_check CHECK ((busy_micros >= 0)),
    CONSTRAINT usage_hours_cpu_micros_check CHECK ((cpu_micros >= 0)),
    CONSTRAINT usage_hours_crowded_check CHECK ((crowded >= 0)),
    CONSTRAINT usage_hours_disk_limits_check CHECK ((disk_limits >= 0)),
    CONSTRAINT usage_hours_egress_bytes_check CHECK ((egress_bytes >= 0)),
    CONSTRAINT usage_hours_failures_check CHECK ((failures >= 0)),
    CONSTRAINT usage_hours_forbidden_check CHECK ((forbidden >= 0)),
    CONSTRAINT usage_hours_hour_check CHECK ((((EXTRACT(epoch FROM hour))::bigint % (3600)::bigint) = 0)),
    CONSTRAINT usage_hours_memory_byte_seconds_check CHECK ((memory_byte_seconds >= 0)),
    CONSTRAINT usage_hours_memory_limits_check CHECK ((memory_limits >= 0)),
    CONSTRAINT usage_hours_refused_check CHECK ((refused >= 0)),
    CONSTRAINT usage_hours_requests_check CHECK ((requests >= 0)),
    CONSTRAINT usage_hours_starts_in_vain_check CHECK ((starts_in_vain >= 0)),
    CONSTRAINT usage_hours_storage_bytes_check CHECK ((storage_bytes >= 0)),
    CONSTRAINT usage_hours_tenant_id_check CHECK ((tenant_id ~ '^t-[a-z2-7]{16}$'::text)),
    CONSTRAINT usage_hours_thread_limits_check CHECK ((thread_limits >= 0)),
    CONSTRAINT usage_hours_throttled_micros_check CHECK ((throttled_micros >= 0)),
    CONSTRAINT usage_hours_wakes_check CHECK ((wakes >= 0))
)
PARTITION BY RANGE (hour);

COMMENT ON TABLE public.usage_hours IS 'What each percloud used in each hour in which it used anything; a partition a month, made and dropped by usage_partitions. No foreign key: what a month cost must still add up when a percloud has gone.';

COMMENT ON COLUMN public.usage_hours.tenant_id IS 'Whose.';

COMMENT ON COLUMN public.usage_hours.hour IS 'When the hour began.';

COMMENT ON COLUMN public.usage_hours.cpu_micros IS 'Microseconds of processor time.';

COMMENT ON COLUMN public.usage_hours.memory_byte_seconds IS 'Memory in use times the time it was in use.';

COMMENT ON COLUMN public.usage_hours.awake_seconds IS 'Seconds awake.';

COMMENT ON COLUMN public.usage_hours.wakes IS 'Starts of its runtime.';

COMMENT ON COLUMN public.usage_hours.storage_bytes IS 'Bytes on the disk as they were last seen in this hour; none when they did not change.';

COMMENT ON COLUMN public.usage_hours.requests IS 'Requests that visitors made at the edge.';

COMMENT ON COLUMN public.usage_hours.egress_bytes IS 'Bytes of bodies that went out: to visitors through the edge, to others through the egress proxy.';

COMMENT ON COLUMN public.usage_hours.throttled_micros IS 'Microseconds that it was held back for wanting more than its processor share.';

COMMENT ON COLUMN public.usage_hours.memory_limits IS 'How often it was ended for memory.';

COMMENT ON COLUMN public.usage_hours.thread_limits IS 'How often it was refused a thread.';

COMMENT ON COLUMN public.usage_hours.disk_limits IS 'How often it was found with more on the disk than it may hold.';

COMMENT ON COLUMN public.usage_hours.failures IS 'How often its runtime failed.';

COMMENT ON COLUMN public.usage_hours.refused IS 'Requests, of its visitors or its own, that were refused for being too many, too large or too slow, or made no sense.';

COMMENT ON COLUMN public.usage_hours.starts_in_vain IS 'How often it was started in vain once too often: it left at once, or while the connection that it was started for still waited.';

COMMENT ON COLUMN public.usage_hours.busy_micros IS 'Microseconds for which it kept processors busy beyond its share, for which it was in the slow lane.';

COMMENT ON COLUMN public.usage_hours.forbidden IS 'Connections of its own that a rule of the way out refused: to what is not public, or to a port or host that the provider does not allow.';

COMMENT ON COLUMN public.usage_hours.crowded IS 'Handshakes of its visitors that came faster than one percloud''s share: they waited for others, or were sent away.';

CREATE TABLE public.usage_marks (
    tenant_id text NOT NULL,
    epoch text NOT NULL,
    cpu_micros bigint NOT NULL,
    memory_byte_seconds bigint NOT NULL,
    awake_seconds bigint NOT NULL,
    wakes bigint NOT NULL,
    throttled_micros bigint NOT NULL,
    memory_limits bigint NOT NULL,
    thread_limits bigint NOT NULL,
    disk_limits bigint NOT NULL,
    failures bigint NOT NULL,
    storage_bytes bigint NOT NULL,
    starts_in_vain bigint DEFAULT 0 NOT NULL,
    busy_micros bigint DEFAULT 0 NOT NULL,
    CONSTRAINT usage_marks_awake_seconds_check CHECK ((awake_seconds >= 0)),
    CONSTRAINT usage_marks_busy_micros_check CHECK ((busy_micros >= 0)),
    CONSTRAINT usage_marks_cpu_micros_check CHECK ((cpu_micros >= 0)),
    CONSTRAINT usage_marks_disk_limits_check CHECK ((disk_limits >= 0)),
    CONSTRAINT usage_marks_failures_check CHECK ((failures >= 0)),
    CONSTRAINT usage_marks_memory_byte_seconds_check CHECK ((memory_byte_seconds >= 0)),
    CONSTRAINT usage_marks_memory_limits_check CHECK ((memory_limits >= 0)),
    CONSTRAINT usage_marks_starts_in_vain_check CHECK ((starts_in_vain >= 0)),
    CONSTRAINT usage_marks_storage_bytes_check CHECK ((storage_bytes >= 0)),
    CONSTRAINT usage_marks_tenant_id_check CHECK ((tenant_id ~ '^t-[a-z2-7]{16}$'::text)),
    CONSTRAINT usage_marks_thread_limits_check CHECK ((thread_limits >= 0)),
    CONSTRAINT usage_marks_throttled_micros_check CHECK ((throttled_micros >= 0)),
    CONSTRAINT usage_marks_wakes_check CHECK ((wakes >= 0))
);

COMMENT ON TABLE public.usage_marks IS 'How far the host''s counters have been added to usage_hours; changed in the same transaction as the hours, so that nothing counts twice or never.';

COMMENT ON COLUMN public.usage_marks.tenant_id IS 'Whose.';

COMMENT ON COLUMN public.usage_marks.epoch IS 'The host''s epoch: in another one its counters have begun at nought again.';

COMMENT ON COLUMN public.usage_marks.cpu_micros IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.memory_byte_seconds IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.awake_seconds IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.wakes IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.throttled_micros IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.memory_limits IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.thread_limits IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.disk_limits IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.failures IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.storage_bytes IS 'Bytes on the disk as the host last said.';

COMMENT ON COLUMN public.usage_marks.starts_in_vain IS 'The counter as it was last added.';

COMMENT ON COLUMN public.usage_marks.busy_micros IS 'The counter as it was last added.';

CREATE TABLE public.usage_rolled (
    one boolean DEFAULT true NOT NULL,
    hour timestamp with time zone NOT NULL,
    steady_since timestamp with time zone,
    CONSTRAINT usage_rolled_one_check CHECK (one)
);

COMMENT ON TABLE public.usage_rolled IS 'How far hours have been added up to days: one row.';

COMMENT ON COLUMN public.usage_rolled.one IS 'There is one row only.';

COMMENT ON COLUMN public.usage_rolled.hour IS 'The hour in which that was last done.';

COMMENT ON COLUMN public.usage_rolled.steady_since IS 'The hour since when the clock goes steadily, neither backwards nor more than a day ahead at once: after a leap nothing is added up for an hour, and nothing dropped for two days. None before the first look.';

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_email_key_key UNIQUE (email_key);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.acme_accounts
    ADD CONSTRAINT acme_accounts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.acme_attempts
    ADD CONSTRAINT acme_attempts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.acme_challenges
    ADD CONSTRAINT acme_challenges_pkey PRIMARY KEY (kind, token);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_sha256_key UNIQUE (sha256);

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT certificates_names_key UNIQUE (names);

ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT certificates_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.cost_prices
    ADD CONSTRAINT cost_prices_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.domain_targets
    ADD CONSTRAINT domain_targets_pkey PRIMARY KEY (target);

ALTER TABLE ONLY public.domains
    ADD CONSTRAINT domains_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.domains
    ADD CONSTRAINT domains_target_key UNIQUE (target);

ALTER TABLE ONLY public.issuers
    ADD CONSTRAINT issuers_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.mails
    ADD CONSTRAINT mails_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.names
    ADD CONSTRAINT names_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.names
    ADD CONSTRAINT names_skeleton_key UNIQUE (skeleton);

ALTER TABLE ONLY public.owner_links
    ADD CONSTRAINT owner_links_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY public.owner_sessions
    ADD CONSTRAINT owner_sessions_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY public.owner_tickets
    ADD CONSTRAINT owner_tickets_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY public.reconcilers
    ADD CONSTRAINT reconcilers_pkey PRIMARY KEY (noun);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_confirm_sha256_key UNIQUE (confirm_sha256);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_domain_key UNIQUE (domain);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_name_key UNIQUE (name);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_own_domain_key UNIQUE (own_domain);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.usage_days
    ADD CONSTRAINT usage_days_pkey PRIMARY KEY (tenant_id, day);

ALTER TABLE ONLY public.usage_hours
    ADD CONSTRAINT usage_hours_pkey PRIMARY KEY (tenant_id, hour);

ALTER TABLE ONLY public.usage_marks
    ADD CONSTRAINT usage_marks_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.usage_rolled
    ADD CONSTRAINT usage_rolled_pkey PRIMARY KEY (one);

CREATE INDEX acme_attempts_account ON public.acme_attempts USING btree (account, at DESC);

CREATE INDEX acme_attempts_at ON public.acme_attempts USING btree (at);

CREATE INDEX acme_attempts_names ON public.acme_attempts USING gin (names);

CREATE INDEX acme_attempts_registered ON public.acme_attempts USING gin (registered);

CREATE INDEX acme_attempts_tenant ON public.acme_attempts USING btree (tenant_id, at) WHERE (NOT serving);

CREATE INDEX acme_challenges_expires ON public.acme_challenges USING btree (expires_at);

CREATE INDEX acme_challenges_name ON public.acme_challenges USING btree (name);

CREATE INDEX audit_tenant ON public.audit USING btree (tenant_id, id);

CREATE INDEX certificates_claimed ON public.certificates USING btree (claimed_until) WHERE (claimed_until > '-infinity'::timestamp with time zone);

CREATE INDEX certificates_due ON public.certificates USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX certificates_failing ON public.certificates USING btree (failing_since) WHERE (failing_since IS NOT NULL);

CREATE INDEX certificates_names ON public.certificates USING gin (names);

CREATE INDEX certificates_tenant ON public.certificates USING btree (tenant_id) WHERE (tenant_id IS NOT NULL);

CREATE INDEX domains_base ON public.domains USING btree (base);

CREATE INDEX domains_claimed ON public.domains USING btree (claimed_until) WHERE (claimed_until > '-infinity'::timestamp with time zone);

CREATE INDEX domains_due ON public.domains USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX domains_good_at ON public.domains USING btree (good_at);

CREATE UNIQUE INDEX domains_held ON public.domains USING btree (base) WHERE (observed = ANY (ARRAY['verified'::text, 'active'::text]));

CREATE INDEX domains_name ON public.domains USING btree (name);

CREATE UNIQUE INDEX domains_of_tenant ON public.domains USING btree (tenant_id, part) WHERE ((wanted = 'active'::text) AND (part <> 'former'::text));

CREATE INDEX domains_tenant ON public.domains USING btree (tenant_id);

CREATE INDEX domains_twin ON public.domains USING btree (twin) WHERE (twin IS NOT NULL);

CREATE INDEX mails_due ON public.mails USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX owner_links_end ON public.owner_links USING btree (expires_at);

CREATE INDEX owner_links_tenant ON public.owner_links USING btree (tenant_id);

CREATE INDEX owner_sessions_end ON public.owner_sessions USING btree (expires_at);

CREATE INDEX owner_sessions_tenant ON public.owner_sessions USING btree (tenant_id);

CREATE INDEX owner_tickets_end ON public.owner_tickets USING btree (expires_at);

CREATE INDEX tenants_account ON public.tenants USING btree (account_id);

CREATE INDEX tenants_due ON public.tenants USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX tenants_stuck ON public.tenants USING btree (tries) WHERE (last_error IS NOT NULL);

CREATE INDEX usage_days_day ON ONLY public.usage_days USING brin (day) WITH (pages_per_range='16');

CREATE INDEX usage_hours_hour ON ONLY public.usage_hours USING brin (hour) WITH (pages_per_range='16');

CREATE TRIGGER certificates_awaited AFTER UPDATE ON public.certificates FOR EACH ROW WHEN (((new.observed = 'issued'::text) AND (cardinality(new.names) = 1) AND ((old.observed <> 'issued'::text) OR (new.not_after IS DISTINCT FROM old.not_after)))) EXECUTE FUNCTION public.certificates_awaited();

CREATE TRIGGER certificates_news_rows AFTER INSERT OR DELETE ON public.certificates FOR EACH ROW EXECUTE FUNCTION public.certificates_news();

CREATE TRIGGER certificates_news_update AFTER UPDATE ON public.certificates FOR EACH ROW WHEN ((((((new.wanted IS DISTINCT FROM old.wanted) OR (new.key_sealed IS DISTINCT FROM old.key_sealed)) OR (new.chain_pem IS DISTINCT FROM old.chain_pem)) OR (new.paused IS DISTINCT FROM old.paused)) OR (new.due_at < old.due_at) OR ((old.due_at IS NULL) AND (new.due_at IS NOT NULL)))) EXECUTE FUNCTION public.certificates_news();

CREATE TRIGGER domains_route_delete AFTER DELETE ON public.domains FOR EACH ROW EXECUTE FUNCTION public.domains_route();

CREATE TRIGGER domains_route_update AFTER UPDATE ON public.domains FOR EACH ROW WHEN (((((new.name IS DISTINCT FROM old.name) OR (new.twin IS DISTINCT FROM old.twin)) OR (new.observed IS DISTINCT FROM old.observed)) OR (new.part IS DISTINCT FROM old.part))) EXECUTE FUNCTION public.domains_route();

CREATE TRIGGER domains_wake_insert AFTER INSERT ON public.domains FOR EACH ROW EXECUTE FUNCTION public.domains_wake();

CREATE TRIGGER domains_wake_update AFTER UPDATE OF wanted, due_at ON public.domains FOR EACH ROW WHEN (((new.wanted IS DISTINCT FROM old.wanted) OR (new.due_at < old.due_at) OR ((old.due_at IS NULL) AND (new.due_at IS NOT NULL)))) EXECUTE FUNCTION public.domains_wake();

CREATE TRIGGER mails_wake_insert AFTER INSERT ON public.mails FOR EACH STATEMENT EXECUTE FUNCTION public.mails_wake();

CREATE TRIGGER mails_wake_update AFTER UPDATE OF due_at ON public.mails FOR EACH ROW WHEN (((new.due_at < old.due_at) OR ((old.due_at IS NULL) AND (new.due_at IS NOT NULL)))) EXECUTE FUNCTION public.mails_wake();

CREATE TRIGGER tenants_route_insert AFTER INSERT OR DELETE ON public.tenants FOR EACH ROW EXECUTE FUNCTION public.tenants_route();

CREATE TRIGGER tenants_route_update AFTER UPDATE ON public.tenants FOR EACH ROW WHEN (((((((((new.domain IS DISTINCT FROM old.domain) OR (new.own_domain IS DISTINCT FROM old.own_domain)) OR (new.served_domain IS DISTINCT FROM old.served_domain)) OR (new.wanted IS DISTINCT FROM old.wanted)) OR (new.observed IS DISTINCT FROM old.observed)) OR (new.socket IS DISTINCT FROM old.socket)) OR (new.quota_bytes IS DISTINCT FROM old.quota_bytes)) OR ((new.tries >= 3) IS DISTINCT FROM (old.tries >= 3)))) EXECUTE FUNCTION public.tenants_route();

CREATE TRIGGER tenants_wake_insert AFTER INSERT ON public.tenants FOR EACH ROW EXECUTE FUNCTION public.tenants_wake();

CREATE TRIGGER tenants_wake_update AFTER UPDATE OF wanted, due_at ON public.tenants FOR EACH ROW WHEN (((new.wanted IS DISTINCT FROM old.wanted) OR (new.due_at < old.due_at) OR ((old.due_at IS NULL) AND (new.due_at IS NOT NULL)))) EXECUTE FUNCTION public.tenants_wake();

ALTER TABLE ONLY public.domains
    ADD CONSTRAINT domains_target_fkey FOREIGN KEY (target) REFERENCES public.domain_targets(target);

ALTER TABLE ONLY public.domains
    ADD CONSTRAINT domains_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.owner_links
    ADD CONSTRAINT owner_links_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.owner_sessions
    ADD CONSTRAINT owner_sessions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_name_fkey FOREIGN KEY (name) REFERENCES public.names(name);
