//! One file a bench; what only one bench needs lies in a folder of its name.

pub(crate) mod density;
pub(crate) mod edge;
pub(crate) mod neighbours;
pub(crate) mod sign_up;
pub(crate) mod wake;
