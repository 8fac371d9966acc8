//! `compact`: a native file that is as small as it can be read in place.

use clap::Args;

use super::report::Kind;
use super::{FileArgs, to_compact};
use crate::cli::exit::Finding;
use crate::error::Result;
use crate::trace::store::FileStore;

const EXAMPLES: &str = "\
Examples:
  # a recording, for keeping; LMCache's file, too
  lmcache-trace compact node.lct node.compact.lct
  lmcache-trace compact server.lct server.compact.lct
  # LMCache's form of a compact file
  lmcache-trace convert node.compact.lct node.lmcache.lct

Each distinct key is written once. A compact file is read and replayed like any other; a recorder cannot
write one, because it does not know the keys beforehand.";

/// Arguments of `compact`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    files: FileArgs,
}

impl CompactArgs {
    pub(in crate::cli) fn run(self) -> Result<Finding> {
        self.files.check_apart()?;
        let file = self.files.open()?;
        self.files.convert(&file, Kind::Compact, |path, work| {
            let store = FileStore::create(path)?;
            to_compact(&file, store, &mut |done_bytes| work.step(done_bytes)).map(|(report, _)| report)
        })
    }
}
