//! One file a bench.

pub(crate) mod sign_up;
