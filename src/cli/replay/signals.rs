//! Ctrl-C: the first one ends the replay and reports what there is, the second one ends the process.

use crate::error::{Error, Result};
use crate::replay::StopFlag;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::exit::EXIT_INTERRUPTED;

/// Sets `stop` on the first SIGINT or SIGTERM; exits on the next.
pub(super) fn stop_on_interrupt(stop: &StopFlag) -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // Registered first, so that it runs first: on the first signal it finds the flag unset.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(EXIT_INTERRUPTED), stop.shared())
            .and_then(|_| signal_hook::flag::register(signal, stop.shared()))
            .map_err(|error| Error::io("cannot handle Ctrl-C", error))?;
    }
    Ok(())
}
