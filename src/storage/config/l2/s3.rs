//! `s3`: a bucket of S3, or of what speaks its protocol.

use std::time::Duration;

use super::fs::workers;
use super::spec::Spec;
use crate::error::{Error, Result};
use crate::storage::config::Secret;
use crate::storage::config::fields::Fields;

/// The type in JSON.
pub const TYPE: &str = "s3";

/// The keys of its own.
pub const KEYS: &[&str] = &[
    "s3_endpoint",
    "s3_region",
    "s3_num_io_threads",
    "s3_prefer_http2",
    "s3_enable_s3express",
    "disable_tls",
    "aws_access_key_id",
    "aws_secret_access_key",
    "max_capacity_gb",
    "s3_path_style",
    "s3_bucket",
    "aws_session_token",
    "connect_timeout_ms",
    "request_timeout_ms",
];

/// LMCache's default for `s3_num_io_threads`.
const DEFAULT_IO_THREADS: u64 = 64;

/// How long a connection may take, by default.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take, by default.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3AdapterConfig {
    /// `s3_endpoint` without its scheme: the host, and a port if it is not the usual one. The bucket is part
    /// of it, in front, unless [`Self::path_style`] is on.
    pub endpoint: String,
    /// The name of the bucket: `s3_bucket` (ours), or the first label of the host.
    pub bucket: String,
    /// `s3_region`.
    pub region: String,
    /// `s3_num_io_threads`, above 0: requests in flight at once; 64 by default.
    pub num_io_threads: usize,
    /// `s3_prefer_http2`: on by default.
    pub prefer_http2: bool,
    /// `s3_enable_s3express`: sessions of S3 Express; off by default.
    pub enable_s3express: bool,
    /// `disable_tls`: plain HTTP; off by default. On as well if `s3_endpoint` says `http://`, which is ours.
    pub disable_tls: bool,
    /// `aws_access_key_id`: from the environment if it is not given.
    pub access_key_id: Option<Secret>,
    /// `aws_secret_access_key`.
    pub secret_access_key: Option<Secret>,
    /// `aws_session_token`. Ours.
    pub session_token: Option<Secret>,
    /// `max_capacity_gb`: what eviction measures use against; nothing by default.
    pub max_capacity_bytes: Option<u64>,
    /// `s3_path_style`: whether the bucket stands in the path instead of the host. Ours; off by default.
    pub path_style: bool,
    /// `connect_timeout_ms`: how long a connection may take. Ours; 5 s by default.
    pub connect_timeout: Duration,
    /// `request_timeout_ms`: how long a request may take. Ours; 30 s by default.
    pub request_timeout: Duration,
    /// What stands in front of every object's name there: empty, or that of a replay's
    /// [`Namespace`](crate::storage::l2::namespace::Namespace). No key of the JSON.
    pub name_prefix: String,
}

impl S3AdapterConfig {
    /// The address that requests go to: with the bucket in the host, or without one, by [`Self::path_style`].
    pub fn url(&self) -> String {
        let scheme = if self.disable_tls { "http" } else { "https" };
        format!("{scheme}://{}", self.endpoint)
    }
}

pub(super) fn read(spec: Spec<'_>) -> Result<S3AdapterConfig> {
    let fields = spec.fields;
    let path_style = fields.bool("s3_path_style", false)?;
    let (endpoint, is_plain_http) =
        endpoint(fields.required_text("s3_endpoint", "bucket.s3.eu-central-1.amazonaws.com")?)?;
    let bucket = match (fields.optional_text("s3_bucket")?, path_style) {
        (Some(bucket), _) => bucket.to_owned(),
        (None, false) => endpoint.split('.').next().unwrap_or_default().to_owned(),
        (None, true) => String::new(),
    };
    if bucket.is_empty() {
        return Err(Error::invalid("the name of the bucket is missing").with_hint(
            "begin s3_endpoint with it (bucket.host), or add \"s3_bucket\" where \"s3_path_style\" is true",
        ));
    }
    let config = S3AdapterConfig {
        endpoint,
        bucket,
        region: fields.required_text("s3_region", "eu-central-1")?.to_owned(),
        num_io_threads: workers(fields, "s3_num_io_threads", DEFAULT_IO_THREADS)?,
        prefer_http2: fields.bool("s3_prefer_http2", true)?,
        enable_s3express: fields.bool("s3_enable_s3express", false)?,
        disable_tls: fields.bool("disable_tls", false)? || is_plain_http,
        access_key_id: secret(fields, "aws_access_key_id")?,
        secret_access_key: secret(fields, "aws_secret_access_key")?,
        session_token: secret(fields, "aws_session_token")?,
        max_capacity_bytes: fields.capacity_gb("max_capacity_gb")?,
        path_style,
        connect_timeout: fields.timeout("connect_timeout_ms", DEFAULT_CONNECT_TIMEOUT)?,
        request_timeout: fields.timeout("request_timeout_ms", DEFAULT_REQUEST_TIMEOUT)?,
        name_prefix: String::new(),
    };
    if config.access_key_id.is_some() != config.secret_access_key.is_some() {
        return Err(Error::invalid("aws_access_key_id and aws_secret_access_key go together")
            .with_hint("give both, or neither to have them from the environment"));
    }
    Ok(config)
}

/// The host of an endpoint, and whether it asks for plain HTTP.
fn endpoint(text: &str) -> Result<(String, bool)> {
    let (scheme, host) = text.trim().split_once("://").unwrap_or(("s3", text.trim()));
    let host = host.strip_suffix('/').unwrap_or(host);
    let is_plain_http = match scheme {
        "s3" | "https" => false,
        "http" => true,
        _ => {
            return Err(Error::invalid("s3_endpoint must begin with s3://, https://, http:// or the host")
                .with_hint("for instance bucket.s3.eu-central-1.amazonaws.com"));
        }
    };
    let is_host = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
    if is_host {
        return Ok((host.to_owned(), is_plain_http));
    }
    // What does not belong there may be a password, so it is not shown.
    Err(Error::invalid("s3_endpoint must be a host without a user, a path or a query")
        .with_hint("for instance bucket.s3.eu-central-1.amazonaws.com"))
}

/// Nothing and an empty text both leave it to the environment, as in LMCache.
fn secret(fields: Fields<'_>, name: &str) -> Result<Option<Secret>> {
    Ok(fields.optional_text(name)?.filter(|text| !text.is_empty()).map(Secret::new))
}
