//! The edge as a whole: a real TLS client in front, sockets of made-up perclouds behind.
