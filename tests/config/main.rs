//! The configuration: LMCache's JSON and digest of it, and its tagged form.

mod digest;
mod python_json;
mod tagged;
