//! What the reader of a kind of adapter is handed.

use super::L2AdapterConfig;
use crate::error::Result;
use crate::storage::config::fields::Fields;

/// Where values come from that an object leaves out: the environment of the process, or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One object, with what its reader needs to know beside it.
#[derive(Clone, Copy)]
pub(super) struct Spec<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) environment: Environment<'a>,
    /// How many adapters are wrapped around this one.
    pub(super) depth: usize,
    /// Reads the adapter inside of one that wraps another.
    pub(super) read_inner: fn(Spec<'_>) -> Result<L2AdapterConfig>,
}

impl Spec<'_> {
    /// A text, or the environment's variable where it is missing or empty, or nothing.
    pub(super) fn text_or_variable(self, name: &str, variable: &str) -> Result<String> {
        match self.fields.text(name, "")? {
            "" => Ok((self.environment)(variable).unwrap_or_default()),
            text => Ok(text.to_owned()),
        }
    }
}
