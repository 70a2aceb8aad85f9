//! Certificates by name: wanted and observed.
