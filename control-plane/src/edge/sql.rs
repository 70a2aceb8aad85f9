//! All that the edge reads; its user in the database may do nothing else.

crate::statements! {
    /// Every route.
    ROUTES = "select host, tenant_id, state, socket, redirect_to from edge_routes";
    /// One host's.
    ROUTE = "select host, tenant_id, state, socket, redirect_to from edge_routes where host = $1";
    /// Every certificate there is.
    CERTIFICATES = "select id, chain_pem, key_sealed from certificates where observed = 'issued' and wanted = 'issued'";
}
