//! The replay engine, against sources and targets made up for the purpose.

mod fakes;
mod outcomes;
mod pacing;
mod pairing;
