//! The client of one bucket.

use std::borrow::Cow;

use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt,
    PutPayload, RetryConfig,
};

use super::outcome::{Failure, absent_is_none};
use crate::error::{Error, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::l2::S3AdapterConfig;
use crate::storage::memory::PinnedSpan;

/// How often a request is sent again that a server did not answer, or answered with an error of its own.
const RETRIES: usize = 2;

/// LMCache's `Content-Type`.
const CONTENT_TYPE: &str = "application/octet-stream";

/// See the module.
#[derive(Debug)]
pub(super) struct Bucket {
    store: AmazonS3,
    /// For names that begin with `/`, as those of models do that are folders: `object_store` takes such a slash away,
    /// so it stands at the end of this one's address.
    rooted: AmazonS3,
    /// What stands in front of every object's name.
    prefix: String,
}

impl Bucket {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// If the configuration makes none.
    pub(super) fn new(config: &S3AdapterConfig) -> Result<Self> {
        // Fails if the process has chosen already, and that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = address(config);
        let store = |url: &str| {
            builder(config).with_endpoint(url).build().map_err(|error| {
                Error::invalid("the s3 adapter cannot be set up with these settings")
                    .with_context("endpoint", &config.endpoint)
                    .with_source(error)
            })
        };
        let prefix = config.name_prefix.clone();
        Ok(Self { store: store(&url)?, rooted: store(&format!("{url}/"))?, prefix })
    }

    fn at(&self, key: &ObjectKey) -> Result<(&AmazonS3, Path), Failure> {
        let name = format!("{}{}", self.prefix, key.view());
        let (store, rest) = match name.strip_prefix('/') {
            Some(rest) => (&self.rooted, rest),
            None => (&self.store, &*name),
        };
        if rest.starts_with('/') {
            return Err(Failure::name(key));
        }
        Path::parse(rest).map(|path| (store, path)).map_err(|_| Failure::name(key))
    }

    /// Writes an object.
    pub(super) async fn put(&self, key: &ObjectKey, buffer: &PinnedSpan) -> Result<(), Failure> {
        let (store, path) = self.at(key)?;
        let mut body = vec![0; buffer.size_bytes()];
        buffer.read_into(0, &mut body);
        let put = store.put(&path, PutPayload::from(body)).await;
        put.map(drop).map_err(|error| Failure::new("cannot store an object in S3", key, error))
    }

    /// Reads an object into a buffer of its size. False if it is not there, or has another size.
    pub(super) async fn get(&self, key: &ObjectKey, buffer: &PinnedSpan) -> Result<bool, Failure> {
        let failed = |error| Failure::new("cannot load an object from S3", key, error);
        let (store, path) = self.at(key)?;
        let size_bytes = buffer.size_bytes() as u64;
        let options = GetOptions { range: Some(GetRange::Bounded(0..size_bytes)), ..GetOptions::default() };
        let Some(result) = absent_is_none(store.get_opts(&path, options).await).map_err(failed)? else {
            return Ok(false);
        };
        if result.meta.size != size_bytes || result.range != (0..size_bytes) {
            return Ok(false);
        }
        let GetResultPayload::Stream(mut parts) = result.payload;
        let mut loaded = 0;
        while let Some(part) = parts.next().await {
            let part = part.map_err(failed)?;
            // Refuses what reaches past the end.
            if buffer.write_from(loaded, &part).is_err() {
                return Ok(false);
            }
            loaded += part.len();
        }
        Ok(loaded == buffer.size_bytes())
    }

    /// The size of an object, if it is there.
    pub(super) async fn size_bytes(&self, key: &ObjectKey) -> Result<Option<u64>, Failure> {
        let (store, path) = self.at(key)?;
        let meta = absent_is_none(store.head(&path).await);
        let meta = meta.map_err(|error| Failure::new("cannot look an object up in S3", key, error))?;
        Ok(meta.map(|meta| meta.size))
    }

    /// Deletes an object. One that is not there is a success.
    pub(super) async fn delete(&self, key: &ObjectKey) -> Result<(), Failure> {
        let (store, path) = self.at(key)?;
        let deleted = absent_is_none(store.delete(&path).await);
        deleted.map(drop).map_err(|error| Failure::new("cannot delete an object from S3", key, error))
    }
}

impl Bucket {
    /// Removes every object below the folder `prefix/`, and says how many there were.
    pub(super) async fn remove_all(&self, prefix: &str) -> object_store::Result<u64> {
        let folder = Path::from(prefix);
        let found = self.store.list(Some(&folder)).map_ok(|found| found.location).boxed();
        let mut gone = self.store.delete_stream(found);
        let mut removed = 0;
        while let Some(location) = gone.next().await {
            location?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// The address below which the objects' names stand.
fn address(config: &S3AdapterConfig) -> Cow<'_, str> {
    let url = config.url();
    if config.path_style { format!("{url}/{}", config.bucket).into() } else { url.into() }
}

fn builder(config: &S3AdapterConfig) -> AmazonS3Builder {
    let mut options = ClientOptions::new()
        .with_allow_http(config.disable_tls)
        .with_default_content_type(CONTENT_TYPE)
        .with_connect_timeout(config.connect_timeout)
        .with_timeout(config.request_timeout)
        .with_pool_max_idle_per_host(config.num_io_threads);
    options = if config.prefer_http2 { options.with_allow_http2() } else { options.with_http1_only() };
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: config.request_timeout,
        backoff: BackoffConfig::default(),
    };
    let given = config.access_key_id.as_ref().zip(config.secret_access_key.as_ref());
    let mut builder = match given {
        Some((id, secret)) => {
            AmazonS3Builder::new().with_access_key_id(id.expose()).with_secret_access_key(secret.expose())
        }
        None => AmazonS3Builder::from_env(),
    };
    if let Some(token) = &config.session_token {
        builder = builder.with_token(token.expose());
    }
    builder
        .with_region(&config.region)
        .with_bucket_name(&config.bucket)
        // The bucket stands in the address that is given, wherever it stands there.
        .with_virtual_hosted_style_request(true)
        .with_allow_http(config.disable_tls)
        .with_s3_express(config.enable_s3express)
        .with_unsigned_payload(true)
        .with_disable_bulk_delete(true)
        .with_client_options(options)
        .with_retry(retry)
}
