//! One round: what the rings hold, merged by its stamps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::{TickPair, TickScale};
use crate::error::Result;
use crate::format::native::pod::FLAG_LATE;
use crate::trace::recorder::lane::{Lane, LaneData};
use crate::trace::recorder::push::Pusher;
use crate::trace::recorder::wire::RingRecord;
use crate::trace::ring::Consumer;

/// How many bytes a round takes from the rings before they are committed: long enough to make the commit cheap,
/// short enough that its records are still in the cache.
const ROUND_BYTES: usize = 256 << 10;

/// A ring gets its bytes back after this many, within a round: a caller at full speed is not to find it full.
const RELEASE_BYTES: usize = 32 << 10;

/// Where stamps lie in time, and how far the file has come.
#[derive(Debug)]
pub(super) struct Timeline {
    first_pair: TickPair,
    last_pair: TickPair,
    /// The latest stamp that was written, and its time.
    written: TickPair,
}

impl Timeline {
    pub(super) fn new(pair: TickPair) -> Self {
        Self { first_pair: pair, last_pair: pair, written: pair }
    }

    /// Everything that was stamped up to `pair` is out: the next line goes on from there.
    pub(super) fn passed(&mut self, pair: TickPair) {
        self.last_pair = pair;
    }

    /// Time of the latest record that was written.
    pub(super) fn written_ns(&self) -> u64 {
        self.written.monotonic_ns
    }

    /// The time of a stamp of long ago or of just now.
    pub(super) fn roughly_ns(&self, ticks: u64, pair: TickPair) -> u64 {
        TickScale::between(self.first_pair, pair).monotonic_ns(ticks)
    }
}

/// A round that is under way.
pub(super) struct Round<'a> {
    pub(super) pusher: &'a mut Pusher,
    pub(super) timeline: &'a mut Timeline,
    pub(super) pair: TickPair,
    pub(super) intern: bool,
}

impl Round<'_> {
    /// Merges what was stamped up to the round's reading of the clock. False if the round ended before all of it was
    /// taken.
    pub(super) fn run(mut self, lanes: &mut [Lane]) -> Result<bool> {
        let scale = TickScale::between(self.timeline.last_pair, self.pair);
        let mut heads: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::with_capacity(lanes.len());
        for (position, lane) in lanes.iter().enumerate() {
            heads.extend(self.due(lane.next_ticks()).map(|ticks| Reverse((ticks, position))));
        }
        let mut round_bytes = 0;
        while let Some(Reverse((_, position))) = heads.pop() {
            // This lane goes on until another one has an earlier record.
            let until_ticks = heads.peek().map_or(self.pair.ticks, |Reverse((ticks, _))| *ticks);
            let lane = &mut lanes[position];
            loop {
                let before_bytes = lane.readable_bytes;
                let is_more = self.take_some(lane, &scale, until_ticks)?;
                round_bytes += before_bytes - lane.readable_bytes;
                if round_bytes >= ROUND_BYTES {
                    return Ok(false);
                }
                if !is_more {
                    break;
                }
            }
            heads.extend(self.due(lane.next_ticks()).map(|ticks| Reverse((ticks, position))));
        }
        Ok(true)
    }

    fn due(&self, ticks: Option<u64>) -> Option<u64> {
        ticks.filter(|ticks| *ticks <= self.pair.ticks)
    }

    /// Takes records of `lane` up to `until_ticks`, at most about [`RELEASE_BYTES`], and gives the ring its bytes back.
    /// True if there may be more.
    fn take_some(&mut self, lane: &mut Lane, scale: &TickScale, until_ticks: u64) -> Result<bool> {
        let mut taken_bytes = 0;
        let (ring, data) = lane.split();
        let taken = self.take_run(ring, data, scale, until_ticks, &mut taken_bytes);
        // What was taken before a push failed is in the chunk, and no longer the ring's.
        lane.release(taken_bytes);
        taken
    }

    #[inline]
    fn take_run(
        &mut self,
        ring: &Consumer,
        data: &mut LaneData,
        scale: &TickScale,
        until_ticks: u64,
        taken_bytes: &mut usize,
    ) -> Result<bool> {
        for mut bytes in ring.readable() {
            while let Some((record, rest)) = RingRecord::split_first(bytes) {
                let ticks = record.prefix.t_ns;
                if ticks > until_ticks {
                    return Ok(false);
                }
                let (t_ns, flags) = self.place(ticks, scale);
                self.pusher.push(&record, data, t_ns, flags, self.intern)?;
                *taken_bytes += bytes.len() - rest.len();
                bytes = rest;
                if *taken_bytes >= RELEASE_BYTES {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The time of a stamp, and whether it comes late.
    #[inline]
    fn place(&mut self, ticks: u64, scale: &TickScale) -> (u64, u8) {
        let timeline = &mut *self.timeline;
        if ticks < timeline.written.ticks {
            return (late_ns(timeline.first_pair, self.pair, ticks), FLAG_LATE);
        }
        let t_ns = scale.monotonic_ns(ticks).max(timeline.written.monotonic_ns);
        timeline.written = TickPair { ticks, monotonic_ns: t_ns };
        (t_ns, 0)
    }
}

/// A late record was stamped before the line of this round begins: it lies on the line of the whole recording.
#[cold]
fn late_ns(first: TickPair, now: TickPair, ticks: u64) -> u64 {
    TickScale::between(first, now).monotonic_ns(ticks)
}
