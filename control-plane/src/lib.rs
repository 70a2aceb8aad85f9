//! The control plane: what should be, and making it so.
pub mod accounts;
pub mod admin;
pub mod certificates;
pub mod config;
pub mod db;
pub mod doctor;
pub mod edge;
pub mod hosts;
pub mod mails;
pub mod privileges;
pub mod reconcile;
pub mod telemetry;
pub mod tenants;
pub mod up;
pub mod web;
