//! Completion scripts, made from the same definition as the help.

use clap::{Args, Command};
use clap_complete::Shell;

use super::exit::Finding;
use super::output::print;
use super::program::NAME;
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  source <(lmcache-trace completions bash)     # for this shell alone
  lmcache-trace completions bash > /etc/bash_completion.d/lmcache-trace";

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self, mut program: Command) -> Result<Finding> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, NAME, &mut script);
        let script = String::from_utf8_lossy(&script);
        print(&if self.shell == Shell::Bash { mend_states(&script) } else { script.into_owned() })
            .map(|()| Finding::None)
    }
}

/// The script for bash with one spelling of each state. `clap_complete` 4.6 walks through the words by
/// `lmcache__trace__subcmd__replay` and then looks for `lmcache__subcmd__trace__subcmd__replay`, because it takes the
/// hyphen in the program's name for one between subcommands; so nothing was offered behind a verb.
fn mend_states(script: &str) -> String {
    script.replace(&NAME.replace('-', "__subcmd__"), &NAME.replace('-', "__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_one_name() {
        let script = "cmd=\"lmcache__trace__subcmd__man\"\nlmcache__subcmd__trace__subcmd__man)";
        assert_eq!(mend_states(script), "cmd=\"lmcache__trace__subcmd__man\"\nlmcache__trace__subcmd__man)");
        assert_eq!(mend_states(&mend_states(script)), mend_states(script));
    }
}
