//! Which bytes of the arena a device knows of, or the kernel keeps in memory.
//!
//! LMCache pins all of L1: a lazy heap in steps, as it grows, any other as a whole; what cannot be pinned is used unpinned, with a
//! warning. So it is here, by whatever [`PageRegistrar`] there is. A step is registered before its bytes are handed out, and stays so
//! until the arena goes: whoever holds the arena for a transfer need not ask twice.

use std::fmt;
use std::ops::Range;

use crate::device::{PageRegistrar, Registration, RegistrationKind};
use crate::error::{Error, Result};
use crate::os::region::Region;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// Who is told, in one sentence, that memory could not be registered: once an arena, on the thread that builds it or makes it grow.
pub type PinWarning = Arc<dyn Fn(&str) + Send + Sync>;

/// How the memory of an L1 is pinned.
#[derive(Clone, Default)]
pub struct Pinning {
    /// What pins it; without one it is pinned if its configuration says so.
    pub registrar: Option<Arc<dyn PageRegistrar>>,
    /// Who is told if that fails.
    pub warning: Option<PinWarning>,
}

impl fmt::Debug for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinning").field("registrar", &self.registrar).finish_non_exhaustive()
    }
}

/// What became of the pinning of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationState {
    /// Nobody asked for it.
    #[default]
    None,
    /// All that is handed out stays where it is; no device knows of it.
    Locked,
    /// A device knows all that is handed out.
    Registered,
    /// Some of it, or all, could not be registered, and is used as it is.
    Degraded,
}

impl RegistrationState {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Locked => "locked",
            Self::Registered => "registered",
            Self::Degraded => "degraded",
        }
    }
}

/// How much of an arena is pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationStatus {
    /// What became of it.
    pub state: RegistrationState,
    /// The bytes that are registered, or locked. Of a lazy heap it can be more than is handed out by now.
    pub registered_bytes: u64,
    /// The first failure, if there was one.
    pub failure: Option<String>,
}

/// The registrations of one arena. They are undone when it is dropped, in the order in which they were made.
#[derive(Debug)]
pub(super) struct Registrations {
    /// Before `pinning`, as fields are dropped: what a device was told is taken back while there is the device.
    books: Mutex<Books>,
    /// All before this offset is registered. A shortcut past the lock.
    prefix_bytes: AtomicU64,
    pinning: Pinning,
}

#[derive(Debug, Default)]
struct Books {
    held: Vec<Registration>,
    /// What is registered: sorted, with a gap between two neighbours.
    ranges: Vec<Range<u64>>,
    failure: Option<String>,
}

impl Registrations {
    pub(super) fn new(pinning: Pinning) -> Self {
        Self { books: Mutex::default(), prefix_bytes: AtomicU64::new(0), pinning }
    }

    /// Whether the arena is to be pinned at all.
    pub(super) fn is_asked_for(&self) -> bool {
        self.pinning.registrar.is_some()
    }

    /// Registers the `len_bytes` of `region` from `offset_bytes` on, which lie behind all that was registered before. A failure is
    /// kept, and told if it is the first. Whoever calls this is the only one who does.
    pub(super) fn register(&self, region: &Region, offset_bytes: u64, len_bytes: u64) {
        let Some(registrar) = &self.pinning.registrar else { return };
        let (offset, len) = (offset_bytes as usize, len_bytes as usize);
        let kept = match registrar.kind() {
            RegistrationKind::Registered => region.keep_from_children(offset, len),
            RegistrationKind::Locked => Ok(()),
        };
        // It takes long, so it is not under the lock, for which reports and transfers wait.
        let outcome = kept.and_then(|()| registrar.register(region.at(offset, len), len));
        self.enter(offset_bytes, len_bytes, outcome);
    }

    /// Writes down that nothing could be registered because of `error`.
    pub(super) fn give_up(&self, offset_bytes: u64, len_bytes: u64, error: Error) {
        self.enter(offset_bytes, len_bytes, Err(error));
    }

    fn enter(&self, offset_bytes: u64, len_bytes: u64, outcome: Result<Registration>) {
        let mut books = lock(&self.books);
        match outcome {
            Ok(registration) => {
                books.held.push(registration);
                books.add(offset_bytes..offset_bytes + len_bytes);
                let prefix = books.ranges.first().filter(|range| range.start == 0);
                // Pairs with `holds`: who sees it sees what the registrar did before.
                self.prefix_bytes.store(prefix.map_or(0, |range| range.end), Ordering::Release);
            }
            Err(error) if books.failure.is_none() => {
                let why = error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"));
                books.failure = Some(why.clone());
                drop(books);
                self.warn(offset_bytes, len_bytes, &why);
            }
            // As the first: one warning is enough.
            Err(_) => {}
        }
    }

    fn warn(&self, offset_bytes: u64, len_bytes: u64, why: &str) {
        if let Some(warning) = &self.pinning.warning {
            warning(&format!(
                "{len_bytes} bytes of its memory from byte {offset_bytes} on cannot be pinned, and are used unpinned: {why}"
            ));
        }
    }

