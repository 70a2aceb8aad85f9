//! A bundle as the outside sees it: written, read back, read by foreign programs, and refused when hostile.

mod foreign;
mod hostile_bags;
mod hostile_zips;
mod large;
mod raw;
mod round_trip;
mod sample;
