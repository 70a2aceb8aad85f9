//! Accounts at this provider: who asked for perclouds, by e-mail address.
