//! The real programs that certificates are tested against: [`Pebble`] and [`Acme2certifier`] are ACME authorities, [`Knot`] is an
//! authoritative DNS server. [`Between`] stands in front of a Pebble and plays what that lacks.
//!
//! Each instance is a process of its own on free loopback ports with a folder of its own; it dies when it is dropped, and
//! with the test that started it. Nothing sleeps a fixed time: who waits, waits for a condition and says what it waited for.
//! Only in tests: behind the feature `testing`.

mod acme2certifier;
mod between;
mod faults;
mod knot;
mod pebble;
mod process;

pub use acme2certifier::{Acme2certifier, Acme2certifierOptions, Ordered};
pub use between::{Between, Refusal, Suggestion};
pub use knot::{Knot, Tsig};
pub use pebble::{Pebble, PebbleOptions};
pub use process::{free_port, wait_for};
