//! Who waits for a prefetch: a thread, a callback, an eventfd.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use lmcache::clock::{NS_PER_S, monotonic_ns};
use lmcache::storage::config::Compat;

use crate::gate::Kind;
use crate::support::{Bench, keys, spec};

#[test]
fn a_result_wakes_who_waits_for_it() {
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let handle = bench.submit(&spec(&keys));
    let (send, receive) = std::sync::mpsc::channel();
    let sent = send.clone();
    handle.on_done(move || sent.send(1).unwrap());
    assert!(!bench.manager.wait_prefetch_status(&handle, Duration::from_millis(1)));
    bench.hold(Kind::Load, false);
    handle.on_done(move || send.send(2).unwrap());
    assert_eq!(receive.iter().collect::<Vec<_>>(), [1, 2]);
    assert!(handle.ready_time_ns().is_some());
}

#[test]
#[expect(unsafe_code, reason = "std has no eventfd")]
fn a_result_is_told_to_an_eventfd() {
    // SAFETY: it takes two numbers and gives a descriptor, or -1.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    assert!(descriptor >= 0);
    // SAFETY: nobody else has it.
    let event = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let bench = Bench::new(Compat::Native, 16);
    let keys = keys(0, 4);
    bench.write_to_l2(&keys);
    bench.hold(Kind::Load, true);
    let handles = [0, 1].map(|_| bench.submit(&spec(&keys)));
    handles.iter().for_each(|handle| handle.signal_on_done(event.try_clone().unwrap()));
    let mut counter = File::from(event);
    let mut count = [0; 8];
    assert_eq!(counter.read_exact(&mut count).unwrap_err().kind(), ErrorKind::WouldBlock);
    bench.hold(Kind::Load, false);
    for handle in &handles {
        assert!(bench.manager.wait_prefetch_status(handle, Duration::from_secs(10)));
    }
    let mut signals = 0;
    let begun_ns = monotonic_ns();
    while signals < 2 {
        assert!(monotonic_ns() - begun_ns < 10 * NS_PER_S, "{signals} of 2 signals came");
        match counter.read_exact(&mut count) {
            Ok(()) => signals += bytemuck::pod_read_unaligned::<u64>(&count),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(signals, 2);
}
