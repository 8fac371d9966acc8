//! Walks a native file. What is damaged is stepped over and counted.

use super::Conversion;
use super::sink::{Loss, Nowhere, Progress, Sink};
use crate::error::Result;
use crate::format::model::view::{CallView, RowView};
use crate::format::model::{Op, WriteMode};
use crate::format::native::pod::{FLAG_LATE, LossBody};
use crate::format::native::{self, Body, Chunk, ChunkKind, LossReason, PrefetchView, RecordView, Stamp};
use crate::trace::native::{NativeEnding, NativeTrace};

/// Hands all records that can be read to `sink`.
pub(super) fn walk(
    trace: &NativeTrace,
    sink: &mut impl Sink,
    progress: &mut Progress<'_>,
) -> Result<Conversion> {
    let table = trace.key_table()?;
    let mut report = Conversion {
        is_unfinished: trace.ending() == NativeEnding::Unfinished,
        gap_bytes: trace.gaps().iter().map(|gap| gap.bytes).sum(),
        ..Conversion::default()
    };
    for place in trace.chunks() {
        let header = place.unverified.header();
        progress(place.offset)?;
        if header.kind == ChunkKind::Keys as u32 {
            continue;
        }
        if header.kind != ChunkKind::Records as u32 {
            report.unknown_records += 1;
            continue;
        }
        let Ok(chunk) = trace.open_chunk(place, table.as_ref()) else {
            report.damaged_chunks += 1;
            continue;
        };
        // Something was committed after the records that can still be vouched for.
        let is_short = place.unverified.latest().is_some_and(|slot| slot.records > chunk.slot().records);
        report.damaged_chunks += u64::from(is_short);
        walk_chunk(&chunk, sink, &mut report)?;
    }
    Ok(report)
}

/// The report of a compact file that was closed and has no damage: a copy of it is as good as what could be made.
pub(super) fn intact_compact(trace: &NativeTrace, progress: &mut Progress<'_>) -> Result<Option<Conversion>> {
    let Some(index) = trace.index().filter(|_| trace.header().is_compact()) else { return Ok(None) };
    let mut report = walk(trace, &mut Nowhere, progress)?;
    (report.bytes_in, report.bytes_out) = (trace.size_bytes(), trace.size_bytes());
    report.distinct_keys = index.distinct_keys;
    Ok((!report.is_damaged()).then_some(report))
}

fn walk_chunk(chunk: &Chunk<'_>, sink: &mut impl Sink, report: &mut Conversion) -> Result<()> {
    chunk.threads().for_each(|(number, facts)| sink.thread(number, facts));
    report.unknown_records += chunk.unknown_records();
    chunk.records().try_for_each(|record| walk_record(&record, sink, report))
}

fn walk_record(record: &RecordView<'_>, sink: &mut impl Sink, report: &mut Conversion) -> Result<()> {
    let prefix = record.prefix();
    let stamp = Stamp {
        t_ns: prefix.t_ns,
        thread: prefix.thread,
        sequence: prefix.sequence,
        flags: prefix.flags & FLAG_LATE,
        ..Stamp::default()
    };
    match record.body() {
        Body::Call(call) => walk_call(
            &call,
            &Stamp { wall_ns: call.wall_ns(), t_mono_bits: call.t_mono_bits(), ..stamp },
            sink,
            report,
        ),
        Body::HostCall { name, bytes } => {
            report.host_calls += 1;
            sink.host_call(&stamp, name, bytes)
        }
        Body::ForeignCall { qualname, frame } => {
            report.foreign_calls += 1;
            sink.foreign_call(&stamp, qualname, frame)
        }
        Body::ForeignBytes { is_cut, bytes } => {
            report.cut_bytes += if is_cut { bytes.len() as u64 } else { 0 };
            report.undecodable += u64::from(!is_cut);
            sink.foreign_bytes(stamp.t_ns, is_cut, bytes)
        }
        Body::Completion(body) => {
            report.completions += 1;
            sink.completion(&stamp, &body)
        }
        Body::Loss(loss) => walk_loss(prefix.aux, &loss, &stamp, sink, report),
        Body::KeySection { .. } | Body::Other => Ok(()),
    }
}

fn walk_loss(
    reason: u16,
    loss: &LossBody,
    stamp: &Stamp,
    sink: &mut impl Sink,
    report: &mut Conversion,
) -> Result<()> {
    let Some(reason) = LossReason::from_number(reason) else {
        report.unknown_records += 1;
        return Ok(());
    };
    report.losses += 1;
    report.lost_calls = report.lost_calls.saturating_add(loss.count);
    let stamp = Stamp { sequence: loss.first_sequence, ..*stamp };
    sink.loss(&stamp, &Loss { reason, count: loss.count, when_ns: loss.from_ns..loss.until_ns })
}

fn walk_call(
    call: &native::CallView<'_>,
    stamp: &Stamp,
    sink: &mut impl Sink,
    report: &mut Conversion,
) -> Result<()> {
    let keys = call.keys().iter();
    let layout = call.layout().and_then(|defined| defined.layout.as_ref());
    let view = match (call.op(), layout, call.prefetch()) {
        (Op::ReserveWrite, Some(layout), _) => CallView::ReserveWrite { keys, layout, mode: WriteMode::New },
        (Op::FinishWrite, ..) => CallView::FinishWrite { keys },
        (Op::ReadEnter, ..) => CallView::ReadEnter { keys },
        (Op::ReadExit, ..) => CallView::ReadExit { keys },
        (Op::FinishRead, ..) => CallView::FinishRead { keys, read_locks: call.read_locks() },
        (Op::SubmitPrefetch, _, Some(prefetch)) if has_layouts(&prefetch) => CallView::SubmitPrefetch {
            rows: prefetch.rows().map(|row| RowView {
                keys: row.keys.iter(),
                object_group_id: row.object_group_id,
                layout: row.layout.layout.as_ref().expect("all rows were asked for their layouts"),
                sliding_window_size: row.sliding_window_size,
            }),
            num_kv_readers: prefetch.num_kv_readers(),
            fetching_policy: prefetch.fetching_policy(),
            lock_mode: prefetch.lock_mode(),
            external_request_id: prefetch.external_request_id(),
            skip_l2: prefetch.skip_l2(),
        },
        (Op::ReserveWrite | Op::SubmitPrefetch, ..) => {
            report.unknown_layouts += 1;
            return Ok(());
        }
    };
    report.calls += 1;
    sink.call(stamp, view)
}

/// Whether all layouts of a prefetch are of element types that this build knows.
fn has_layouts(prefetch: &PrefetchView<'_>) -> bool {
    prefetch.rows().all(|row| row.layout.layout.is_some())
}
