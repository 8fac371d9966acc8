//! The storage manager.

pub mod config;
