//! Memory that a device is told of, and forgets again before it goes.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex};

use lmcache::clock::Clock;
use lmcache::device::{PageRegistrar, Registration, RegistrationKind};
use lmcache::error::{Error, ErrorKind, Result};
use lmcache::storage::config::{
    EvictionConfig, EvictionPolicyKind, L1ManagerConfig, L1MemoryManagerConfig, PinKind, StorageManagerConfig,
};
use lmcache::storage::memory::growth::STEP_BYTES;
use lmcache::storage::memory::{
    Arena, GrowthState, L1MemoryManager, Pinning, RegistrationState, RegistrationStatus, Span,
};
use lmcache::storage::{StorageManager, StorageManagerBuilder};

use crate::support::{lazy, wait_until_grown};

const PAGE: u64 = 4096;

/// Which calls fail, counted from 0.
type Fails = fn(usize) -> bool;

/// What a registrar has seen.
#[derive(Debug, Default)]
struct Seen {
    /// The lengths that were asked for.
    asked: Vec<u64>,
    /// What is registered: start and length.
    held: BTreeMap<usize, usize>,
    /// Where what was registered started, and what was given up, both in that order.
    begun: Vec<usize>,
    ended: Vec<usize>,
    faults: Vec<String>,
    /// How many calls may go on; all, if nothing is said.
    allowed: Option<usize>,
}

/// A device's driver as far as memory is concerned. It finds out when a range is registered twice, or was unmapped before.
#[derive(Debug)]
struct Driver {
    kind: RegistrationKind,
    /// Calls that fail, counted from 0.
    fails: Fails,
    seen: Arc<Mutex<Seen>>,
    moved_on: Condvar,
}

impl Driver {
    fn new(fails: Fails) -> Arc<Self> {
        let (seen, moved_on) = (Arc::default(), Condvar::new());
        Arc::new(Self { kind: RegistrationKind::Registered, fails, seen, moved_on })
    }

    /// Lets `calls` go on, and holds those behind them.
    fn allow(&self, calls: usize) {
        self.seen.lock().unwrap().allowed = Some(calls);
        self.moved_on.notify_all();
    }

    /// Waits until the call of this number has begun.
    fn wait_for_call(&self, call: usize) {
        let seen = self.seen.lock().unwrap();
        drop(self.moved_on.wait_while(seen, |seen| seen.asked.len() <= call).unwrap());
    }

    fn asked(&self) -> Vec<u64> {
        self.seen.lock().unwrap().asked.clone()
    }

    /// Everything that was registered is given up by now, in the order in which it was, and nothing was wrong.
    fn check_end(&self) {
        let seen = self.seen.lock().unwrap();
        assert_eq!((&seen.faults, &seen.held), (&Vec::new(), &BTreeMap::new()));
        assert_eq!(seen.begun, seen.ended, "in the order in which it was registered");
    }
}

impl PageRegistrar for Driver {
    fn kind(&self) -> RegistrationKind {
        self.kind
    }

    fn register(&self, base: NonNull<u8>, len_bytes: usize) -> Result<Registration> {
        let (start, mut seen) = (base.addr().get(), self.seen.lock().unwrap());
        let call = seen.asked.len();
        seen.asked.push(len_bytes as u64);
        self.moved_on.notify_all();
        let is_held = |seen: &mut Seen| seen.allowed.is_some_and(|allowed| allowed <= call);
        seen = self.moved_on.wait_while(seen, is_held).unwrap();
        if !is_mapped(start, len_bytes) {
            seen.faults.push(format!("{len_bytes} bytes of call {call} are not mapped"));
        }
        if seen.held.iter().any(|(held, len)| start < held + len && *held < start + len_bytes) {
            seen.faults.push(format!("{len_bytes} bytes of call {call} are registered already"));
        }
        if (self.fails)(call) {
            return Err(Error::new(ErrorKind::Io, "the driver said no").with_hint("ask it again"));
        }
        seen.held.insert(start, len_bytes);
        seen.begun.push(start);
        let seen = Arc::clone(&self.seen);
        Ok(Registration::new(move || {
            let mut seen = seen.lock().unwrap();
            if !is_mapped(start, len_bytes) {
                seen.faults.push(format!("{len_bytes} bytes were unmapped before they were given up"));
            }
            if seen.held.remove(&start) != Some(len_bytes) {
                seen.faults.push(format!("{len_bytes} bytes were given up that were not registered"));
            }
            seen.ended.push(start);
        }))
    }
}

