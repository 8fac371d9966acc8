//! The adapters of L2: each against the suite that all have to pass, and by itself.

mod conformance;
mod fault_inject;
mod mock;
mod support;
