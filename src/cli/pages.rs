//! What ships beside the program: completion scripts and man pages, made from the same definition as the help.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::exit::Finding;
use super::output::print;
use crate::error::{Error, Result};

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lmcache-trace completions bash > /etc/bash_completion.d/lmcache-trace")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self, mut program: Command) -> Result<Finding> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "lmcache-trace", &mut script);
        print(&String::from_utf8_lossy(&script)).map(|()| Finding::None)
    }
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  lmcache-trace man | man -l -\n  lmcache-trace man --output-dir /usr/local/share/man/man1"
)]
pub(crate) struct ManArgs {
    /// Write one page per verb into DIR instead of printing the main page
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(self, program: Command) -> Result<Finding> {
        match self.output_dir {
            None => print_main_page(program)?,
            Some(folder) => clap_mangen::generate_to(program, &folder).map_err(|error| {
                Error::io("cannot write the man pages", error).with_context("path", folder.display())
            })?,
        }
        Ok(Finding::None)
    }
}

fn print_main_page(program: Command) -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(program)
        .render(&mut page)
        .map_err(|error| Error::io("cannot render the man page", error))?;
    print(&String::from_utf8_lossy(&page))
}
