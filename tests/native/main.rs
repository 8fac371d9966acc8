//! The native trace file: what is pushed is read back, and nothing that is damaged is believed.

mod damage;
mod follow;
mod forged;
mod golden;
mod power_cut;
mod repaired;
mod round_trip;
mod support;
mod verified;
mod written_over;
