//! What is said on standard error because it makes results worth less than they seem.

use std::io::Write;

use super::report::{ReplayReport, adapter_name};
use crate::cli::exit::print_warning;
use crate::clock::NS_PER_S;
use crate::format::native::KeyTable;
use crate::replay::traces::Nodes;
use crate::replay::{FailedEviction, Order, PinnedL1, TraceExtent};
use crate::storage::StorageManager;
use crate::trace::Trace;

/// A replay that is later than this somewhere is said to be behind its schedule.
const BEHIND_NS: u64 = NS_PER_S / 10;

/// What LMCache's replay warns about. Printed when nothing can be refused any more: an error is not to stand below it.
pub(super) fn about_the_environment(order: Order) {
    let bold = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Yellow.into()));
    // If standard error is gone there is nobody left to tell.
    let _ = writeln!(
        anstream::stderr(),
        "{bold}warning: a replay can miss what the recorded server found{bold:#}\n\
         \x20 * It runs under this command's storage configuration, which may differ from the\n\
         \x20   recorded one.\n\
         {}\
         \x20 Take counts of misses as a sign of this environment, not as a defect of the trace.",
        match order {
            // Loads are waited for, and the machine's speed changes no hit.
            Order::Causal => "",
            Order::Recorded => {
                "\x20 * It runs on this machine, which may be slower or faster than the recording one.\n\
                 \x20 * Reads and writes are asynchronous: a load that had finished when the trace was\n\
                 \x20   recorded may not have finished here, and the matching read then gets nothing.\n"
            }
        }
    );
}

/// How much there is to replay. What a native file is known to lack is said, for the replay is of what is there.
pub(in crate::cli) fn extent(trace: &Trace, keys: Option<&KeyTable<'_>>, is_quiet: bool) -> TraceExtent {
    let warn = |sentence: &str| {
        if !is_quiet {
            print_warning(sentence);
        }
    };
    let trace = match trace {
        Trace::Lct(reader) => {
            let extent = TraceExtent::of(reader);
            if let Some(offset) = extent.ending.cut_offset() {
                warn(&format!("the trace is cut short at byte {offset}; the replay is of what comes before"));
            }
            if extent.undecodable_frames > 0 {
                let frames = extent.undecodable_frames;
                warn(&format!("{frames} frames of the trace are no records; the replay is of the others"));
            }
            return extent;
        }
        Trace::Native(trace) => trace,
    };
    let extent = TraceExtent::of_native(trace, keys, |damaged| warn(&damaged.to_string()));
    let Some(native) = extent.native else { return extent };
    if native.lost_calls > 0 {
        let lost = native.lost_calls;
        warn(&format!("the recorder lost {lost} calls; the replay is of what is in the file"));
    }
    if native.gap_bytes > 0 {
        let bytes = native.gap_bytes;
        warn(&format!("{bytes} bytes of the file hold no chunk; the replay is of what is in the others"));
    }
    if !native.is_closed {
        warn("the trace was not closed; the replay is of what checksums vouch for");
    }
    extent
}

/// A replay that was not as fast as it was to be measures this machine, and not the storage manager.
pub(super) fn about_the_pace(report: &ReplayReport) {
    let seconds = |ns: u64| ns as f64 / NS_PER_S as f64;
    let (lag, stretch) = (&report.run.lag, report.run.lag.longest_late);
    if lag.max_ns >= BEHIND_NS {
        let order = report.delivered.as_ref().map(|delivered| delivered.pacing.options.order);
        let advice = match order {
            // More workers would only take turns.
            Some(Order::Causal) => {
                "this machine cannot keep up, or the L2, which calls wait for in causal order: lower the pace"
            }
            _ => "this machine cannot keep up: lower the pace, or add --workers",
        };
        print_warning(&format!(
            "the replay was behind its schedule, by up to {:.3} s; for longest with what was due from {:.3} s to {:.3} s ({} calls, \
             up to {:.3} s): {advice}",
            seconds(lag.max_ns),
            seconds(stretch.from_ns),
            seconds(stretch.to_ns),
            stretch.calls,
            seconds(stretch.max_ns),
        ));
    }
    if report.unsettled_calls > 0 {
        print_warning(&format!(
            "L2 was not done in time at {} calls, which may have found it at work: this replay cannot be repeated exactly",
            report.unsettled_calls
        ));
    }
}

