//! `--l2-namespace`: what the L2 adapters of a replay find, and what stays of what they are given.

use clap::Args;
use clap::builder::TypedValueParser;

use super::names::named;
use crate::storage::l2::namespace::NamespaceMode;

/// The flag.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct NamespaceFlags {
    /// What L2 begins with. fresh: nothing; each adapter gets a place of its own (a folder in base_path, a prefix of the
    /// names in Redis or S3), which is removed at the end. fresh-kept: the same, and it stays. keep: what the adapters
    /// hold, as for a server; what is stored stays
    #[arg(long, help_heading = "L2", value_name = "MODE", default_value = "fresh", value_parser = mode_parser())]
    pub(crate) l2_namespace: NamespaceMode,
}

fn mode_parser() -> impl TypedValueParser<Value = NamespaceMode> {
    named(NamespaceMode::ALL, NamespaceMode::name)
}
