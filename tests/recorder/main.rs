//! The recorder: what is recorded is in the file, and what is not is counted.

mod calls;
mod closing;
mod capture;
mod crash;
mod limits;
mod misuse;
mod support;