/// Whether the process has maps of all these addresses.
fn is_mapped(start: usize, len_bytes: usize) -> bool {
    let (mut at, end) = (start, start + len_bytes);
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let Some((from, to)) = line.split(' ').next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let [from, to] = [from, to].map(|address| usize::from_str_radix(address, 16).unwrap_or(0));
        if (from..to).contains(&at) {
            at = to;
        }
    }
    at >= end
}

fn pinned(config: &L1MemoryManagerConfig, driver: &Arc<Driver>) -> L1MemoryManager {
    let pinning = Pinning { registrar: Some(Arc::clone(driver) as _), warning: None };
    L1MemoryManager::with_pinning(config, pinning).unwrap()
}

fn span(offset_bytes: u64, size_bytes: u64) -> Span {
    Span { offset_bytes, phy_size_bytes: size_bytes, size_bytes }
}

fn status(state: RegistrationState, registered_bytes: u64) -> RegistrationStatus {
    let failure =
        (state == RegistrationState::Degraded).then(|| "the driver said no; ask it again".to_owned());
    RegistrationStatus { state, registered_bytes, failure }
}

fn plain(size_bytes: u64) -> L1MemoryManagerConfig {
    L1MemoryManagerConfig { size_bytes, ..Default::default() }
}

#[test]
fn a_lazy_heap_is_registered_in_steps_up_to_its_last_byte_and_given_up_in_their_order() {
    let driver = Driver::new(|_| false);
    let size_bytes = 3 * STEP_BYTES - PAGE;
    let memory = pinned(&lazy(1, size_bytes), &driver);
    wait_until_grown(&memory);
    assert_eq!(driver.asked(), [STEP_BYTES, STEP_BYTES, STEP_BYTES - PAGE]);
    assert_eq!(memory.arena().registration(), status(RegistrationState::Registered, size_bytes));
    for known in [span(0, size_bytes), span(STEP_BYTES - PAGE, 2 * PAGE), span(size_bytes - 1, 1)] {
        assert!(memory.arena().is_registered(known), "{known:?}");
    }
    assert!(!memory.arena().is_registered(span(size_bytes - 1, 2)));
    assert!(!memory.arena().is_registered(span(u64::MAX, 2)));
    drop(memory);
    driver.check_end();
}

#[test]
fn the_first_bytes_are_registered_before_anybody_can_have_them() {
    let cases = [
        (0, STEP_BYTES, vec![STEP_BYTES]),
        (STEP_BYTES, STEP_BYTES, vec![STEP_BYTES]),
        (2 * STEP_BYTES, 2 * STEP_BYTES, vec![STEP_BYTES; 2]),
        (STEP_BYTES + 1, STEP_BYTES + PAGE, vec![STEP_BYTES, PAGE]),
        (1, 3 * PAGE, vec![3 * PAGE]),
    ];
    for (init_bytes, size_bytes, asked) in cases {
        let driver = Driver::new(|_| false);
        let memory = pinned(&lazy(init_bytes, size_bytes), &driver);
        assert_eq!((memory.growth(), memory.total_bytes()), (GrowthState::Complete, size_bytes));
        assert_eq!(driver.asked(), asked, "{init_bytes} of {size_bytes}");
        assert!(memory.arena().is_registered(span(0, size_bytes)));
        drop(memory);
        driver.check_end();
    }
}

#[test]
fn what_is_not_registered_yet_is_not_handed_out() {
    let driver = Driver::new(|_| false);
    driver.allow(1);
    let mut memory = pinned(&lazy(1, 2 * STEP_BYTES), &driver);
    driver.wait_for_call(1);
    assert_eq!((memory.growth(), memory.total_bytes()), (GrowthState::Growing, STEP_BYTES));
    assert_eq!(memory.arena().registration(), status(RegistrationState::Registered, STEP_BYTES));
    assert!(!memory.arena().is_registered(span(STEP_BYTES - PAGE, 2 * PAGE)));
    let mut addresses = Vec::new();
    assert!(!memory.batched_allocate(PAGE, (STEP_BYTES / PAGE + 1) as usize, &mut addresses).unwrap());
    assert!(memory.batched_allocate(STEP_BYTES, 1, &mut addresses).unwrap());
    driver.allow(usize::MAX);
    wait_until_grown(&memory);
    assert!(memory.batched_allocate(STEP_BYTES, 1, &mut addresses).unwrap());
    assert!(memory.arena().is_registered(span(addresses[1], STEP_BYTES)));
    drop(memory);
    driver.check_end();
}

