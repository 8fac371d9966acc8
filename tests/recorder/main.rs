//! The recorder: what is recorded is in the file, and what is not is counted.

mod calls;
mod capture;
mod closing;
mod crash;
mod limits;
mod misuse;
mod support;
