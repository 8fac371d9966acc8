//! A pinned span as the buffer of I/O: files, sockets, copies.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use lmcache::os::transfer::MAX_PARTS;
use lmcache::storage::memory::{Arena, Gather, PinnedSpan, Scatter, Span};

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

/// Every second part is a part of the object, the others are `|`.
fn gathered(object: &PinnedSpan, parts: usize) -> (Gather<'_>, Vec<u8>) {
    let (mut gather, mut expected) = (Gather::new(), Vec::new());
    for position in 0..parts {
        // Some of them empty.
        let (at, len) = (position % 90, position % 7);
        gather.push(object.bytes().range(at, len).unwrap());
        gather.push_slice(b"|");
        expected.extend_from_slice(&pattern(100)[at..at + len]);
        expected.push(b'|');
    }
    assert_eq!(gather.len_bytes(), expected.len());
    (gather, expected)
}

#[test]
fn many_parts_are_one_transfer() {
    let [object, other, _] = neighbours(100);
    object.write_from(0, &pattern(100)).unwrap();
    for parts in [0, 1, MAX_PARTS / 2, MAX_PARTS / 2 + 1, 3 * MAX_PARTS] {
        let (gather, expected) = gathered(&object, parts);
        let file = tempfile::tempfile().unwrap();
        assert_eq!(gather.pwrite_all(&file, 3).unwrap(), expected.len());
        let mut found = vec![0; expected.len()];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, 3).unwrap();
        assert!(found == expected, "{parts} parts");
        let mut scatter = Scatter::new();
        found.fill(0);
        found.chunks_mut(5).for_each(|part| scatter.push_slice(part));
        assert_eq!(scatter.len_bytes(), expected.len());
        assert_eq!(scatter.pread_exact(&file, 3).unwrap(), expected.len());
        assert!(found == expected, "{parts} parts");
    }
    let file = tempfile::tempfile().unwrap();
    object.pwrite_all(&file, 0).unwrap();
    let scatter = |len| {
        let mut scatter = Scatter::new();
        scatter.push(other.bytes().range(50, 50).unwrap());
        scatter.push(other.bytes().range(0, len).unwrap());
        scatter
    };
    assert_eq!(scatter(50).pread_exact(&file, 0).unwrap(), 100);
    assert_eq!(bytes_of(&other), [&pattern(100)[50..], &pattern(100)[..50]].concat());
    assert_eq!(scatter(50).pread_exact(&file, 1).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn parts_larger_than_a_socket_takes_at_once_arrive() {
    const SIZE: usize = 700_001;
    let [object, other, third] = neighbours(SIZE as u64);
    object.write_from(0, &pattern(SIZE)).unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let object = &object;
        scope.spawn(move || {
            let mut gather = Gather::new();
            gather.push(object.bytes());
            gather.push_slice(b"between");
            gather.push(object.bytes());
            assert_eq!(gather.send_all(there.as_fd()).unwrap(), 2 * SIZE + 7);
        });
        let mut between = [0; 7];
        let mut scatter = Scatter::new();
        scatter.push(other.bytes());
        scatter.push_slice(&mut between);
        scatter.push(third.bytes());
        assert_eq!(scatter.recv_exact(here.as_fd()).unwrap(), 2 * SIZE + 7);
        assert_eq!(&between, b"between");
    });
    assert!(bytes_of(&other) == pattern(SIZE) && bytes_of(&third) == pattern(SIZE));
    let mut scatter = Scatter::new();
    scatter.push(other.bytes());
    assert_eq!(scatter.recv_exact(here.as_fd()).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}
