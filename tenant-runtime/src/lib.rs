//! One percloud: one process, one folder of data. It runs under a provider and alone at home.

pub mod activity;
pub mod auth;
pub mod blobs;
pub mod cli;
pub mod control;
pub mod due;
pub mod exports;
pub mod home;
pub mod imports;
pub mod pages;
pub mod pulse;
pub mod quota;
pub mod router;
pub mod runtime;
pub mod serve;
pub mod services;
pub mod settings;
pub mod status;
pub mod store;
pub mod testing;
pub mod text;
pub mod today;
pub mod uploads;
pub mod web;
