//! One percloud: one process, one folder of data. It runs under a provider and alone at home.

pub mod blobs;
pub mod exports;
pub mod imports;
pub mod runtime;
pub mod services;
pub mod store;
pub mod web;
