//! The runtime from outside: its pages in-process, and the program itself with real sockets.

mod activated;
mod control;
mod gates;
mod home;
mod process;
mod set_up;
mod sign_in;
