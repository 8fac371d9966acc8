//! The configuration: LMCache's JSON and digest of it, in whole and in parts.

mod adapter_values;
mod adapters;
mod digest;
mod docs;
mod hostile;
mod l1_values;
mod python_json;
mod refusals;
mod secrets;
mod tagged;
mod warnings;
mod whole;
