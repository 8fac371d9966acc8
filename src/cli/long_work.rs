//! Work that takes a while: how far it is, and whether it is to end.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::signals::stop_on_interrupt;
use crate::error::{Error, Result};
use crate::replay::StopFlag;

/// Inputs from this size on show how far the work is.
const PROGRESS_FROM_BYTES: u64 = 1 << 28;

/// Work over an input of known length. The first Ctrl-C ends it at its next step, the second one ends the process.
pub(super) struct LongWork {
    bar: ProgressBar,
    stop: StopFlag,
}

impl LongWork {
    /// Begins work over `size_bytes`.
    pub(super) fn begin(size_bytes: u64) -> Result<Self> {
        let stop = StopFlag::default();
        stop_on_interrupt(&stop)?;
        Ok(Self { bar: progress_bar(size_bytes), stop })
    }

    /// Shows that `done_bytes` are done.
    ///
    /// # Errors
    /// If somebody wants the work to end.
    pub(super) fn step(&self, done_bytes: u64) -> Result<()> {
        if self.is_interrupted() {
            return Err(Error::invalid("interrupted"));
        }
        self.bar.set_position(done_bytes);
        Ok(())
    }

    /// Whether somebody wants the work to end.
    pub(super) fn is_interrupted(&self) -> bool {
        self.stop.is_set()
    }
}

impl Drop for LongWork {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar on standard error if that is a terminal and the input is long.
fn progress_bar(size_bytes: u64) -> ProgressBar {
    if size_bytes < PROGRESS_FROM_BYTES || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(size_bytes).with_style(style)
}
