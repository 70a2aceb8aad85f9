//! Stories against real parts: Postgres, sockets, SMTP. What must be played is played by one named fake ([`control_plane::hosts`] has the
//! simulated host). One binary, so that it links once.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where it stands")]

mod postgres;
mod sql;
