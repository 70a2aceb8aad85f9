//! Certificates by name for edge and home: SNI resolver, local CA, sealing of keys.
