//! The operations of L1 that the loads of a prefetch use, with several writers of one key.

use lmcache::clock::Clock;
use lmcache::format::model::WriteMode;
use lmcache::storage::config::{Compat, EvictionConfig, L1ManagerConfig};
use lmcache::storage::events::Events;
use lmcache::storage::l1::{L1Manager, ObjectStage, WriteRequest, WriterTag};

use crate::support::{PAGE, keys, names};

const CLIENT: WriterTag = WriterTag::StorageManager;
const LOADER: WriterTag = WriterTag::Prefetch(7);

fn l1() -> L1Manager {
    let config = L1ManagerConfig::dram(16 * PAGE, EvictionConfig::default());
    L1Manager::new(config, Clock::manual(1).0, Compat::Lmcache, Events::default()).unwrap()
}

fn request(tag: WriterTag, is_temporary: bool) -> WriteRequest {
    WriteRequest { size_bytes: PAGE, is_temporary, tag, mode: WriteMode::New }
}

#[test]
fn two_writers_of_a_key_do_not_see_each_other_and_the_first_to_finish_wins() {
    let (l1, keys) = (l1(), keys(0, 1));
    let (_, first) = l1.reserve_write(&keys, request(CLIENT, false)).unwrap();
    let (_, second) = l1.reserve_write(&keys, request(LOADER, true)).unwrap();
    assert_ne!(first, second);
    assert_eq!(l1.get_staging_memory_usage(), 2 * PAGE);
    assert_eq!(names(&l1.reserve_read(&keys, 1)), ["KEY_NOT_EXIST"]);
    assert!(l1.finish_write_and_reserve_read(&keys, 2, LOADER).all_succeeded());
    assert_eq!(names(&l1.reserve_write(&keys, request(CLIENT, false)).unwrap().0), ["KEY_NOT_WRITABLE"]);
    assert!(l1.finish_write(&keys, CLIENT).all_succeeded(), "the copy is dropped");
    assert_eq!(l1.unsafe_read(&keys).1, second);
    assert_eq!(l1.get_memory_usage().0, PAGE);
    assert_eq!(names(&l1.finish_write(&keys, CLIENT)), ["KEY_NOT_EXIST"]);
}

#[test]
fn a_loader_that_comes_second_locks_what_is_resident() {
    let (l1, keys) = (l1(), keys(0, 1));
    l1.reserve_write(&keys, request(LOADER, true)).unwrap();
    let (_, first) = l1.reserve_write(&keys, request(CLIENT, false)).unwrap();
    assert!(l1.finish_write(&keys, CLIENT).all_succeeded());
    assert!(l1.finish_write_and_reserve_read(&keys, 1, LOADER).all_succeeded());
    assert_eq!(l1.unsafe_read(&keys).1, first);
    assert!(l1.finish_read(&keys, 1).all_succeeded());
    assert_eq!(l1.get_memory_usage().0, PAGE, "what stays is not temporary");
}

#[test]
fn a_temporary_object_leaves_with_its_last_reader() {
    let (l1, keys) = (l1(), keys(0, 2));
    l1.reserve_write(&keys, request(LOADER, true)).unwrap();
    assert!(l1.finish_write_and_reserve_read(&keys, 2, LOADER).all_succeeded());
    assert_eq!(l1.report_status().temporary_count, 2);
    assert!(l1.finish_read(&keys, 1).all_succeeded());
    assert_eq!(l1.get_memory_usage().0, 2 * PAGE);
    assert!(l1.finish_read(&keys, 1).all_succeeded());
    assert_eq!(l1.get_memory_usage().0, 0);
    assert_eq!(names(&l1.finish_read(&keys, 1)), ["KEY_NOT_EXIST"; 2]);
    assert!(l1.memcheck());
}

#[test]
fn a_load_that_failed_leaves_nothing_behind() {
    let (l1, keys) = (l1(), keys(0, 2));
    l1.reserve_write(&keys, request(LOADER, false)).unwrap();
    l1.reserve_write(&keys[..1], request(CLIENT, false)).unwrap();
    assert_eq!(names(&l1.finish_write_and_delete(&keys, LOADER)), ["SUCCESS"; 2]);
    assert_eq!(names(&l1.finish_write_and_delete(&keys, LOADER)), ["KEY_NOT_EXIST"; 2]);
    let objects = l1.objects();
    assert_eq!(objects.len(), 1);
    assert_eq!((&objects[0].key, objects[0].stage), (&keys[0], ObjectStage::Staging(CLIENT)));
}

#[test]
fn force_takes_what_is_read_and_written_and_nothing_less_does() {
    let (l1, keys) = (l1(), keys(0, 3));
    l1.reserve_write(&keys, request(CLIENT, false)).unwrap();
    l1.finish_write(&keys[..2], CLIENT);
    l1.reserve_read(&keys[..1], 1);
    assert!([false, true, false] == [0, 1, 2].map(|i| l1.is_key_evictable(&keys[i])));
    assert_eq!(names(&l1.delete(&keys, false)), ["KEY_IS_LOCKED", "SUCCESS", "KEY_IS_LOCKED"]);
    l1.clear(false);
    assert_eq!(l1.get_memory_usage().0, 2 * PAGE);
    assert_eq!(names(&l1.delete(&keys, true)), ["SUCCESS", "KEY_NOT_EXIST", "SUCCESS"]);
    assert_eq!((l1.get_memory_usage().0, l1.get_staging_memory_usage()), (0, 0));
}
