//! The adapters' places in L2, once the replay is over.

use crate::cli::exit::{print_note, print_warning};
use crate::storage::l2::namespace::{Namespace, NamespaceMode};

/// What the places were, and what became of them.
#[derive(Clone, Debug, Default)]
pub(super) struct NamespaceReport {
    pub(super) mode: NamespaceMode,
    /// Places of killed replays that were removed at the start.
    pub(super) leftovers_removed: u64,
    /// Places that stay because they were to.
    pub(super) kept_in: Vec<String>,
    /// Why a place is still there that was to be removed.
    pub(super) failure: Option<String>,
}

impl NamespaceReport {
    /// Removes what is to be removed, and tells.
    pub(super) fn close(namespace: Namespace) -> Self {
        let mode = namespace.mode();
        let kept_in = if mode == NamespaceMode::FreshKept { namespace.places() } else { Vec::new() };
        let leftovers_removed = namespace.leftovers_removed();
        let failure = namespace.close().err().map(|error| match error.hint() {
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        });
        Self { mode, leftovers_removed, kept_in, failure }
    }

    /// Says what killed replays had left, and what this one leaves.
    pub(super) fn tell(&self, is_quiet: bool) {
        if let Some(failure) = &self.failure {
            print_warning(failure);
        }
        if is_quiet {
            return;
        }
        if self.leftovers_removed > 0 {
            print_note(&format!("removed what {} killed replays had left in L2", self.leftovers_removed));
        }
        for place in &self.kept_in {
            print_note(&format!("what the replay stored to L2 is kept in {place}"));
        }
    }
}
