//! What an error of a request means.

use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use crate::error::{Error, ErrorKind};
use crate::format::model::ObjectKey;

/// Where a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Before anybody was asked.
    Local,
    /// On the way: no name, no connection, no answer in time. What LMCache's breaker counts.
    Connection,
    /// There: the endpoint answered, and refused.
    Answer,
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) error: Error,
}

impl Failure {
    /// `what` failed for `key`.
    pub(super) fn new(what: &'static str, key: &ObjectKey, error: object_store::Error) -> Self {
        let fault = if is_connection_fault(&error) { Fault::Connection } else { Fault::Answer };
        let error = Error::new(ErrorKind::Io, what).with_context("key", key.view()).with_source(error);
        Self { fault, error }
    }

    /// No answer in time.
    pub(super) fn timeout(timeout: Duration) -> Self {
        let error = Error::new(ErrorKind::Timeout, "the S3 endpoint did not answer in time")
            .with_context("timeout_ms", timeout.as_millis())
            .with_hint("raise request_timeout_ms if the endpoint is only slow");
        Self { fault: Fault::Connection, error }
    }

    /// The name of `key` cannot stand in an address.
    pub(super) fn name(key: &ObjectKey) -> Self {
        let error = Error::invalid("the name of the object cannot be one of S3")
            .with_context("key", key.view().to_string().escape_debug())
            .with_hint("a model name may have no control characters, no //, and no . or .. between slashes");
        Self { fault: Fault::Local, error }
    }
}

/// An object that is not there is no error.
pub(super) fn absent_is_none<T>(result: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_connection_fault(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            use HttpErrorKind::{Connect, Interrupted, Request, Timeout};
            return matches!(http.kind(), Connect | Request | Timeout | Interrupted);
        }
        cause = error.source();
    }
    false
}
