//! Perclouds as the provider knows them: wanted and observed.
