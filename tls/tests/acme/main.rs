//! ACME against real programs: Pebble as the authority, Knot as the name server.

mod parts;
