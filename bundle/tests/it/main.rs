//! A bundle as the outside sees it: written, read back, read by foreign programs, and refused when hostile.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect shall fail")]

mod foreign;
mod hostile_bags;
mod hostile_zips;
mod large;
mod raw;
mod round_trip;
mod sample;