    /// Whether a device knows all of the `len_bytes` from `offset_bytes` on.
    pub(super) fn holds(&self, offset_bytes: u64, len_bytes: u64) -> bool {
        let Some(end) = offset_bytes.checked_add(len_bytes) else { return false };
        if self.kind() != Some(RegistrationKind::Registered) {
            return false;
        }
        // Pairs with `enter`.
        end <= self.prefix_bytes.load(Ordering::Acquire) || lock(&self.books).holds(&(offset_bytes..end))
    }

    fn kind(&self) -> Option<RegistrationKind> {
        self.pinning.registrar.as_ref().map(|registrar| registrar.kind())
    }

    pub(super) fn status(&self) -> RegistrationStatus {
        let books = lock(&self.books);
        let state = match (self.kind(), &books.failure) {
            (None, _) => RegistrationState::None,
            (Some(_), Some(_)) => RegistrationState::Degraded,
            (Some(RegistrationKind::Locked), None) => RegistrationState::Locked,
            (Some(RegistrationKind::Registered), None) => RegistrationState::Registered,
        };
        let registered_bytes = books.ranges.iter().map(|range| range.end - range.start).sum();
        RegistrationStatus { state, registered_bytes, failure: books.failure.clone() }
    }
}

impl Books {
    fn add(&mut self, range: Range<u64>) {
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    fn holds(&self, range: &Range<u64>) -> bool {
        let behind = self.ranges.partition_point(|known| known.start <= range.start);
        behind.checked_sub(1).is_some_and(|at| range.end <= self.ranges[at].end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_is_held_if_all_of_it_is_without_a_gap() {
        let mut books = Books::default();
        assert!(!books.holds(&(0..1)));
        for range in [10..20, 20..30, 40..50] {
            books.add(range);
        }
        assert_eq!(books.ranges, [10..30, 40..50]);
        for held in [10..30, 15..25, 29..30, 40..50, 30..30] {
            assert!(books.holds(&held), "{held:?}");
        }
        for not in [0..1, 9..11, 29..31, 25..45, 30..40, 45..51, 50..51] {
            assert!(!books.holds(&not), "{not:?}");
        }
    }

    /// Says no to the calls whose bit is set, and panics if it goes before what it registered.
    #[derive(Debug)]
    struct Moody {
        refusals: u64,
        calls: AtomicU64,
        held: Arc<AtomicU64>,
    }

    impl Moody {
        fn new(refusals: u64) -> Self {
            Self { refusals, calls: AtomicU64::new(0), held: Arc::default() }
        }
    }

    impl Drop for Moody {
        fn drop(&mut self) {
            assert_eq!(self.held.load(Ordering::Relaxed), 0, "registrations outlive their device");
        }
    }

    impl PageRegistrar for Moody {
        fn kind(&self) -> RegistrationKind {
            RegistrationKind::Registered
        }

        fn register(&self, _base: std::ptr::NonNull<u8>, _len_bytes: usize) -> Result<Registration> {
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            match self.refusals >> call & 1 {
                0 => {
                    let held = Arc::clone(&self.held);
                    held.fetch_add(1, Ordering::Relaxed);
                    Ok(Registration::new(move || {
                        held.fetch_sub(1, Ordering::Relaxed);
                    }))
                }
                _ => Err(Error::invalid("not now")),
            }
        }
    }

    #[test]
    fn what_a_device_was_told_is_taken_back_before_the_device_goes() {
        let pinning = Pinning { registrar: Some(Arc::new(Moody::new(0))), warning: None };
        let (registrations, region) = (Registrations::new(pinning), Region::anonymous(1, 1).unwrap());
        registrations.register(&region, 0, 1);
        drop(registrations);
    }

    proptest! {
        #[test]
        fn bytes_are_held_if_every_step_that_they_lie_in_was_taken(
            refusals: u64,
            steps in vec(1_u64..100, 1..20),
            ranges in vec((0_u64..2_100, 1_u64..300), 1..50),
        ) {
            let registrar = Arc::new(Moody::new(refusals));
            let told = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&told);
            let warning: PinWarning = Arc::new(move |_| {
                counter.fetch_add(1, Ordering::Relaxed);
            });
            let pinning = Pinning { registrar: Some(registrar), warning: Some(warning) };
            let (registrations, region) = (Registrations::new(pinning), Region::anonymous(1 << 12, 1).unwrap());
            let mut is_known = Vec::new();
            for (call, step) in steps.iter().enumerate() {
                registrations.register(&region, is_known.len() as u64, *step);
                is_known.extend(std::iter::repeat_n(refusals >> call & 1 == 0, *step as usize));
            }
            for (at, len) in ranges {
                let is_held = (at..at + len).all(|byte| is_known.get(byte as usize) == Some(&true));
                prop_assert_eq!(registrations.holds(at, len), is_held, "{} from {}", len, at);
            }
            let status = registrations.status();
            prop_assert_eq!(status.registered_bytes, is_known.iter().filter(|known| **known).count() as u64);
            let has_failed = refusals & ((1 << steps.len()) - 1) != 0;
            prop_assert_eq!(status.failure.is_some(), has_failed);
            prop_assert_eq!(status.state == RegistrationState::Degraded, has_failed);
            prop_assert_eq!(told.load(Ordering::Relaxed), u64::from(has_failed));
        }
    }
}
