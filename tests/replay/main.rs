//! The replay engine: against sources and targets made up for the purpose, against the storage manager with
//! real traces, and as the command that people type.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "cli")]
mod bounded;
#[cfg(feature = "cli")]
mod browser;
mod causal;
mod causal_made;
#[cfg(feature = "cli")]
mod command;
mod fakes;
#[cfg(feature = "cli")]
mod files;
mod inline;
#[cfg(feature = "cli")]
mod interrupted;
mod made;
mod misses;
#[cfg(feature = "cli")]
mod nodes;
#[cfg(feature = "cli")]
mod observability;
#[cfg(all(feature = "cli", feature = "otlp-collector"))]
mod otlp;
mod outcomes;
#[cfg(feature = "cli")]
mod paces;
mod pacing;
#[cfg(feature = "cli")]
mod page;
mod pairing;
#[cfg(feature = "cli")]
mod perfetto;
mod places;
#[cfg(feature = "cli")]
mod progress;
mod real_traces;
#[cfg(feature = "cli")]
mod recorded;
#[cfg(feature = "cli")]
mod reported;
mod several_l1s;
mod specs;
mod truth;
mod workers;
