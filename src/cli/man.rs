//! Man pages, made from the same definition as the help.

use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::exit::Finding;
use super::files::create_directory;
use super::output::print;
use super::program::NAME;
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  lmcache-trace man | man -l -
  lmcache-trace man replay | man -l -
  lmcache-trace man --output-dir /usr/local/share/man/man1";

/// Requests at the beginning of a page: neither hyphens that are no part of a flag, nor lines stretched by blanks.
const AS_WRITTEN: &str = ".nh\n.ad l\n";

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Print the page of this verb instead of the main page
    #[arg(value_name = "VERB", conflicts_with = "output_dir")]
    verb: Option<String>,
    /// Write the main page and one page per verb into DIR, which is made if need be, instead of printing one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output_dir: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(self, program: Command) -> Result<Finding> {
        // There is no page of it.
        let mut program = program.disable_help_subcommand(true);
        program.build();
        match (&self.output_dir, &self.verb) {
            (Some(folder), _) => write_pages(&program, folder)?,
            (None, None) => print(&page(&program)?)?,
            (None, Some(verb)) => print(&page(verb_of(&program, verb)?)?)?,
        }
        Ok(Finding::None)
    }
}

fn verb_of<'a>(program: &'a Command, name: &str) -> Result<&'a Command> {
    program.find_subcommand(name).ok_or_else(|| {
        let verbs: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
        Error::invalid("there is no verb of this name").with_context("verb", name.escape_debug()).with_hint(
            format!("they are {}; --output-dir DIR writes all pages into a folder", verbs.join(", ")),
        )
    })
}

fn write_pages(program: &Command, folder: &Path) -> Result<()> {
    create_directory(folder)?;
    for command in std::iter::once(program).chain(program.get_subcommands()) {
        let path = folder.join(format!("{}.1", title(command)));
        std::fs::write(&path, page(command)?).map_err(|error| {
            Error::io("cannot write the man page", error).with_context("path", path.display())
        })?;
    }
    Ok(())
}

/// What a page is called: the program, or the program and a verb.
fn title(command: &Command) -> &str {
    command.get_display_name().unwrap_or(NAME)
}

/// The page of the program or of a verb.
fn page(command: &Command) -> Result<String> {
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut page = Vec::new();
    // The notes would be one paragraph, examples and all.
    Man::new(command.clone().after_help(None))
        .source(concat!("lmcache-trace ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)
        .map_err(|error| Error::io("cannot render the man page", error))?;
    let page = String::from_utf8_lossy(&page);
    let (before, after) = page.split_once("\n.SH").unwrap_or((&page, ""));
    Ok(format!("{before}\n{AS_WRITTEN}.SH{after}{}", sections(&notes)))
}

/// What stands below the options in the help: indented lines as they are, since they are to be pasted; `Examples:` and
/// `Exit codes:` begin a section.
fn sections(notes: &str) -> String {
    let mut roff = Roff::new();
    let mut is_literal = false;
    for line in notes.lines() {
        if is_literal != line.starts_with("  ") {
            is_literal = !is_literal;
            roff.control(if is_literal { "nf" } else { "fi" }, []);
        }
        match line.split_once(':') {
            _ if line.is_empty() => roff.control("PP", []),
            Some(("Examples", _)) => roff.control("SH", ["EXAMPLES"]),
            Some(("Exit codes", "")) => roff.control("SH", ["EXIT STATUS"]),
            Some(("Exit codes", rest)) => roff.control("SH", ["EXIT STATUS"]).text([roman(rest.trim())]),
            _ => roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]),
        };
    }
    if is_literal {
        roff.control("fi", []);
    }
    // Before the first section the library says what an apostrophe is; the page has that already.
    let text = roff.render();
    text.find(".SH").map_or(String::new(), |start| text[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_indented_is_literal_and_the_rest_is_text() {
        let notes = "Examples:\n  a --b 'c' \\\n      d\n\nWhat it does.\nExit codes: 0 fine;\n2 not.";
        assert_eq!(
            sections(notes),
            ".SH EXAMPLES\n.nf\na \\-\\-b \\*(Aqc\\*(Aq \\\\\n    d\n.fi\n.PP\nWhat it does.\n\
             .SH \"EXIT STATUS\"\n0 fine;\n2 not.\n"
        );
        assert_eq!(sections(""), "");
    }
}
