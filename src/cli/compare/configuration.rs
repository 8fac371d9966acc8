//! `--a FLAGS` and `--b FLAGS`: the flags of a replay in one argument, quoted as a shell would have them.

use clap::Parser;

use crate::cli::exit::print_warning;
use crate::cli::replay::{PaceFlags, Pacing, PartFlags};
use crate::cli::storage_flags::{NamespaceFlags, StorageFlags};
use crate::error::{Error, Result};
use crate::replay::session::Part;
use crate::storage::l2::namespace::NamespaceMode;

/// What FLAGS can be: those flags of `replay` that say how the trace is played. What a replay writes is ours to choose.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, args_override_self = true)]
struct PlayedFlags {
    #[command(flatten)]
    pace: PaceFlags,
    #[command(flatten)]
    part: PartFlags,
    #[command(flatten)]
    storage: StorageFlags,
    #[command(flatten)]
    namespace: NamespaceFlags,
}

/// One of the two configurations.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    /// As they were given.
    pub(super) flags: String,
    /// One by one.
    pub(super) words: Vec<String>,
    /// How fast, in which order.
    pub(super) pacing: Pacing,
    /// Which part of the trace, and how often.
    pub(super) part: Part,
}

impl Configuration {
    /// Takes the value of `option` apart, and makes sure that a replay would take it.
    ///
    /// # Errors
    /// If a quote is open, a flag is not one of a replay's, or the flags contradict each other.
    pub(super) fn read(option: &'static str, flags: &str, is_quiet: bool) -> Result<Self> {
        Self::check(flags, is_quiet).map_err(|error| error.with_context("option", option))
    }

    fn check(flags: &str, is_quiet: bool) -> Result<Self> {
        let words = shell_words::split(flags).map_err(|_| {
            Error::invalid("a quote is not closed").with_hint(
                "FLAGS are one argument: --a '--l1-size-gb 4 --eviction-policy LRU'; quote JSON in it by \\\" or by '\\''",
            )
        })?;
        let played = PlayedFlags::try_parse_from(&words).map_err(not_of_a_replay)?;
        let config = played.storage.to_config()?;
        let pacing = played.pace.pacing(config.l1_managers.len())?;
        let part = played.part.part()?;
        let namespace = played.namespace.l2_namespace;
        namespace.check(&config)?;
        if !is_quiet {
            config.warnings().iter().for_each(|warning| print_warning(warning));
            if namespace == NamespaceMode::Keep && !config.l2_adapters.is_empty() {
                print_warning(
                    "under --l2-namespace keep each run finds in L2 what the runs before it stored",
                );
            }
        }
        Ok(Self { flags: flags.to_owned(), words, pacing, part })
    }
}

/// The pace and the part of a trace that flags name; nothing if they are none of this program, as those of a baseline may be.
pub(super) fn played_by(flags: &str) -> Option<(Pacing, Part)> {
    let words = shell_words::split(flags).ok()?;
    let played = PlayedFlags::try_parse_from(words).ok()?;
    let l1_managers = played.storage.to_config().ok()?.l1_managers.len();
    Some((played.pace.pacing(l1_managers).ok()?, played.part.part().ok()?))
}

/// The first line of what clap has to say.
fn not_of_a_replay(error: clap::Error) -> Error {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line).to_owned();
    Error::invalid(line).with_hint(
        "FLAGS are the flags of `lmcache-trace replay` that say how a trace is played; those that say what is written are not",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(flags: &str) -> String {
        Configuration::read("--a", flags, true).expect_err(flags).to_string()
    }

    #[test]
    fn flags_are_a_replays() {
        let quoted = r#"--l1-size-gb 1 --eviction-policy "LRU" --l2-adapter '{"type": "mock", "max_size_gb": 1, "mock_bandwidth_gb": 1}'"#;
        let read = Configuration::read("--a", quoted, true).unwrap();
        assert_eq!(read.words.len(), 6);
        assert_eq!(read.words[5], r#"{"type": "mock", "max_size_gb": 1, "mock_bandwidth_gb": 1}"#);
        assert!(
            Configuration::read("--b", "--l1-size-gb 1 --l1-size-gb 2 --eviction-policy LRU", true).is_ok()
        );
    }

    #[test]
    fn what_is_wrong_names_the_option() {
        for (flags, wanted) in [
            ("--l1-size-gb '1", "a quote is not closed (option --a)"),
            (
                "--l1-size-gb 1 --eviction-policy LRU --json",
                "unexpected argument '--json' found (option --a)",
            ),
            ("--l1-size-gb 1 --eviction-policy LRU --help", "unexpected argument '--help' found"),
            ("", "--l1-size-gb and --eviction-policy"),
            ("--l1-size-gb 1 --eviction-policy LRU --l2-adapter {}", "--l2-adapter #1"),
            ("server.lct --l1-size-gb 1 --eviction-policy LRU", "server.lct"),
        ] {
            let error = error(flags);
            assert!(error.contains(wanted), "{flags}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
