//! Makes what is wanted of a percloud true.
