//! The loop that makes what is wanted true, once for all nouns.
