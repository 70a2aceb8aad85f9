//! The portal's forms: what they hold, and what is wrong with it, by field. What needs the database is asked later.

pub mod sign_up;
