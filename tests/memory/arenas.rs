//! Where the bytes come from: plain memory, huge pages, shared memory, lazily, of one node.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use lmcache::error::{Error, ErrorKind};
use lmcache::storage::config::L1MemoryManagerConfig;
use lmcache::storage::memory::growth::STEP_BYTES;
use lmcache::storage::memory::{
    Arena, ArenaOptions, ArenaSource, GrowthState, HeapSize, L1MemoryManager, PinnedSpan, Span,
};

use crate::support::{lazy, wait_until_grown};

const PAGE: u64 = 4096;
const HUGE: u64 = 2 << 20;

fn shared(name: &str) -> L1MemoryManagerConfig {
    let shm_name = format!("/test_{}_{name}", std::process::id());
    L1MemoryManagerConfig { size_bytes: 3 * PAGE, shm_name, ..Default::default() }
}

/// Where the kernel shows the segment.
fn path_of(arena: &Arena) -> PathBuf {
    PathBuf::from("/dev/shm").join(arena.shm_name().expect("a segment"))
}

fn whole(arena: &Arc<Arena>) -> PinnedSpan {
    let bytes = arena.len_bytes();
    arena.pin(Span { offset_bytes: 0, phy_size_bytes: bytes, size_bytes: bytes })
}

/// How much is in memory of the map that holds the arena.
fn resident_bytes(arena: &Arena) -> u64 {
    let address = arena.ptr(0).addr() as u64;
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let holds = |line: &str| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = range.and_then(|(start, end)| {
            Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
        });
        ends.is_some_and(|ends| ends.contains(&address))
    };
    let of_map = text.lines().skip_while(|line| !holds(line));
    let resident = of_map.filter_map(|line| line.strip_prefix("Rss:")).next().unwrap();
    resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Runs `name`, an ignored test of this file, in a process of its own, with `argument` for it.
fn run_child(name: &str, argument: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", &format!("arenas::{name}"), "--ignored", "--nocapture"])
        .env("LMCACHE_TEST_CHILD", argument)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn another_process_maps_the_segment_and_sees_the_bytes() {
    let memory = L1MemoryManager::new(&shared("seen")).unwrap();
    let pinned = whole(memory.arena());
    pinned.write_from(0, b"from the parent").unwrap();
    let path = path_of(memory.arena());
    assert!(memory.arena().shm_name().unwrap().starts_with("lmcache_l1_pool_test_"));
    run_child("maps_the_segment", path.to_str().unwrap());
    let mut bytes = [0; 14];
    pinned.read_into(PAGE as usize, &mut bytes);
    assert_eq!(&bytes, b"from the child");
    drop(memory);
    assert!(path.exists(), "who holds a pin holds the segment");
    drop(pinned);
    assert!(!path.exists(), "the name went with the arena");
}

#[test]
#[ignore = "the child of another test"]
#[expect(unsafe_code, reason = "a map that another process changes is what is tested")]
fn maps_the_segment() {
    let path = std::env::var("LMCACHE_TEST_CHILD").unwrap();
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    // SAFETY: the parent waits while this process has the map.
    let mut map = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
    assert_eq!(map.len() as u64, 3 * PAGE);
    assert_eq!(&map[..15], b"from the parent");
    map[PAGE as usize..][..14].copy_from_slice(b"from the child");
}

#[test]
fn a_segment_is_its_owners_alone_and_a_stale_one_is_replaced() {
    use std::os::unix::fs::MetadataExt;
    let config = shared("stale");
    let first = L1MemoryManager::new(&config).unwrap();
    whole(first.arena()).write_from(0, b"old").unwrap();
    let path = path_of(first.arena());
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.len()), (0o600, 3 * PAGE));
    assert_eq!(metadata.blocks() * 512, 3 * PAGE, "all pages are there");
    let second = L1MemoryManager::new(&config).unwrap();
    let mut bytes = [9; 3];
    whole(second.arena()).read_into(0, &mut bytes);
    assert_eq!(bytes, [0; 3], "a new segment is zero");
    drop(first);
    assert!(path.exists(), "the name is the successor's");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn a_segment_starts_at_any_alignment() {
    let options = ArenaOptions {
        source: ArenaSource::SharedMemory { name: format!("lmcache_l1_pool_align_{}", std::process::id()) },
        ..ArenaOptions::new(100, 1 << 24)
    };
    let arena = options.build().unwrap();
    assert_eq!(arena.ptr(0).addr() % (1 << 24), 0);
    whole(&arena).write_from(0, b"start").unwrap();
    assert_eq!(&std::fs::read(path_of(&arena)).unwrap()[..5], b"start");
}