#[test]
fn a_step_that_is_refused_is_used_as_it_is_and_the_others_are_registered() {
    let refusals: [(Fails, u64); 5] = [
        (|call| call == 0, 2),
        (|call| call == 1, 2),
        (|call| call == 2, 2),
        // As a device that was lost on the way.
        (|call| call >= 1, 1),
        (|_| true, 0),
    ];
    for (fails, registered_steps) in refusals {
        let driver = Driver::new(fails);
        let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&warnings);
        let warning: lmcache::storage::memory::PinWarning =
            Arc::new(move |sentence| told.lock().unwrap().push(sentence.to_owned()));
        let pinning = Pinning { registrar: Some(Arc::clone(&driver) as _), warning: Some(warning) };
        let mut memory = L1MemoryManager::with_pinning(&lazy(1, 3 * STEP_BYTES), pinning).unwrap();
        wait_until_grown(&memory);
        let registered_bytes = registered_steps * STEP_BYTES;
        assert_eq!(memory.arena().registration(), status(RegistrationState::Degraded, registered_bytes));
        check_known(memory.arena(), fails);
        let warnings = std::mem::take(&mut *warnings.lock().unwrap());
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("are used unpinned: the driver said no; ask it again"), "{warnings:?}");
        assert!(memory.batched_allocate(3 * STEP_BYTES, 1, &mut Vec::new()).unwrap(), "all of it is used");
        drop(memory);
        driver.check_end();
    }
}

/// Of three steps those are known that were not refused, and what reaches from one into another if both are.
fn check_known(arena: &Arena, fails: Fails) {
    for step in 0..3 {
        let start = step as u64 * STEP_BYTES;
        assert_eq!(arena.is_registered(span(start, STEP_BYTES)), !fails(step), "step {step}");
        assert_eq!(arena.is_registered(span(start + STEP_BYTES - 1, 1)), !fails(step), "step {step}");
        if step < 2 {
            let both = !fails(step) && !fails(step + 1);
            assert_eq!(arena.is_registered(span(start + STEP_BYTES - 1, 2)), both, "behind step {step}");
        }
    }
}

#[test]
fn a_heap_that_is_closed_while_a_step_is_registered_gives_up_all_that_was() {
    let driver = Driver::new(|_| false);
    driver.allow(2);
    let mut memory = pinned(&lazy(1, 1 << 40), &driver);
    driver.wait_for_call(2);
    let other = Arc::clone(&driver);
    // The step that the thread is in goes on only after it was told to stop, or just before: both are fine.
    let release = std::thread::spawn(move || other.allow(usize::MAX));
    memory.stop_growth();
    release.join().unwrap();
    assert!(matches!(memory.growth(), GrowthState::Stopped(_)), "{:?}", memory.growth());
    let total_bytes = memory.total_bytes();
    assert_eq!(memory.arena().registration(), status(RegistrationState::Registered, total_bytes));
    assert_eq!(total_bytes, driver.asked().len() as u64 * STEP_BYTES);
    drop(memory);
    driver.check_end();
}

#[test]
fn who_holds_an_object_holds_its_registration() {
    let driver = Driver::new(|_| false);
    let memory = pinned(&plain(2 * PAGE), &driver);
    let object = memory.arena().pin(span(PAGE, PAGE));
    drop(memory);
    assert!(object.arena().is_registered(object.span()));
    assert!(driver.seen.lock().unwrap().ended.is_empty());
    drop(object);
    driver.check_end();
}

#[test]
fn memory_that_is_there_from_the_start_is_registered_as_a_whole() {
    let shm_name = format!("test_pinned_{}", std::process::id());
    let huge = L1MemoryManagerConfig { use_hugepages: true, ..plain(2 << 20) };
    for config in [plain(3 * PAGE), L1MemoryManagerConfig { shm_name, ..plain(3 * PAGE) }, huge] {
        let driver = Driver::new(|_| false);
        let pinning = Pinning { registrar: Some(Arc::clone(&driver) as _), warning: None };
        let memory = match L1MemoryManager::with_pinning(&config, pinning) {
            // The operator has set none aside.
            Err(error) if config.use_hugepages => {
                assert!(error.to_string().contains("2 MiB pages"), "{error}");
                continue;
            }
            memory => memory.unwrap(),
        };
        assert_eq!(driver.asked(), [config.size_bytes]);
        assert_eq!(memory.arena().registration(), status(RegistrationState::Registered, config.size_bytes));
        drop(memory);
        driver.check_end();
    }
    let driver = Driver::new(|_| true);
    let memory = pinned(&plain(3 * PAGE), &driver);
    assert_eq!(memory.arena().registration(), status(RegistrationState::Degraded, 0));
    memory.arena().pin(span(0, PAGE)).write_from(0, b"as it is").unwrap();
}

