//! Ctrl-C, and what else asks a process to end: the first one ends the work and reports what there is, the second one
//! ends the process.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::exit::EXIT_INTERRUPTED;
use crate::error::{Error, Result};
use crate::os;
use crate::replay::StopFlag;

/// Sets `stop` on the first SIGINT, SIGTERM or SIGHUP; exits on the next of the first two.
///
/// A terminal that is closed sends SIGHUP more than once (the kernel does, and the shell), so another one must not cut
/// off the report that the first one asked for. Who starts us with `nohup` wants us to go on.
pub(super) fn stop_on_interrupt(stop: &StopFlag) -> Result<()> {
    let refused = |error| Error::io("cannot handle Ctrl-C", error);
    for signal in [SIGINT, SIGTERM] {
        // Registered first, so that it runs first: on the first signal it finds the flag unset.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(EXIT_INTERRUPTED), stop.shared())
            .and_then(|_| signal_hook::flag::register(signal, stop.shared()))
            .map_err(refused)?;
    }
    if !os::signal::is_ignored(SIGHUP) {
        signal_hook::flag::register(SIGHUP, stop.shared()).map_err(refused)?;
    }
    Ok(())
}
