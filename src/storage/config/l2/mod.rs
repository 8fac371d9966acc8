//! The L2 adapters: LMCache's JSON, one object per `--l2-adapter`, each kind in a file of its own.
//!
//! * This file: what every adapter has, and which kinds there are.
//! * [`reader`]: the JSON of it. [`known`]: the names of all kinds, LMCache's that this build lacks included; `absent`
//!   refuses these, and what else is not here, before anything else.
//! * [`mock`], [`fs`], [`fs_native`], [`raw_block`], [`resp`], [`s3`], [`fault_inject`], [`plugin`]: the
//!   settings of each kind, with LMCache's keys, defaults and checks.
//!
//! A key that nobody knows is refused by its name; LMCache passes over it, so that a mistyped one changes
//! nothing and says nothing. Values have the type that they should have; LMCache takes `"false"` for true.

mod absent;
pub mod fault_inject;
pub mod fs;
pub mod fs_native;
pub mod known;
pub mod mock;
pub mod plugin;
pub mod raw_block;
pub mod reader;
pub mod resp;
pub mod s3;
mod spec;

use serde_json::Value;

#[cfg(not(feature = "s3"))]
pub(in crate::storage) use absent::s3_is_not_built;
pub use fault_inject::FaultInjectAdapterConfig;
pub use fs::{FileChecksum, FsAdapterConfig, FsIoEngine};
pub use mock::MockAdapterConfig;
pub use plugin::PluginAdapterConfig;
pub use raw_block::{RawBlockAdapterConfig, RawBlockIoEngine};
pub use resp::RespAdapterConfig;
pub use s3::S3AdapterConfig;
pub use spec::Environment;

use super::EvictionConfig;
use crate::storage::serde::SerdeConfig;

/// One L2 adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct L2AdapterConfig {
    /// What it is, with the settings of its kind.
    pub kind: AdapterKind,
    /// The L1 manager whose objects it stores and loads.
    pub affinity_tag: String,
    /// Whether others store to the same place, so that what is there is not only ours.
    pub shared: bool,
    /// When and what it evicts; nothing if it does not.
    pub eviction: Option<EvictionConfig>,
    /// Whether what it stored outlives the process. LMCache asks it of one adapter that this build lacks; what the
    /// others write stays whatever it says, here as there.
    pub persist_enabled: bool,
    /// How payloads are transformed on the way there and back.
    pub serde: Option<SerdeConfig>,
    /// The JSON as it was given, but for secrets, which are masked. It goes into digests and traces.
    pub spec: Value,
}

/// The kinds of adapters.
#[derive(Clone, Debug, PartialEq)]
pub enum AdapterKind {
    /// `mock`: memory, with a bandwidth.
    Mock(MockAdapterConfig),
    /// `fs`: a file for each object.
    Fs(FsAdapterConfig),
    /// `fs_native`: the same files; the keys and defaults of LMCache's native one.
    FsNative(FsAdapterConfig),
    /// `raw_block`: slots on a block device, or in a file of fixed size.
    RawBlock(RawBlockAdapterConfig),
    /// `resp`: Redis or Valkey.
    Resp(RespAdapterConfig),
    /// `s3`: S3, or what speaks its protocol.
    S3(S3AdapterConfig),
    /// `fault_inject`: another adapter, with faults.
    FaultInject(FaultInjectAdapterConfig),
    /// `plugin`: an adapter in a shared library.
    Plugin(PluginAdapterConfig),
}

impl AdapterKind {
    /// The name in configurations, reports and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mock(_) => mock::TYPE,
            Self::Fs(_) => fs::TYPE,
            Self::FsNative(_) => fs_native::TYPE,
            Self::RawBlock(_) => raw_block::TYPE,
            Self::Resp(_) => resp::TYPE,
            Self::S3(_) => s3::TYPE,
            Self::FaultInject(_) => fault_inject::TYPE,
            Self::Plugin(_) => plugin::TYPE,
        }
    }
}

impl L2AdapterConfig {
    /// An adapter of this kind with LMCache's defaults for everything else, for configurations that are made
    /// in code. Its [`spec`](Self::spec) tells the settings as `Debug` does.
    pub fn new(kind: AdapterKind) -> Self {
        let spec = serde_json::json!({ "type": kind.name(), "settings": format!("{kind:?}") });
        Self {
            kind,
            affinity_tag: super::DEFAULT_L1_TAG.to_owned(),
            shared: false,
            eviction: None,
            persist_enabled: true,
            serde: None,
            spec,
        }
    }

    /// Whether it, or one that it wraps, stores something else than an object's bytes.
    pub fn transforms(&self) -> bool {
        self.serde.is_some()
            || matches!(&self.kind, AdapterKind::FaultInject(wrapper) if wrapper.inner.transforms())
    }

    /// The adapter at the bottom of all wrappers: itself, if it wraps none.
    pub fn innermost(&self) -> &Self {
        match &self.kind {
            AdapterKind::FaultInject(wrapper) => wrapper.inner.innermost(),
            _ => self,
        }
    }
}