#[test]
fn more_than_the_machine_has_is_not_tried() {
    let driver = Driver::new(|_| false);
    let memory = pinned(&plain(1 << 45), &driver);
    let registration = memory.arena().registration();
    assert_eq!((registration.state, registration.registered_bytes), (RegistrationState::Degraded, 0));
    assert!(registration.failure.unwrap().contains("not enough free memory"));
    assert_eq!((driver.asked(), memory.total_bytes()), (vec![], 1 << 45));
}

#[test]
fn the_kernel_locks_what_a_configuration_asks_for_and_no_device_knows_of_it() {
    let config = L1MemoryManagerConfig { pin: PinKind::Mlock, ..plain(4 * PAGE) };
    let memory = L1MemoryManager::new(&config).unwrap();
    let registration = memory.arena().registration();
    match registration.state {
        RegistrationState::Locked => assert_eq!(registration.registered_bytes, 4 * PAGE),
        // By the limit of the process.
        RegistrationState::Degraded => assert!(registration.failure.unwrap().contains("ulimit -l")),
        other => panic!("{other:?}"),
    }
    assert!(!memory.arena().is_registered(span(0, PAGE)));
    let unpinned = L1MemoryManager::new(&plain(PAGE)).unwrap();
    assert_eq!(unpinned.arena().registration(), RegistrationStatus::default());
    // What a host brings comes before that.
    let driver = Driver::new(|_| false);
    assert_eq!(pinned(&config, &driver).arena().registration().state, RegistrationState::Registered);
}

/// A manager of L1s in these memories, and what it warned of.
fn manager(
    driver: &Arc<Driver>,
    memories: Vec<L1MemoryManagerConfig>,
) -> (StorageManager, Arc<Mutex<Vec<String>>>) {
    let eviction = EvictionConfig { policy: EvictionPolicyKind::Lru, ..Default::default() };
    let l1s = memories.into_iter().zip(["a", "b"]).map(|(memory, tag)| L1ManagerConfig {
        tag: tag.to_owned(),
        memory,
        ..L1ManagerConfig::dram(0, eviction.clone())
    });
    let config = StorageManagerConfig::with_l1_managers(l1s.collect(), eviction.clone());
    let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&warnings);
    let builder = StorageManagerBuilder::new(config)
        .without_threads(Clock::manual(1).0)
        .page_registrar(Arc::clone(driver) as _)
        .pin_warning(Arc::new(move |sentence| told.lock().unwrap().push(sentence.to_owned())));
    (builder.build().unwrap(), warnings)
}

#[test]
fn a_storage_manager_says_which_l1_is_pinned_and_warns_once_of_the_one_that_is_not() {
    let driver = Driver::new(|call| call == 1);
    let (manager, warnings) = manager(&driver, vec![plain(4 * PAGE), plain(2 * PAGE)]);
    let status = serde_json::to_value(manager.report_status()).unwrap();
    let [a, b] = ["a", "b"].map(|tag| &status["l1_managers"][tag]);
    assert_eq!(
        (&a["memory_registration"], &a["memory_registered_bytes"]),
        (&"registered".into(), &16_384.into())
    );
    assert!(a.get("memory_registration_failure").is_none());
    assert_eq!((&b["memory_registration"], &b["memory_registered_bytes"]), (&"degraded".into(), &0.into()));
    assert_eq!(b["memory_registration_failure"], "the driver said no; ask it again");
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("L1 b: 8192 bytes of its memory"), "{warnings:?}");
    drop(manager);
    driver.check_end();
}

#[test]
fn a_storage_manager_that_closes_does_not_grow_on_and_keeps_its_memory_pinned_until_it_goes() {
    let driver = Driver::new(|_| false);
    driver.allow(2);
    let (manager, _) = manager(&driver, vec![lazy(1, 1 << 40)]);
    driver.wait_for_call(2);
    let other = Arc::clone(&driver);
    let release = std::thread::spawn(move || other.allow(usize::MAX));
    manager.close().unwrap();
    release.join().unwrap();
    let calls = driver.asked().len();
    assert!(driver.seen.lock().unwrap().ended.is_empty());
    manager.close().unwrap();
    assert_eq!(driver.asked().len(), calls, "nothing is registered after the end");
    drop(manager);
    driver.check_end();
}
