//! Whose behaviour is shown where LMCache's is a known defect.

use std::fmt;

use crate::error::{Error, Result};

/// `--compat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// `lmcache`: LMCache 0.5.6's, defects included, so that a replay tells what LMCache would have done. The default of
    /// the replay command.
    Lmcache,
    /// `native`: ours, which differs from LMCache's in its known defects only. The default of the library.
    #[default]
    Native,
}

impl Compat {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Lmcache, Self::Native];

    /// The name in flags and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lmcache => "lmcache",
            Self::Native => "native",
        }
    }

    /// The behaviour of that name.
    ///
    /// # Errors
    /// If there is none; the message lists both.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|compat| compat.name() == name).ok_or_else(|| {
            Error::invalid("unknown compatibility mode")
                .with_context("compat", name)
                .with_hint("the modes are lmcache and native")
        })
    }
}

impl fmt::Display for Compat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_others_are_refused() {
        for compat in Compat::ALL {
            assert_eq!(Compat::from_name(compat.name()).unwrap(), compat);
        }
        let error = Compat::from_name("LMCache").unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("lmcache and native")), "{error}");
    }
}
