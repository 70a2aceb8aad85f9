//! The JSON API for programs of the operator: bearer tokens with scopes, errors as RFC 9457, described at `/api/openapi.json`.

pub(super) mod certificates;
pub(super) mod domains;
pub(super) mod mails;
pub(super) mod tenants;
pub(super) mod usage;
