//! `info --follow`: what is in a file while it is recorded, about once a second.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::live::{LiveState, Watch};
use super::{InfoFormat, live_screen};
use crate::cli::following::pause;
use crate::cli::long_work::LongWork;
use crate::cli::output::Sink;
use crate::clock::{NS_PER_S, monotonic_ns};
use crate::error::Result;
use crate::format::native::Header;
use crate::trace::follow::{Polled, TraceFollower};

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The recorder closed the file.
    Closed,
    /// Nobody reads what is printed.
    Abandoned,
    Interrupted,
}

/// Shows what is in the file until the recorder closes it, or somebody wants it to end.
pub(super) fn watch(file: &Path, mut follower: TraceFollower, format: Option<InfoFormat>) -> Result<Ended> {
    // Nobody knows how long the work is.
    let work = LongWork::begin(0)?;
    let (header, mut shown) = (follower.header().clone(), Display::open(format)?);
    let (mut watch, mut next_ns, mut is_caught_up) = (Watch::new(), 0, false);
    loop {
        if work.is_interrupted() {
            return Ok(Ended::Interrupted);
        }
        let has_met_all = match follower.poll()? {
            Polled::Closed => return Ok(Ended::Closed),
            Polled::Nothing => true,
            Polled::Records(records) => {
                watch.counts.add(&records);
                !records.is_chunk_sealed()
            }
        };
        is_caught_up |= has_met_all;
        let now_ns = monotonic_ns();
        let is_due = now_ns >= next_ns;
        // Most files are read by the first moment; of a long one it is shown how far that is.
        if is_due && (is_caught_up || next_ns > 0) {
            shown.show(file, &header, &watch.look(&follower, is_caught_up)?)?;
        }
        if is_due {
            next_ns = now_ns + NS_PER_S;
        }
        if shown.is_abandoned() {
            return Ok(Ended::Abandoned);
        }
        if has_met_all {
            pause(&work);
        }
    }
}

/// Where a moment is shown.
enum Display {
    Nowhere,
    /// On a terminal, always in the same place.
    Screen(ProgressBar),
    Lines(Sink, InfoFormat),
}

impl Display {
    /// Without a format nothing is shown.
    fn open(format: Option<InfoFormat>) -> Result<Self> {
        Ok(match format {
            None => Self::Nowhere,
            Some(InfoFormat::Terminal) if std::io::stdout().is_terminal() => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
                bar.set_style(
                    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                Self::Screen(bar)
            }
            Some(format) => Self::Lines(Sink::stdout(), format),
        })
    }

    fn show(&mut self, file: &Path, header: &Header, state: &LiveState<'_>) -> Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Screen(bar) => {
                bar.set_message(live_screen::screen(file, header, state));
                Ok(())
            }
            Self::Lines(sink, format) => {
                let line = match format {
                    InfoFormat::Terminal => live_screen::line(state),
                    InfoFormat::Json => live_screen::json(file, state),
                };
                sink.write(line.as_bytes())?;
                sink.flush()
            }
        }
    }

    fn is_abandoned(&mut self) -> bool {
        let Self::Lines(sink, _) = self else { return false };
        sink.look_for_reader();
        sink.is_abandoned()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Self::Screen(bar) = self {
            // The summary takes its place.
            bar.finish_and_clear();
        }
    }
}
