//! The configuration: LMCache's JSON and digest of it, and its tagged form.

mod adapter_values;
mod digest;
mod l1_values;
mod python_json;
mod tagged;
mod whole;
