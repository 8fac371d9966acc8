//! One walk over a file, on several threads.
//!
//! The calling thread hops from frame to frame, which touches one cache line each, and cuts the file into
//! segments of whole frames; the others read them. Counts do not depend on who read what, not even where there
//! are more names or keys than are kept, so a result does not depend on the number of threads.

use crossbeam::channel;

use super::distinct::ExactKeys;
use super::tally::{Tally, Totals};
use super::{CallBytes, TraceSummary};
use crate::format::lct::{Ending, FrameCursor, Level};
use crate::trace::{Entry, Records, TraceReader};

/// The length at which a segment ends, at the next frame.
const SEGMENT_BYTES: usize = 1 << 20;

/// How many threads read at most: beyond these, memory is the limit.
pub const MAX_SCAN_THREADS: usize = 8;

/// Part of a file: whole frames from `start` to `end`.
#[derive(Clone, Copy)]
struct Segment {
    index: usize,
    start: usize,
    end: usize,
}

/// The first and the last time in a segment, to find the gap to its neighbours.
struct SegmentTimes {
    index: usize,
    first_s: f64,
    last_s: f64,
}

/// Reads all of `reader`'s file on up to `threads` threads. `on_progress` is called now and then, on the
/// calling thread, with the number of bytes that were handed out.
pub fn summarize(reader: &TraceReader, threads: usize, on_progress: impl Fn(u64)) -> TraceSummary {
    let exact_keys = ExactKeys::new(reader.bytes().len() as u64);
    let level = &reader.header().level;
    let (ending, parts) = std::thread::scope(|scope| {
        let (segments, inbox) = channel::bounded(2 * MAX_SCAN_THREADS);
        let workers: Vec<_> = (0..threads.clamp(1, MAX_SCAN_THREADS))
            .map(|_| {
                let (inbox, exact_keys) = (inbox.clone(), &exact_keys);
                scope.spawn(move || read_segments(reader.bytes(), level, exact_keys, &inbox))
            })
            .collect();
        let ending = cut_segments(reader, &segments, on_progress);
        drop(segments);
        let join = |worker: std::thread::ScopedJoinHandle<'_, Part>| match worker.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        (ending, workers.into_iter().map(join).collect::<Vec<_>>())
    });
    assemble(reader, ending, parts, &exact_keys)
}

/// What a thread brings back.
type Part = (Totals, Vec<SegmentTimes>);

fn cut_segments(
    reader: &TraceReader,
    segments: &channel::Sender<Segment>,
    on_progress: impl Fn(u64),
) -> Ending {
    let mut frames = FrameCursor::new(reader.bytes(), reader.first_record_offset());
    let (mut index, mut start) = (0, frames.position());
    loop {
        let ending = frames.next_frame().err();
        let end = frames.position();
        if end - start >= SEGMENT_BYTES || (ending.is_some() && end > start) {
            // Sending fails only if all readers panicked; joining them says so.
            let _ = segments.send(Segment { index, start, end });
            (index, start) = (index + 1, end);
            on_progress(end as u64);
        }
        if let Some(ending) = ending {
            return ending;
        }
    }
}

fn read_segments(
    bytes: &[u8],
    level: &Level,
    exact_keys: &ExactKeys,
    inbox: &channel::Receiver<Segment>,
) -> Part {
    let mut tally = Tally::new(level.clone(), exact_keys);
    let mut times = Vec::new();
    for segment in inbox {
        if let Some((first_s, last_s)) = read_segment(bytes, segment, &mut tally) {
            times.push(SegmentTimes { index: segment.index, first_s, last_s });
        }
    }
    (tally.into_totals(), times)
}

fn read_segment<'a>(bytes: &'a [u8], segment: Segment, tally: &mut Tally<'a>) -> Option<(f64, f64)> {
    let mut span = None;
    for entry in Records::new(FrameCursor::new(&bytes[..segment.end], segment.start)) {
        let Entry::Record(record) = entry else {
            tally.skip_frame();
            continue;
        };
        tally.add(&record);
        let (first_s, last_s) = span.unwrap_or((record.t_mono_s, record.t_mono_s));
        if span.is_some() {
            tally.gaps().add(last_s, record.t_mono_s);
        }
        span = Some((first_s, record.t_mono_s));
    }
    span
}

fn assemble(reader: &TraceReader, ending: Ending, parts: Vec<Part>, exact_keys: &ExactKeys) -> TraceSummary {
    let (mut totals, mut times) = (Totals::default(), Vec::new());
    for (part, part_times) in parts {
        totals.merge(part);
        times.extend(part_times);
    }
    times.sort_unstable_by_key(|segment| segment.index);
    times.windows(2).for_each(|pair| totals.gaps.add(pair[0].last_s, pair[1].first_s));
    let ops = totals.take_ops();
    let events = totals.events.into_summary();
    TraceSummary {
        header: reader.header().clone(),
        size_bytes: reader.bytes().len() as u64,
        ending,
        duration_s: totals.duration_s,
        ops,
        total_records: totals.records,
        skipped_frames: totals.skipped_frames,
        records_with_undecodable_keys: totals.undecodable_keys,
        keys: totals.keys,
        distinct_keys: exact_keys.finish(totals.overflow),
        call_bytes: CallBytes { store_events: events.store_bytes, ..totals.call_bytes },
        inter_arrival: totals.gaps.percentiles(),
        scopes: totals.scopes.into_summary(),
        timeline: totals.timeline,
        events,
    }
}
