//! Flags of LMCache whose feature this build does not have: known, so that they are refused by name.

use clap::{ArgAction, Args};

use crate::error::{Error, Result};

/// Flags of LMCache whose feature this build does not have. Giving one is an error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Not in this build (refused by name)")]
pub(super) struct AbsentFlags {
    /// L1 in a Device-DAX
    #[arg(long, value_name = "PATH")]
    l1_devdax_path: Option<String>,
    /// L1 on an NVMe disk through GPUDirect Storage
    #[arg(long, value_name = "PATH")]
    gds_l1_path: Option<String>,
    /// How that disk is opened
    #[arg(long, action = ArgAction::Count, overrides_with = "no_gds_l1_use_direct_io")]
    gds_l1_use_direct_io: u8,
    #[arg(long, action = ArgAction::Count, overrides_with = "gds_l1_use_direct_io", hide = true)]
    no_gds_l1_use_direct_io: u8,
    /// The library that drives it
    #[arg(long, value_name = "BACKEND")]
    gds_l1_backend: Option<String>,
    /// Log of looked-up hashes
    #[arg(long, value_name = "DIR")]
    lookup_hash_log_dir: Option<String>,
    /// Its seconds per file
    #[arg(long, value_name = "SECONDS")]
    lookup_hash_log_rotation_interval: Option<String>,
    /// Its bytes per file
    #[arg(long, value_name = "BYTES")]
    lookup_hash_log_rotation_max_size: Option<String>,
    /// Its number of files
    #[arg(long, value_name = "N")]
    lookup_hash_log_max_files: Option<String>,
    /// Pauses of Python's garbage collector
    #[arg(long)]
    enable_gc_monitor: bool,
    /// From which length on they count
    #[arg(long, value_name = "MS")]
    gc_monitor_min_pause_ms: Option<String>,
    /// How many types are listed with them
    #[arg(long, value_name = "N")]
    gc_monitor_top_objects: Option<String>,
    /// Recording during the replay
    #[arg(long, value_name = "LEVEL")]
    trace_level: Option<String>,
    /// Where that recording goes
    #[arg(long, value_name = "PATH")]
    trace_output: Option<String>,
}

const NO_GDS: &str = "L1 on NVMe through GPUDirect Storage is not part of this build";
const NO_DEVDAX: &str = "L1 in a Device-DAX is not part of this build";
const NO_HASH_LOG: &str = "this build does not log looked-up hashes";
const NO_PYTHON: &str = "this program has no Python garbage collector";
const NO_RECORDING: &str = "a replay is recorded by --record OUT, not by this flag";

impl AbsentFlags {
    /// Every flag of this list: whether it was given, its name, and why it is refused.
    fn all(&self) -> [(bool, &'static str, &'static str); 14] {
        [
            (self.l1_devdax_path.is_some(), "--l1-devdax-path", NO_DEVDAX),
            (self.gds_l1_path.is_some(), "--gds-l1-path", NO_GDS),
            (self.gds_l1_use_direct_io > 0, "--gds-l1-use-direct-io", NO_GDS),
            (self.no_gds_l1_use_direct_io > 0, "--no-gds-l1-use-direct-io", NO_GDS),
            (self.gds_l1_backend.is_some(), "--gds-l1-backend", NO_GDS),
            (self.lookup_hash_log_dir.is_some(), "--lookup-hash-log-dir", NO_HASH_LOG),
            (
                self.lookup_hash_log_rotation_interval.is_some(),
                "--lookup-hash-log-rotation-interval",
                NO_HASH_LOG,
            ),
            (
                self.lookup_hash_log_rotation_max_size.is_some(),
                "--lookup-hash-log-rotation-max-size",
                NO_HASH_LOG,
            ),
            (self.lookup_hash_log_max_files.is_some(), "--lookup-hash-log-max-files", NO_HASH_LOG),
            (self.enable_gc_monitor, "--enable-gc-monitor", NO_PYTHON),
            (self.gc_monitor_min_pause_ms.is_some(), "--gc-monitor-min-pause-ms", NO_PYTHON),
            (self.gc_monitor_top_objects.is_some(), "--gc-monitor-top-objects", NO_PYTHON),
            (self.trace_level.is_some(), "--trace-level", NO_RECORDING),
            (self.trace_output.is_some(), "--trace-output", NO_RECORDING),
        ]
    }

    /// Refuses the first flag of this list that was given.
    pub(super) fn refuse(&self) -> Result<()> {
        match self.all().into_iter().find(|(is_given, ..)| *is_given) {
            None => Ok(()),
            Some((_, flag, reason)) => {
                let hint = match reason {
                    NO_RECORDING => format!("leave {flag} out; --record OUT writes the replay's own calls"),
                    _ => format!("leave {flag} out to replay without it"),
                };
                Err(Error::unsupported(reason).with_context("flag", flag).with_hint(hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::error::ErrorKind;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        absent: AbsentFlags,
    }

    fn refuse(line: &str) -> Result<()> {
        let words = std::iter::once("test").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}")).absent.refuse()
    }

    #[test]
    fn every_flag_of_the_refused_list_is_refused_by_name() {
        let command = Line::command();
        let refused = command.get_arguments().filter(|argument| {
            argument.get_help_heading().is_some_and(|heading| heading.contains("refused"))
        });
        let mut checked = 0;
        for argument in refused {
            let flag = format!("--{}", argument.get_long().unwrap());
            let value = if argument.get_action().takes_values() { "1" } else { "" };
            let error = refuse(&format!("{flag} {value}")).expect_err(&flag);
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{flag}");
            assert!(error.to_string().contains(&format!("flag {flag})")), "{error}");
            checked += 1;
        }
        assert_eq!(checked, 14);
    }
}
