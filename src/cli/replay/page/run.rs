//! What was run: the command line, and what it came to, so that two pages can be told apart.

use std::ffi::OsString;

use serde_json::Value;

use super::html::escape;
use super::table::{Card, Table};
use crate::cli::program::NAME;
use crate::cli::replay::pacing::{order_name, pace_name};
use crate::cli::replay::report::{Delivered, ReplayReport};
use crate::cli::text::{bytes, plural};
use crate::format::model::Op;
use crate::replay::nodes::Alignment;
use crate::replay::session::Part;
use crate::storage::config::secret::masked;
use crate::storage::config::{EvictionConfig, L1ManagerConfig, PinKind, StorageManagerConfig};

/// What was run: `command` is how, `config` under which configuration.
pub(super) fn what_was_run(
    report: &ReplayReport,
    config: &StorageManagerConfig,
    trace: &str,
    command: &str,
) -> String {
    let mut replay = Table::of_words(&[]);
    let records = format!("{trace}: {} of level {}", plural(report.extent.records, "record"), report.level);
    replay.row(if report.nodes.is_empty() { "Trace" } else { "Traces" }, [records]);
    if let Some(delivered) = &report.delivered {
        // One trace lies nowhere.
        how(&mut replay, delivered, (!report.nodes.is_empty()).then_some(delivered.part.alignment));
    }
    replay.row("Behaviour", [format!("--compat {}", config.compat.name())]);
    digests(&mut replay, report);
    let mut tiers = Table::of_words(&[]);
    config.l1_managers.iter().for_each(|l1| tiers.row(&l1_name(l1), [l1_settings(l1)]));
    l2_settings(&mut tiers, report, config);
    format!(
        "<h2>What was run</h2>\n<pre class=\"command\">{}</pre>\n<div class=\"report\">\n{}{}</div>\n",
        escape(command),
        Card::of("The replay", &replay).render(),
        Card::of("The configuration", &tiers).render()
    )
}

