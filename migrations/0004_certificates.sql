-- expand: certificates, wanted and observed, with sealed keys.

create table certificates (
    id text primary key check (id ~ '^c-[a-z2-7]{16}$'),
    names text[] not null unique check (cardinality(names) between 1 and 100),
    wanted text not null default 'issued' check (wanted in ('issued', 'gone')),
    observed text not null default 'absent' check (observed in ('absent', 'issued')),
    issuer text,
    chain_pem text,
    key_sealed bytea,
    not_before timestamptz,
    not_after timestamptz,
    created_at timestamptz not null,
    due_at timestamptz,
    claimed_until timestamptz not null default '-infinity',
    claim bigint not null default 0,
    tries integer not null default 0 check (tries >= 0),
    last_error text,
    trace_parent text,
    check (observed = 'absent' or (chain_pem is not null and key_sealed is not null and not_before is not null and not_after is not null))
);
comment on table certificates is 'One certificate for one set of names: what is wanted and what there is. The edge reads it; only the reconciler writes it.';
comment on column certificates.id is 'Random: "c-" and 80 bits in base 32; also what its sealed key is bound to.';
comment on column certificates.names is 'The DNS names it stands for; "*." in front of one stands for all directly below it.';
comment on column certificates.wanted is 'issued: there shall be a valid one; gone: the row shall go.';
comment on column certificates.observed is 'Whether there is one. It may have ended: see not_after.';
comment on column certificates.issuer is 'Who issued it, in our words: local for the local CA.';
comment on column certificates.chain_pem is 'The certificate and what leads to its root, leaf first.';
comment on column certificates.key_sealed is 'Its private key, sealed with XChaCha20-Poly1305 for the context "certificates/" and the id; the sealing key is not in the database.';
comment on column certificates.not_before is 'When it begins.';
comment on column certificates.not_after is 'When it ends; it is renewed when a third of its life is left.';
comment on column certificates.created_at is 'When it was first wanted.';
comment on column certificates.due_at is 'When the reconciler shall look at it next; none when it waits for a person.';
comment on column certificates.claimed_until is 'Until when a worker has it (a lease: a dead worker lets go by itself).';
comment on column certificates.claim is 'A fencing number: a late worker cannot write.';
comment on column certificates.tries is 'Failures in a row.';
comment on column certificates.last_error is 'What went wrong last, for the operator; none after a success.';
comment on column certificates.trace_parent is 'W3C trace context of the request that last wanted something.';
create index certificates_due on certificates (due_at) where due_at is not null;

-- One channel for both who care: the reconciler has something to do, or the edge has a new certificate to load.
create function certificates_news() returns trigger language plpgsql as $$
begin
    perform pg_notify('certificates', coalesce(new.id, old.id));
    return null;
end $$;
create trigger certificates_news_rows after insert or delete on certificates for each row execute function certificates_news();
create trigger certificates_news_update after update on certificates for each row
    when ((new.wanted, new.key_sealed, new.chain_pem) is distinct from (old.wanted, old.key_sealed, old.chain_pem)
        or new.due_at < old.due_at or (old.due_at is null and new.due_at is not null))
    execute function certificates_news();
