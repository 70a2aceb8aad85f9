//! What reconcilers know of public CAs together: accounts, attempts, challenges.

crate::statements! {
    /// An account, as far as there is one.
    ACCOUNT = "select credentials_sealed, away_until, away_because from acme_accounts where id = $1";
    /// The CA is used from now on.
    ENSURE_ACCOUNT = "insert into acme_accounts (id, directory, created_at) values ($1, $2, $3) on conflict (id) do nothing";
    /// Keeps the credentials, unless another reconciler has registered meanwhile ($3: those that are known to be useless).
    KEEP_CREDENTIALS = "update acme_accounts set credentials_sealed = $2
        where id = $1 and credentials_sealed is not distinct from $3::bytea";
    /// The CA did not answer as one should; after three times in a row nobody asks it for a while that doubles up to $4 seconds.
    AWAY = "update acme_accounts set
            failures = least(failures + 1, 1000),
            away_until = case when failures >= 2 then
                $2::timestamptz + interval '1 second' * least(60 * 2 ^ least(failures - 2, 20), $4::double precision) end,
            away_because = case when failures >= 2 then $3 end
        where id = $1
        returning away_until";
    /// It answered.
    WELL = "update acme_accounts set failures = 0, away_until = null, away_because = null where id = $1 and failures > 0";
    /// All accounts, for doctor and metrics.
    ACCOUNTS = "select id, away_until, away_because from acme_accounts order by id";

    /// Reconcilers count and reserve one after the other, whatever the account: some budgets are of all accounts.
    LOCK = "select pg_advisory_xact_lock(hashtextextended('acme_attempts', 0))";
    /// The order that is the ($4 + 1)th youngest of an account's since $3, none when there are fewer; those in a CA's window are not counted.
    OF_ACCOUNT = "select at from acme_attempts where account = $1 and at > $2 and not renewal order by at desc offset $3 limit 1";
    /// The same of all accounts.
    IN_ALL = "select at from acme_attempts where at > $1 and not renewal order by at desc offset $2 limit 1";
    /// The same of an account's that failed.
    FAILED_OF_ACCOUNT = "select at from acme_attempts where account = $1 and at > $2 and outcome = 'not-validated'
        order by at desc offset $3 limit 1";
    /// The same of the failures of a name, whoever was asked.
    FAILURES = "select at from acme_attempts where names && $1 and at > $2 and outcome = 'not-validated' order by at desc offset $3 limit 1";
    /// The same of certificates below a registered domain.
    OF_REGISTERED = "select at from acme_attempts
        where account = $1 and registered && $2 and at > $3 and not renewal and outcome in ('pending', 'issued')
        order by at desc offset $4 limit 1";
    /// What was ordered by a clock that was far ahead was ordered just now, and would else count until it is that late; when a CA wanted to be
    /// asked again is not known any more.
    SET_RIGHT = "update acme_attempts set at = $1, again_at = null where at > $1::timestamptz + interval '1 hour'";
    /// When a CA wants to be asked again for exactly these names, after $3.
    AGAIN = "select max(again_at) from acme_attempts where account = $1 and names = $2 and again_at > $3";
    /// The same of certificates for exactly these names.
    SAME = "select at from acme_attempts where account = $1 and names = $2 and at > $3 and outcome in ('pending', 'issued')
        order by at desc offset $4 limit 1";
    /// The same of a percloud's orders that were no renewals of what serves, at all accounts.
    OF_PERCLOUD = "select at from acme_attempts where tenant_id = $1 and at > $2 and not serving order by at desc offset $3 limit 1";
    /// An order begins.
    ATTEMPT = "insert into acme_attempts (at, account, certificate_id, names, registered, renewal, tenant_id, serving)
        values ($1, $2, $3, $4, $5, $6, $7, $8) returning id";
    /// How it ended; with $3 it stays a renewal, if it began as one. Before $4 the CA does not want to be asked again.
    OUTCOME = "update acme_attempts set outcome = $2, renewal = renewal and $3, again_at = $4 where id = $1";
    /// Those that have run since before $1 run no more: nobody knows how they ended.
    CUT_OFF = "update acme_attempts set outcome = 'cut-off', renewal = false where outcome = 'pending' and at < $1";
    /// What nobody counts any more goes.
    FORGET_ATTEMPTS = "delete from acme_attempts where at < $1";
    /// How many orders each account has made since $1, which may be none.
    USED = "select a.id, count(o.at)
        from acme_accounts a left join acme_attempts o on o.account = a.id and o.at > $1 and not o.renewal
        group by a.id order by a.id";

    /// An answer for the edge to give; what an order that broke off has left of the same goes.
    PRESENT = "with left_over as (
            delete from acme_challenges where kind = $1 and name = $3 and certificate_id = $5 and token <> $2)
        insert into acme_challenges (kind, token, name, key_authorization, certificate_id, expires_at) values ($1, $2, $3, $4, $5, $6)
        on conflict (kind, token) do update set name = excluded.name, key_authorization = excluded.key_authorization,
            certificate_id = excluded.certificate_id, expires_at = excluded.expires_at";
    /// A TXT value is about to be put into the DNS: several stand at one name, and each must be taken away.
    NOTE_TXT = "insert into acme_challenges (kind, token, name, key_authorization, certificate_id, expires_at)
        values ('dns-01', $1, $2, $3, $4, $5)
        on conflict (kind, token) do update set expires_at = excluded.expires_at";
    /// TXT values that nobody has taken away.
    LEFT_TXT = "select token, name, key_authorization from acme_challenges where kind = 'dns-01' and expires_at < $1
        order by expires_at limit 20";
    /// One that could not be taken away is tried again then.
    LATER_TXT = "update acme_challenges set expires_at = $2 where kind = 'dns-01' and token = $1";
    /// It is no longer asked for, or has been taken away.
    WITHDRAW = "delete from acme_challenges where kind = $1 and token = $2";
    /// Their workers died. TXT values are taken away first, or forgotten after a week in which nobody has tried that.
    FORGET_CHALLENGES = "delete from acme_challenges
        where expires_at < $1 and (kind <> 'dns-01' or expires_at < $1::timestamptz - interval '7 days')";
}
