//! Says in words what is wrong.
