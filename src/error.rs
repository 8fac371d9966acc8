//! The one error of the library: a kind to branch on, a sentence to read, and where it happened.
//!
//! Every fallible call of this crate returns [`Error`]. Its [`ErrorKind`] is what a program looks at; its
//! `Display` is one line that an operator can act on: what failed, then the context in brackets (the file,
//! the byte offset, the record), then the cause. A hint, where there is one, says what to do next; the
//! command line prints it on a line of its own.

use std::borrow::Cow;
use std::fmt;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for a program to branch on. The numbers are stable; new kinds are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum ErrorKind {
    /// The caller passed something that can never be right.
    InvalidArgument = 1,
    /// The operating system refused an operation; the cause says which and why.
    Io = 2,
    /// The file, key or handle does not exist.
    NotFound = 3,
    /// The bytes are not what they claim to be.
    Corrupt = 4,
    /// The bytes end before what they promise.
    Truncated = 5,
    /// A version of the format that this build does not read.
    UnsupportedVersion = 6,
    /// A feature that this build does not have.
    Unsupported = 7,
    /// Memory could not be had.
    OutOfMemory = 8,
    /// The handle was closed before.
    Closed = 9,
    /// A policy of the storage manager cannot work as it was asked to.
    Policy = 10,
    /// Something took longer than it was given.
    Timeout = 11,
    /// There is no device that can be used: no driver, one that does not work, or one that shows no device.
    NoDevice = 12,
}

/// An error with its context. Cheap to move: one pointer.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` whose first words are `message` (lower case, no full stop).
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), context: Vec::new(), hint: None, source: None }))
    }

    /// Shorthand for [`ErrorKind::InvalidArgument`].
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An operating-system error: `message` says what was being done.
    pub fn io(message: impl Into<Cow<'static, str>>, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            _ => ErrorKind::Io,
        };
        Self::new(kind, message).with_source(source)
    }

    /// Adds where it happened. Usual names: `path`, `offset`, `record`, `flag`.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what the reader of the message can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What went wrong, for a program.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong, without context and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened, in the order in which it was added.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// What to do about it, if we know.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The operating-system error behind this one, if that is what it was.
    pub fn io_source(&self) -> Option<&std::io::Error> {
        self.0.source.as_ref().and_then(|source| source.downcast_ref())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (position, (name, value)) in self.0.context.iter().enumerate() {
            let opening = if position == 0 { " (" } else { ", " };
            write!(f, "{opening}{name} {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_with_context_and_cause() {
        let error = Error::io("cannot open trace", std::io::Error::from_raw_os_error(2))
            .with_context("path", "a.lct")
            .with_context("offset", 17)
            .with_hint("check the path");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            "cannot open trace (path a.lct, offset 17): No such file or directory (os error 2)"
        );
        assert_eq!(error.hint(), Some("check the path"));
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
