//! How the program ends: exit codes, and the one place where an error is printed.

use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use crate::error::{Error, Result};

/// Wrong usage or unreadable input.
const EXIT_ERROR: u8 = 2;

/// Interrupted by Ctrl-C: 128 and the number of SIGINT, as shells have it.
pub(super) const EXIT_INTERRUPTED: u8 = 130;

/// How a verb that could do its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing to report: exit code 0.
    None,
    /// Something that the caller asked to be told about: exit code 1.
    Found,
    /// Some of the work could not be done, and that was said already: exit code 2.
    Failed,
    /// Stopped by Ctrl-C; what was done until then was reported: exit code 130.
    Interrupted,
}

/// The exit code of a verb's result; its error is printed here.
pub(super) fn code(result: Result<Finding>) -> ExitCode {
    match result {
        Ok(Finding::None) => ExitCode::SUCCESS,
        Ok(Finding::Found) => ExitCode::from(1),
        Ok(Finding::Failed) => ExitCode::from(EXIT_ERROR),
        Ok(Finding::Interrupted) => ExitCode::from(EXIT_INTERRUPTED),
        Err(error) => {
            print_error(&error);
            ExitCode::from(EXIT_ERROR)
        }
    }
}

/// Prints one sentence, and one line of advice if there is any.
pub(super) fn print_error(error: &Error) {
    print_tagged("error:", AnsiColor::Red, &error.to_string());
    if let Some(hint) = error.hint() {
        print_tagged("hint:", AnsiColor::Cyan, hint);
    }
}

/// Prints a sentence about something that is no error but must not go unsaid.
pub(super) fn print_warning(sentence: &str) {
    print_tagged("warning:", AnsiColor::Yellow, sentence);
}

/// Prints a sentence about how things went, beside the lines of standard output.
pub(super) fn print_note(sentence: &str) {
    print_tagged("note:", AnsiColor::Green, sentence);
}

fn print_tagged(tag: &str, color: AnsiColor, sentence: &str) {
    let style = Style::new().fg_color(Some(color.into())).bold();
    let sentence = super::text::printable(sentence);
    // If standard error is gone there is nobody left to tell.
    let _ = writeln!(anstream::stderr(), "{style}{tag}{style:#} {sentence}");
}
