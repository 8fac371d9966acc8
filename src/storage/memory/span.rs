//! Where an object lies.

/// Where an object lies in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Bytes from the start of the arena: LMCache's `meta.address`.
    pub offset_bytes: u64,
    /// What the object takes up: its size rounded up to the alignment.
    pub phy_size_bytes: u64,
    /// What its layout asks for.
    pub size_bytes: u64,
}
