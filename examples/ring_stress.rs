//! Rings between threads that come and go and one that reads them all, for as long as is asked: every record
//! that was committed comes out once, whole and in order, and what was refused was counted. Ends with an error
//! if not.
//!
//! ```text
//! cargo run --release --example ring_stress 5
//! ```
//!
//! Under a thread sanitizer every byte of every record is a chance to find an ordering that is too weak.

use std::error::Error;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use lmcache::clock::{NS_PER_S, monotonic_ns};
use lmcache::trace::ring::{self, Consumer, MIN_RING_BYTES, Producer, Refusal};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const DEFAULT_SECONDS: u64 = 2;
/// Recording threads at a time.
const THREADS: u64 = 3;
/// What one of them tries to record in its life.
const RECORDS: u64 = 20_000;
/// Small, so that laps end and rings fill all the time.
const RING_BYTES: usize = MIN_RING_BYTES * 2;
const PREFIX_BYTES: usize = 16;
const MAX_BODY_BYTES: u64 = 300;

fn main() -> Outcome {
    let seconds: u64 = match std::env::args().nth(1) {
        Some(argument) => argument.parse()?,
        None => DEFAULT_SECONDS,
    };
    let end_ns = monotonic_ns() + seconds * NS_PER_S;
    let (to_reader, from_threads) = channel();
    let recorders: Vec<_> = (0..THREADS)
        .map(|slot| {
            let to_reader = to_reader.clone();
            thread::spawn(move || generations(slot, end_ns, &to_reader))
        })
        .collect();
    drop(to_reader);
    let read = read_all(&from_threads)?;
    let (mut lives, mut committed, mut dropped) = (0, 0, 0);
    for recorder in recorders {
        let counts = recorder.join().map_err(|_| "a recording thread panicked")??;
        (lives, committed, dropped) = (lives + counts.0, committed + counts.1, dropped + counts.2);
    }
    if read != committed || committed + dropped != lives * RECORDS {
        return Err(format!("{read} records read, {committed} committed, {dropped} dropped").into());
    }
    println!("{lives} threads, {read} records read, {dropped} dropped and counted");
    Ok(())
}

/// One thread after another until `end_ns`: (threads, records committed, records dropped).
fn generations(slot: u64, end_ns: u64, to_reader: &Sender<Consumer>) -> Outcome<(u64, u64, u64)> {
    let (mut lives, mut committed) = (0, 0);
    while lives == 0 || monotonic_ns() < end_ns {
        let (producer, consumer) = ring::create(RING_BYTES)?;
        to_reader.send(consumer).map_err(|_| "the reading thread is gone")?;
        let seed = (lives * THREADS + slot + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let life = thread::spawn(move || record_all(producer, seed));
        committed += life.join().map_err(|_| "a recording thread panicked")?;
        lives += 1;
    }
    Ok((lives, committed, lives * RECORDS - committed))
}

/// The life of one thread: tries every record once, or waits a little where it is told to. Returns how many
/// were committed.
fn record_all(mut producer: Producer, seed: u64) -> u64 {
    let (mut random, mut committed) = (Random(seed), 0);
    let is_patient = random.below(2) == 0;
    for _ in 0..RECORDS {
        let len_bytes = PREFIX_BYTES + random.below(MAX_BODY_BYTES) as usize;
        loop {
            match producer.reserve(len_bytes) {
                Ok(mut reserved) => {
                    fill(reserved.bytes(), committed);
                    reserved.commit();
                    committed += 1;
                }
                Err(Refusal::Full) if is_patient => {
                    thread::yield_now();
                    continue;
                }
                Err(_) => {}
            }
            break;
        }
    }
    committed
}

/// A record: its length, its number, and bytes that follow from both.
fn fill(bytes: &mut [u8], number: u64) {
    let len_bytes = bytes.len() as u64;
    let (prefix, body) = bytes.split_at_mut(PREFIX_BYTES);
    prefix[..8].copy_from_slice(&len_bytes.to_le_bytes());
    prefix[8..].copy_from_slice(&number.to_le_bytes());
    let mut random = Random(len_bytes << 32 | (number + 1));
    body.fill_with(|| random.below(256) as u8);
}

/// Reads every ring to its end. Returns how many records there were.
fn read_all(from_threads: &Receiver<Consumer>) -> Outcome<u64> {
    let (mut rings, mut read, mut are_more) = (Vec::new(), 0, true);
    while are_more || !rings.is_empty() {
        match from_threads.try_recv() {
            Ok(consumer) => rings.push((consumer, 0)),
            Err(TryRecvError::Disconnected) => are_more = false,
            Err(TryRecvError::Empty) => thread::yield_now(),
        }
        for (consumer, next_number) in &mut rings {
            let readable_bytes = consumer.refresh();
            let before = *next_number;
            for run in consumer.readable() {
                *next_number = check(run, *next_number)?;
            }
            consumer.release(readable_bytes);
            read += *next_number - before;
        }
        rings.retain_mut(|(consumer, _)| !consumer.is_finished());
    }
    Ok(read)
}

/// Checks a run of records, the first of which bears `number`. Returns the number that the next run starts with.
fn check(mut run: &[u8], mut number: u64) -> Outcome<u64> {
    let mut expected = Vec::new();
    while let Some((length, _)) = run.split_first_chunk() {
        let len_bytes = u64::from_le_bytes(*length) as usize;
        if !(PREFIX_BYTES..RING_BYTES).contains(&len_bytes) {
            return Err("a record has an impossible length".into());
        }
        expected.resize(len_bytes, 0);
        fill(&mut expected, number);
        expected.resize(len_bytes.next_multiple_of(8), 0);
        run = run.strip_prefix(expected.as_slice()).ok_or("a record is torn, or out of order")?;
        number += 1;
    }
    Ok(number)
}

/// A small random number generator (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
