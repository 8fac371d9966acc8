//! Whose behaviour counts where LMCache's is known to be a fault.

/// `--compat`: whether known faults of LMCache 0.5.6 are reproduced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// `lmcache`: as LMCache 0.5.6 in everything that a caller can see, its known faults included. What a
    /// replay compares with a recording needs that, so it is the default of the replay command.
    Lmcache,
    /// `native`: the better behaviour where there is one. The default of the library.
    #[default]
    Native,
}

impl Compat {
    /// All modes.
    pub const ALL: [Self; 2] = [Self::Lmcache, Self::Native];

    /// The name in flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lmcache => "lmcache",
            Self::Native => "native",
        }
    }
}
