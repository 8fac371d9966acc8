//! The native trace file: what is pushed is read back, and nothing that is damaged is believed.

mod forged;
mod round_trip;
mod support;
