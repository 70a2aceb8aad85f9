-- expand: when a CA wants to be asked again, orders that were cut off, TXT values that are to be taken away, and why a CA wants a renewal.

alter table acme_attempts
    add column again_at timestamptz,
    drop constraint acme_attempts_outcome_check,
    add constraint acme_attempts_outcome_check check (
        outcome in ('pending', 'issued', 'not-validated', 'refused', 'away', 'cut-off'));
comment on column acme_attempts.again_at is 'Before this the CA does not want to be asked for the same names again; none when it named no time.';
comment on column acme_attempts.outcome is 'pending (it runs), issued, not-validated (the name''s own failure), refused (before any validation), away (the CA''s), or cut-off (its worker died, or its turn took too long: nobody knows).';
comment on column acme_attempts.renewal is 'A renewal that names the certificate it replaces, inside its CA''s window, and was taken for one: CAs do not count it.';

alter table acme_challenges
    drop constraint acme_challenges_kind_check,
    add constraint acme_challenges_kind_check check (kind in ('http-01', 'tls-alpn-01', 'dns-01'));
comment on table acme_challenges is 'What the edge answers to a CA that comes to see whether a name leads here (RFC 8555, RFC 8737), and what was put into the DNS for that. There while an order runs.';
comment on column acme_challenges.kind is 'http-01 or tls-alpn-01, which the edge answers; dns-01 is a TXT value that is to be taken away.';
comment on column acme_challenges.expires_at is 'After this it is no longer answered, and taken away: its worker died. For dns-01, when it is tried next to take it away.';

alter table certificates add column ari_explanation text check (octet_length(ari_explanation) between 1 and 500);
comment on column certificates.ari_explanation is 'A page on which its CA says why it suggests that window; none when it names none.';
