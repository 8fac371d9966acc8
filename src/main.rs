//! `lmcache-trace`: the command line of the trace engine. All of it is in [`lmcache::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lmcache::cli::main()
}
