//! io_uring by itself: more requests than it has room for, requests that fail, and reads that end early.

use std::fs::File;
use std::os::unix::fs::FileExt;

use lmcache::os::uring::Uring;

use crate::fs::folder;
use crate::support::{Buffers, payload};

/// A ring; `None`, and a word, where the kernel has none for us.
fn ring(depth: u32) -> Option<Uring> {
    let ring = Uring::new(depth);
    if let Err(error) = &ring {
        eprintln!("skipped: no io_uring: {error}");
    }
    ring.ok()
}

#[test]
fn more_requests_than_the_ring_is_deep_are_all_done_in_their_order() {
    const REQUESTS: usize = 100;
    let folder = folder();
    for depth in [1, 2, 16] {
        let Some(mut ring) = ring(depth) else { return };
        let buffers = Buffers::new(8 << 20);
        let spans: Vec<_> = (0..REQUESTS).map(|i| buffers.filled(&payload(i as u64, 10_000 + i))).collect();
        let path = folder.path().join(format!("depth-{depth}"));
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let bytes: Vec<_> = spans.iter().map(|span| span.bytes()).collect();
        let writes: Vec<_> = bytes
            .iter()
            .enumerate()
            .map(|(i, b)| b.write_request(&file, i % 7 == 0, i as u64 * 16_384))
            .collect();
        let moved: Vec<_> = ring.run(&writes).into_iter().map(|result| result.unwrap().unwrap()).collect();
        assert_eq!(moved, (10_000..10_000 + REQUESTS).collect::<Vec<_>>());
        let back: Vec<_> = (0..REQUESTS).map(|i| buffers.take(10_000 + i)).collect();
        let bytes: Vec<_> = back.iter().map(|span| span.bytes()).collect();
        let reads: Vec<_> = bytes
            .iter()
            .enumerate()
            .map(|(i, b)| b.read_request(&file, usize::MAX, i as u64 * 16_384))
            .collect();
        assert!(ring.run(&reads).into_iter().all(|result| result.unwrap().is_ok()));
        for (i, span) in back.iter().enumerate() {
            let mut found = vec![0; span.size_bytes()];
            span.read_into(0, &mut found);
            assert!(found == payload(i as u64, 10_000 + i), "request {i} of a ring of {depth}");
        }
        assert!(!ring.is_broken());
    }
}

#[test]
fn a_request_that_fails_fails_alone_and_a_read_ends_where_the_file_does() {
    let Some(mut ring) = ring(4) else { return };
    let folder = folder();
    let path = folder.path().join("file");
    std::fs::write(&path, payload(1, 5_000)).unwrap();
    let readable = File::open(&path).unwrap();
    let writable = File::options().write(true).open(&path).unwrap();
    let buffers = Buffers::new(1 << 20);
    let spans: Vec<_> = (0..5).map(|_| buffers.filled(&[7; 4_000])).collect();
    let bytes: Vec<_> = spans.iter().map(|span| span.bytes()).collect();
    let results = ring.run(&[
        bytes[0].read_request(&readable, 4_000, 0),
        bytes[1].read_request(&readable, 4_000, 3_000),
        bytes[2].read_request(&readable, 4_000, 9_000),
        bytes[3].read_request(&writable, 4_000, 0),
        bytes[4].write_request(&readable, true, 0),
    ]);
    let moved: Vec<_> =
        results.iter().map(|result| result.as_ref().unwrap().as_ref().ok().copied()).collect();
    assert_eq!(moved, [Some(4_000), Some(2_000), Some(0), None, None]);
    assert_eq!(ring.run(&[]).len(), 0);
    let mut found = vec![0; 5_000];
    readable.read_exact_at(&mut found, 0).unwrap();
    assert!(found == payload(1, 5_000), "what failed wrote nothing");
}
