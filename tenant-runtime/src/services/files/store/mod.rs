//! The tree in the database: looking ([`read`]), changing ([`mod@write`]), throwing away ([`trash`]), taking back ([`undo`]).

pub mod read;
pub mod trash;
pub mod undo;
pub mod write;

#[cfg(test)]
mod tests;