#[test]
fn a_segment_that_cannot_be_made_says_why_and_leaves_nothing() {
    let name = "x".repeat(250);
    let refused = |config: &L1MemoryManagerConfig| L1MemoryManager::new(config).unwrap_err();
    let too_long = refused(&L1MemoryManagerConfig { shm_name: name, ..shared("") });
    assert!(too_long.to_string().contains("too long"), "{too_long}");
    assert!(
        refused(&L1MemoryManagerConfig { shm_name: "a/b".to_owned(), ..shared("") }).context().count() > 0
    );
    let config = shared("huge");
    let too_large = refused(&L1MemoryManagerConfig { size_bytes: 1 << 45, ..config.clone() });
    assert!(too_large.to_string().contains("not enough free memory"), "{too_large}");
    let name = format!("lmcache_l1_pool_{}", config.shm_name.trim_start_matches('/'));
    assert!(!PathBuf::from("/dev/shm").join(name).exists());
}

#[test]
fn the_longest_name_is_taken() {
    let longest = "y".repeat(lmcache::storage::memory::source::MAX_SHM_NAME_BYTES - 16 - 10);
    let shm_name = format!("{longest}{:010}", std::process::id());
    let memory = L1MemoryManager::new(&L1MemoryManagerConfig { shm_name, ..shared("") }).unwrap();
    assert!(path_of(memory.arena()).exists());
}

#[test]
fn huge_pages_are_taken_or_missed_with_a_clear_word() {
    let config = L1MemoryManagerConfig { size_bytes: HUGE + 1, use_hugepages: true, ..Default::default() };
    match L1MemoryManager::new(&config) {
        Ok(memory) => {
            assert_eq!(memory.arena().ptr(0).addr() as u64 % HUGE, 0);
            whole(memory.arena()).write_from(HUGE as usize, &[1]).unwrap();
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
            assert!(error.to_string().contains("2 MiB pages") && error.hint().is_some(), "{error}");
        }
    }
}

#[test]
fn huge_pages_exclude_lazy_growth_and_shared_memory() {
    let refused = |config: L1MemoryManagerConfig| L1MemoryManager::new(&config).unwrap_err();
    let huge = |config| L1MemoryManagerConfig { use_hugepages: true, ..config };
    let errors = [refused(huge(lazy(PAGE, PAGE))), refused(huge(shared("")))];
    assert!(errors.iter().all(|error: &Error| error.message().contains("exclude each other")));
}

#[test]
fn a_lazy_heap_starts_with_its_first_bytes_and_ends_with_all() {
    let size_bytes = 3 * STEP_BYTES - PAGE;
    let mut memory = L1MemoryManager::new(&lazy(1, size_bytes)).unwrap();
    let mut addresses = Vec::new();
    assert!(memory.batched_allocate(STEP_BYTES, 1, &mut addresses).unwrap(), "at once");
    wait_until_grown(&memory);
    assert_eq!(memory.growth(), GrowthState::Complete);
    assert_eq!(memory.total_bytes(), size_bytes);
    assert!(
        !memory.batched_allocate(STEP_BYTES, 2, &mut addresses).unwrap(),
        "the end is the configured one"
    );
    assert!(memory.batched_allocate(STEP_BYTES, 1, &mut addresses).unwrap());
    assert!(memory.batched_allocate(STEP_BYTES - PAGE, 1, &mut addresses).unwrap());
    assert_eq!(addresses, [0, STEP_BYTES, 2 * STEP_BYTES]);
    assert_eq!((memory.used_bytes(), memory.arena().len_bytes()), (size_bytes, size_bytes));
    assert!(resident_bytes(memory.arena()) >= size_bytes, "every page is there");
    assert!(memory.memcheck());
}

