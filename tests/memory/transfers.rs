//! A pinned span as the buffer of I/O: files, sockets, copies.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use lmcache::storage::memory::{Arena, PinnedSpan, Span};

/// Two neighbours that lie at no word's start, and a third part behind them.
fn neighbours(size_bytes: u64) -> [PinnedSpan; 3] {
    let arena = Arc::new(Arena::new(3 * size_bytes + 3, 1).unwrap());
    let at = |offset_bytes| Span { offset_bytes, phy_size_bytes: size_bytes, size_bytes };
    [3, 3 + size_bytes, 3 + 2 * size_bytes].map(|offset_bytes| arena.pin(at(offset_bytes)))
}

fn bytes_of(pinned: &PinnedSpan) -> Vec<u8> {
    let mut bytes = vec![0; pinned.size_bytes()];
    assert_eq!(pinned.read_into(0, &mut bytes), bytes.len());
    bytes
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 + 1).collect()
}

#[test]
fn a_part_is_copied_and_its_neighbours_stay() {
    for size in [1, 7, 8, 9, 63, 64, 65, 4095, 100_001] {
        let [before, object, behind] = neighbours(size as u64);
        before.write_from(0, &vec![0xaa; size]).unwrap();
        behind.write_from(0, &vec![0xbb; size]).unwrap();
        object.write_from(0, &pattern(size)).unwrap();
        assert_eq!(bytes_of(&object), pattern(size));
        object.write_from(size - 1, &[9]).unwrap();
        assert_eq!(object.write_from(size, &[9]).unwrap_err().context().count(), 3);
        assert!(object.write_from(usize::MAX, &[9]).is_err());
        assert!(object.write_from(size, &[]).is_ok());
        assert_eq!(bytes_of(&object)[size - 1], 9);
        assert_eq!((object.read_into(size, &mut [0]), object.read_into(usize::MAX, &mut [0])), (0, 0));
        object.copy_to(&behind).unwrap();
        assert_eq!(bytes_of(&behind), bytes_of(&object));
        assert!(bytes_of(&before).iter().all(|byte| *byte == 0xaa));
    }
}

#[test]
fn a_smaller_span_takes_no_copy() {
    let [large, ..] = neighbours(65);
    let [small, ..] = neighbours(64);
    small.copy_to(&large).unwrap();
    large.write_from(0, &[1; 65]).unwrap();
    assert!(large.copy_to(&small).is_err());
    assert!(bytes_of(&small).iter().all(|byte| *byte == 0), "nothing was written");
}

#[test]
fn a_part_of_the_bytes_is_inside_of_them() {
    let [object, ..] = neighbours(100);
    object.write_from(0, &pattern(100)).unwrap();
    let part = object.bytes().range(10, 90).unwrap();
    let mut out = [0; 100];
    assert_eq!((part.len(), part.read_into(80, &mut out)), (90, 10));
    assert_eq!(out[..10], pattern(100)[90..]);
    assert!(object.bytes().range(100, 0).unwrap().is_empty());
    assert!(object.bytes().range(10, 91).is_err());
    assert!(object.bytes().range(usize::MAX, 2).is_err());
}

#[test]
fn a_file_is_written_and_read_in_place() {
    const SIZE: usize = 300_001;
    let [object, other, _] = neighbours(SIZE as u64);
    object.write_from(0, &pattern(SIZE)).unwrap();
    let file = tempfile::tempfile().unwrap();
    assert_eq!(object.pwrite_all(&file, 5).unwrap(), SIZE);
    assert_eq!(file.metadata().unwrap().len(), 5 + SIZE as u64);
    assert_eq!(other.pread_exact(&file, 5).unwrap(), SIZE);
    assert_eq!(bytes_of(&other), pattern(SIZE));
    assert_eq!(other.pread_exact(&file, 6).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert!(other.pread_exact(&file, u64::MAX).is_err());
    assert!(other.pwrite_all(&file, i64::MAX as u64 + 1).is_err());
}

#[test]
fn a_socket_carries_a_whole_object() {
    const SIZE: usize = 1_000_003;
    let [object, other, _] = neighbours(SIZE as u64);
    object.write_from(0, &pattern(SIZE)).unwrap();
    let (here, mut there) = UnixStream::pair().unwrap();
    let echo = std::thread::spawn(move || {
        let mut bytes = vec![0; SIZE];
        there.read_exact(&mut bytes).unwrap();
        there.write_all(&bytes).unwrap();
        there.write_all(&bytes[1..]).unwrap();
    });
    assert_eq!(object.send_all(here.as_fd()).unwrap(), SIZE);
    assert_eq!(other.recv_exact(here.as_fd()).unwrap(), SIZE);
    assert_eq!(bytes_of(&other), pattern(SIZE));
    assert_eq!(other.recv_exact(here.as_fd()).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    echo.join().unwrap();
    assert_eq!(object.send_all(here.as_fd()).unwrap_err().kind(), ErrorKind::BrokenPipe);
}
