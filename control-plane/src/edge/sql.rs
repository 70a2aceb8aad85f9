//! All that the edge reads; its user in the database may do nothing else.

/// The columns of a route.
macro_rules! route {
    () => {
        "select host, tenant_id, state, socket, redirect_to, quota_bytes from edge_routes"
    };
}

/// What is known of a certificate before it is loaded. The version is a part of the nonce that its key was sealed with: another one each time.
macro_rules! certificate {
    () => {
        "select id, names, not_after, issuer is distinct from 'local' as public, substring(key_sealed from 10 for 8) as version
        from certificates where observed = 'issued' and wanted = 'issued'"
    };
}

crate::statements! {
    /// Every route.
    ROUTES = route!();
    /// Some hosts'.
    ROUTES_OF = concat!(route!(), " where host = any($1)");
    /// Every certificate there is.
    CERTIFICATES = certificate!();
    /// Some of them, by id.
    CERTIFICATES_OF = concat!(certificate!(), " and id = any($1)");
    /// One, with what it takes to show it.
    CERTIFICATE = "select chain_pem, key_sealed from certificates where id = $1 and observed = 'issued' and wanted = 'issued'";
    /// Some of them, with what it takes to show them.
    CERTIFICATES_TO_KEEP = "select id, chain_pem, key_sealed from certificates
        where id = any($1) and observed = 'issued' and wanted = 'issued'";
    /// Every challenge that is open; more than a provider has at a time by far.
    CHALLENGES = "select kind, token, name, key_authorization from acme_challenges
        where kind in ('http-01', 'tls-alpn-01') order by expires_at desc limit 10000";
}
