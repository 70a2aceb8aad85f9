//! Runs the whole provider on one machine: a private Postgres and one supervised process per role.

pub mod cluster;