/// What a recording that is not whole is not told by its file alone.
pub(super) fn about_the_recording(report: &ReplayReport) {
    let Some(recording) = report.recording.as_ref().filter(|recording| !recording.is_complete()) else {
        return;
    };
    let path = recording.path.display();
    print_warning(&match &recording.failure {
        Some(failure) => format!("the recording of the replay is not whole (path {path}): {failure}"),
        None => format!("calls or completions are missing in the recording of the replay (path {path})"),
    });
}

/// Adapters that start empty though they hold something, which is overwritten from now on.
pub(super) fn about_what_is_given_up(manager: &StorageManager) {
    for (position, adapter) in manager.report_status().l2_adapters.iter().enumerate() {
        if let Some(reason) = adapter.refused_recovery() {
            let name = adapter_name(position, adapter);
            print_warning(&format!("L2 adapter {name} cannot use what it held, and overwrites it: {reason}"));
        }
    }
}

/// Traces between which nothing happens for long, because they were made at different times.
pub(super) fn about_gaps(nodes: &Nodes<'_>) {
    if let Some((from_s, to_s)) = nodes.gap() {
        print_warning(&format!(
            "the traces were made at different times, and nothing is in any of them from {from_s:.0} s to {to_s:.0} s; \
             --align start lets all begin at once"
        ));
    }
}

/// L1s that could not evict: what found no memory there is missing in the hits of the report.
pub(super) fn about_evictions(report: &ReplayReport) {
    for FailedEviction { l1_tag, policy, failed_passes, reason } in &report.failed_evictions {
        let reason = reason.as_deref().unwrap_or("the last pass worked again");
        print_warning(&format!(
            "L1 {l1_tag} could not evict {failed_passes} times, and stayed full ({policy}: {reason}); choose another \
             --eviction-policy, or --compat native"
        ));
    }
}

/// L1s that were to be pinned, and are not: writes there can wait for a page.
pub(super) fn about_pinning(report: &ReplayReport) {
    for PinnedL1 { l1_tag, registered_bytes, total_bytes, failure, .. } in &report.pinned_l1s {
        if let Some(failure) = failure {
            print_warning(&format!(
                "L1 {l1_tag} is pinned in {registered_bytes} of its {total_bytes} bytes, and used unpinned: {failure}"
            ));
        }
    }
}

/// A selection that leaves nothing is a slip of the pen more often than not.
pub(super) fn about_the_part(report: &ReplayReport) {
    let Some(delivered) = report.delivered.as_ref().filter(|_| !report.run.interrupted) else { return };
    if delivered.left_out_records > 0 && report.run.records() == 0 {
        print_warning(
            "nothing was replayed: no record of the trace is in what --from, --to, --ops, --models and --salts choose; `info` shows \
             what there is",
        );
    }
}

/// A file with a line per record that lacks some, since whoever read it was too slow. Timelines and pages say so themselves.
pub(super) fn about_the_lines(report: &ReplayReport) {
    let missing = report.run.unobserved_records;
    if missing > 0 {
        print_warning(&format!(
            "{missing} records have no line in the file of --jsonl-out: its reader or its disk was too slow"
        ));
    }
}

/// What did not reach L2, or did not come from it: the hits of the report are without it.
pub(super) fn about_l2(report: &ReplayReport) {
    let l2 = &report.l2;
    if l2.lost_keys + l2.dropped_keys > 0 {
        let (lost, dropped) = (l2.lost_keys, l2.dropped_keys);
        print_warning(&format!(
            "{} objects are not in L2: {lost} could not be stored, {dropped} found a full queue",
            lost + dropped
        ));
    }
    for (position, adapter) in l2.adapters.iter().enumerate() {
        let failed = adapter.failed_operations();
        if failed > 0 {
            let name = adapter_name(position, adapter);
            let error = adapter.last_error().unwrap_or("none is known");
            print_warning(&format!("L2 adapter {name} failed {failed} times; its last error: {error}"));
        }
    }
}