/// The command line of these arguments, as it can be typed again, but for secrets in JSON: a page is passed on.
pub(super) fn command_line(arguments: impl Iterator<Item = OsString>) -> String {
    let words = arguments.map(|argument| without_secrets(&argument.to_string_lossy()));
    let words = words.map(|word| shell_words::quote(&word).into_owned());
    std::iter::once(NAME.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// An argument that is JSON, or a flag with JSON behind `=`, in one line and with masks for secrets; any other as it is.
fn without_secrets(argument: &str) -> String {
    let (flag, json) = argument.split_at(argument.find('{').unwrap_or(argument.len()));
    serde_json::from_str::<Value>(json)
        .map_or_else(|_| argument.to_owned(), |value| format!("{flag}{}", masked(&value)))
}

/// Pace, order, workers, and which part of the trace.
fn how(table: &mut Table, delivered: &Delivered, alignment: Option<Alignment>) {
    let Delivered { pacing, part, left_out_records, left_out_keys } = delivered;
    table.row("Pace", [pace_name(pacing.options.pace)]);
    table.row("Order", [order_name(pacing.options.order).to_owned()]);
    table.row("Workers", [pacing.workers.to_string()]);
    table.row("Part", [selection(part)]);
    if !part.selection.is_everything() {
        table.row_in(1, "records left out", [left_out_records.to_string()]);
        table.row_in(1, "keys left out of other records", [left_out_keys.to_string()]);
    }
    if let Some(alignment) = alignment {
        let words = match alignment {
            Alignment::Wall => "as the wall clocks of their recorders have it",
            Alignment::Start => "all begin at once",
        };
        table.row("Traces lie", [words.to_owned()]);
    }
    if part.copies() > 1 {
        let (loops, tenants) = (part.loops.into(), part.tenants.into());
        table.row("Copies", [format!("{}, {}", plural(loops, "loop"), plural(tenants, "tenant"))]);
    }
}

/// Which part of the trace.
fn selection(part: &Part) -> String {
    let selection = &part.selection;
    let ops = selection.ops.iter().map(|op| Op::short_name(*op)).collect::<Vec<_>>().join(", ");
    let salts: Vec<_> = selection.salts.iter().map(|salt| format!("{salt:?}")).collect();
    let parts = [
        selection.from_s.map(|from_s| format!("from {from_s} s")),
        selection.to_s.map(|to_s| format!("to {to_s} s")),
        (!ops.is_empty()).then(|| format!("operations {ops}")),
        (!selection.models.is_empty()).then(|| format!("models {}", selection.models.join(", "))),
        (!salts.is_empty()).then(|| format!("salts {}", salts.join(", "))),
    ];
    match parts.into_iter().flatten().collect::<Vec<_>>() {
        parts if parts.is_empty() => "all of it".to_owned(),
        parts => parts.join("; "),
    }
}

fn digests(table: &mut Table, report: &ReplayReport) {
    let replay = &report.replay_digest;
    table.row(
        "Config digest",
        [match report.is_same_config() {
            Some(true) => format!("{replay}, as recorded"),
            Some(false) => format!("{replay}; recorded {}", report.recorded_digest),
            None if report.nodes.is_empty() => format!("{replay}; the trace has none"),
            None => format!("{replay}; the traces have none in common"),
        }],
    );
}

fn l1_name(l1: &L1ManagerConfig) -> String {
    match l1.tag.as_str() {
        crate::storage::config::DEFAULT_L1_TAG => "L1".to_owned(),
        tag => format!("L1 {tag}"),
    }
}

fn l1_settings(l1: &L1ManagerConfig) -> String {
    let memory = &l1.memory;
    let mut words = vec![bytes(memory.size_bytes), eviction(&l1.eviction)];
    words.push(format!(
        "allocator {}, objects at multiples of {} B",
        memory.allocator.name(),
        memory.align_bytes
    ));
    if memory.use_lazy {
        words.push(format!("grows from {}", bytes(memory.init_size_bytes)));
    }
    if memory.use_hugepages {
        words.push("2 MiB pages".to_owned());
    }
    if memory.first_touch {
        words.push("touched at the start".to_owned());
    }
    if memory.pin != PinKind::None {
        words.push(format!("pinned by {}", memory.pin.name()));
    }
    if let Some(node) = memory.numa_node {
        words.push(format!("NUMA node {node}"));
    }
    words.push(format!("write locks live {} s, read locks {} s", l1.write_ttl_seconds, l1.read_ttl_seconds));
    words.join("; ")
}

fn eviction(eviction: &EvictionConfig) -> String {
    let EvictionConfig { policy, trigger_watermark, eviction_ratio, by, .. } = eviction;
    let percent = |share: f64| super::figures::percent(share);
    let (from, share) = (percent(*trigger_watermark), percent(*eviction_ratio));
    format!("{policy}, from {from} in use on {share} of the {} a pass", by.name())
}

fn l2_settings(table: &mut Table, report: &ReplayReport, config: &StorageManagerConfig) {
    for (position, adapter) in config.l2_adapters.iter().enumerate() {
        let tag = match adapter.affinity_tag.as_str() {
            crate::storage::config::DEFAULT_L1_TAG => String::new(),
            tag => format!(" of L1 {tag}"),
        };
        let label = format!("L2 #{} ({}){tag}", position + 1, adapter.kind.name());
        table.row(&label, [adapter.spec.to_string()]);
    }
    if config.l2_adapters.is_empty() {
        table.row("L2", ["none".to_owned()]);
        return;
    }
    table.row("L2 begins", [report.l2_namespace.mode.name().to_owned()]);
    let retries = plural(config.store.retries.into(), "retry").replace("retrys", "retries");
    table.row("Stores", [format!("policy {}; {retries}", config.store_policy.name())]);
    let patience =
        config.prefetch.timeout_ms.map_or("no time limit".to_owned(), |ms| format!("given up after {ms} ms"));
    let (policy, in_flight) = (config.prefetch_policy.name(), config.prefetch_max_in_flight);
    table.row("Prefetches", [format!("policy {policy}; {in_flight} in flight; {patience}")]);
    for (salt, quota_bytes) in &config.quotas {
        table.row_in(1, &format!("quota of salt {salt:?}"), [bytes(*quota_bytes)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_typed_again_and_has_no_secrets() {
        let line = |words: &[&str]| command_line(words.iter().map(OsString::from));
        assert_eq!(
            line(&["replay", "a b.lct", "--rate", "5/s"]),
            "lmcache-trace replay 'a b.lct' --rate 5/s"
        );
        let resp =
            "{\"type\":\"resp\",\n  \"password\":\"sesame\", \"inner\": {\"aws_secret_access_key\": \"k\"}}";
        for shown in [line(&["--l2-adapter", resp]), line(&[&format!("--l2-adapter={resp}")])] {
            assert!(shown.contains("\"type\":\"resp\"") && !shown.contains('\n'), "{shown}");
            assert!(!shown.contains("sesame") && !shown.contains("\"k\""), "{shown}");
        }
        assert_eq!(line(&["{no json"]), "lmcache-trace '{no json'");
    }
}