#[test]
fn lmcaches_lazy_heap_ends_with_a_whole_step() {
    let config = lazy(1, STEP_BYTES + 1);
    let heap = HeapSize::lmcache(config.init_size_bytes, config.size_bytes);
    let mut memory = L1MemoryManager::with_heap(&config, heap).unwrap();
    wait_until_grown(&memory);
    assert!(memory.batched_allocate(PAGE, (2 * STEP_BYTES / PAGE) as usize, &mut Vec::new()).unwrap());
    assert_eq!((memory.used_bytes(), memory.total_bytes()), (2 * STEP_BYTES, 2 * STEP_BYTES));
}

#[test]
fn a_heap_that_is_closed_stays_as_large_as_it_is() {
    let mut memory = L1MemoryManager::new(&lazy(1, 1 << 40)).unwrap();
    let arena = Arc::clone(memory.arena());
    memory.stop_growth();
    let total_bytes = memory.total_bytes();
    assert_eq!(memory.growth(), GrowthState::Stopped("L1 was closed while it grew".to_owned()));
    assert!((STEP_BYTES..1 << 40).contains(&total_bytes));
    assert!(memory.batched_allocate(total_bytes, 1, &mut Vec::new()).unwrap(), "what is there stays");
    drop(memory);
    assert_eq!(Arc::strong_count(&arena), 1, "the thread is gone");
}

#[test]
fn a_heap_that_finds_no_memory_says_so_and_stays_as_it_is() {
    // More than any machine has.
    let error = L1MemoryManager::new(&lazy(1 << 46, 1 << 46)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.hint().is_some_and(|hint| hint.contains("initial size")), "{error}");
    let error = L1MemoryManager::new(&L1MemoryManagerConfig {
        size_bytes: 1 << 46,
        first_touch: true,
        ..Default::default()
    });
    assert!(error.unwrap_err().to_string().contains("not enough free memory"));
}

#[test]
fn touched_memory_is_there_and_untouched_is_not() {
    let config =
        |first_touch| L1MemoryManagerConfig { size_bytes: 256 << 20, first_touch, ..Default::default() };
    let touched = L1MemoryManager::new(&config(true)).unwrap();
    assert!(resident_bytes(touched.arena()) >= 256 << 20);
    let untouched = L1MemoryManagerConfig { size_bytes: 1 << 45, ..config(false) };
    let untouched = L1MemoryManager::new(&untouched).unwrap();
    assert_eq!(untouched.total_bytes(), 1 << 45);
    assert!(resident_bytes(untouched.arena()) < 1 << 40);
}

#[test]
fn memory_is_bound_to_a_node_or_refused_by_name() {
    let bound = |node| {
        let config = L1MemoryManagerConfig { size_bytes: PAGE, numa_node: Some(node), ..Default::default() };
        L1MemoryManager::new(&config)
    };
    match bound(0) {
        Ok(memory) => whole(memory.arena()).write_from(0, b"on node 0").unwrap(),
        Err(error) => assert!(error.to_string().contains("mbind"), "{error}"),
    }
    for node in [1023, 1024, u32::MAX] {
        let error = bound(node).unwrap_err();
        assert!(error.context().any(|(name, value)| name == "node" && value == node.to_string()));
    }
}

#[test]
fn what_is_freed_under_an_io_comes_back_after_it() {
    let config = L1MemoryManagerConfig { size_bytes: 2 * PAGE, ..Default::default() };
    let mut memory = L1MemoryManager::new(&config).unwrap();
    let mut addresses = Vec::new();
    assert!(memory.batched_allocate(PAGE, 2, &mut addresses).unwrap());
    let span = Span { offset_bytes: PAGE, phy_size_bytes: PAGE, size_bytes: 1 };
    let pinned = memory.arena().pin(span);
    memory.free(PAGE, PAGE).unwrap();
    memory.free(0, PAGE).unwrap();
    assert_eq!(memory.used_bytes(), PAGE);
    assert!(!memory.batched_allocate(PAGE, 2, &mut addresses).unwrap());
    drop(pinned);
    assert_eq!(memory.free_unpinned(), 1);
    assert_eq!((memory.used_bytes(), memory.free_unpinned()), (0, 0));
    assert!(memory.batched_allocate(PAGE, 2, &mut addresses).unwrap());
    assert!(memory.memcheck());
}
