//! What a conversion read, and what it could not carry over.

/// The counts of a conversion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// Calls of the six operations.
    pub calls: u64,
    /// Records of LMCache that are kept as they stand in its file.
    pub foreign_calls: u64,
    /// Frames of LMCache's file that are no record; kept as well.
    pub undecodable: u64,
    /// Bytes of a frame that is cut short at the end; kept as well.
    pub cut_bytes: u64,
    /// Calls that a host defined.
    pub host_calls: u64,
    /// Completions.
    pub completions: u64,
    /// Loss records.
    pub losses: u64,
    /// Calls that they count.
    pub lost_calls: u64,
    /// Distinct keys, if they were counted.
    pub distinct_keys: Option<u64>,
    /// Length of the input.
    pub bytes_in: u64,
    /// Length of the output.
    pub bytes_out: u64,
    /// Whether a native input has no end mark.
    pub is_unfinished: bool,
    /// Chunks that are damaged, some or all of their records with them.
    pub damaged_chunks: u64,
    /// Bytes where chunks should be and are not.
    pub gap_bytes: u64,
    /// Records and chunks of kinds that this build does not know.
    pub unknown_records: u64,
    /// Calls left out because this build does not know an element type of their layout.
    pub unknown_layouts: u64,
    /// What the output has no words for, and how often that was met.
    pub not_expressed: NotExpressed,
}

/// What an LMCache file cannot say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotExpressed {
    /// Calls whose thread and sequence number are gone.
    pub threads: u64,
    /// Completions that were not written.
    pub completions: u64,
    /// Loss records that were not written.
    pub losses: u64,
    /// Keys whose salt was not written.
    pub salts: u64,
}

impl Conversion {
    /// Records of any kind that were read.
    pub fn records(&self) -> u64 {
        self.calls
            + self.foreign_calls
            + self.undecodable
            + self.host_calls
            + self.completions
            + self.losses
            + u64::from(self.cut_bytes > 0)
    }

    /// Whether some of the input could not be read, so that the output lacks it.
    pub fn is_damaged(&self) -> bool {
        self.damaged_chunks > 0 || self.gap_bytes > 0 || self.unknown_records > 0 || self.unknown_layouts > 0
    }

    /// Whether the input holds frames that are no records, was cut short, or was not closed.
    pub fn is_incomplete(&self) -> bool {
        self.is_damaged() || self.undecodable > 0 || self.cut_bytes > 0 || self.is_unfinished
    }
}
