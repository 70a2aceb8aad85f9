//! Runs the whole provider on one machine.
