//! The page of a replay: what is in it, and what must never be.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{L1, command, replay, text};
use crate::common::unpack_to_file;
use crate::made::MadeTrace;

/// Tags that have no end.
const VOID: [&str; 3] = ["!doctype", "meta", "link"];

/// Whether every tag ends where it should. Attributes hold no `>`.
fn check_tags(page: &str) {
    let mut open = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("a tag ends");
        let name: String = tag.trim_start_matches('/').chars().take_while(|c| !" /\n".contains(*c)).collect();
        match (tag.starts_with('/'), tag.ends_with('/') || VOID.contains(&name.as_str())) {
            (true, _) => assert_eq!(open.pop(), Some(name), "</{tag}>"),
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// Nothing that a browser would run or fetch.
fn check_is_self_contained(page: &str) {
    for refused in
        ["<script", "<img", "<iframe", "http:", "https:", "url(", "@import", "src=", " on", "javascript:"]
    {
        let tags =
            page.split('<').skip(1).filter_map(|part| part.split_once('>')).map(|(tag, _)| format!("<{tag}"));
        let mut tags = tags.filter(|tag| !tag.contains("aria-label") && !tag.contains("http-equiv"));
        assert!(!tags.any(|tag| tag.contains(refused)), "{refused}");
    }
    assert!(page.contains("default-src 'none'"));
}

pub(crate) fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("the page")
}

/// The cells of the row `label` in the card `title`. Rows have their labels once in a card.
fn cells(page: &str, title: &str, label: &str) -> Vec<String> {
    let card = page.split_once(&format!("<h3>{title}</h3>\n")).unwrap_or_else(|| panic!("no card {title}")).1;
    let card = card.split("</section>").next().expect("an end");
    let row = card.split("<tr>").find(|row| row.contains(&format!(">{label}</th>")));
    let row = row.unwrap_or_else(|| panic!("{title} has no row {label}: {card}"));
    let cells = row.split("<td>").skip(1).map(|cell| cell.split("</td>").next().expect("an end").to_owned());
    cells.collect()
}

/// What a time of the page is in microseconds: three digits and a unit.
fn microseconds(cell: &str) -> f64 {
    let (number, unit) = cell.trim_start_matches('~').split_once(' ').unwrap_or_else(|| panic!("{cell}"));
    let factor = match unit {
        "ns" => 1e-3,
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => panic!("{cell}"),
    };
    number.parse::<f64>().expect("a number") * factor
}

fn check_time(cell: &str, expected_us: &Value) {
    let (shown, expected) = (microseconds(cell), expected_us.as_f64().expect("a number"));
    assert!((shown - expected).abs() <= expected * 0.006 + 0.001, "{cell} is not {expected} us");
}

/// The page and the summary of one replay.
fn page_and_summary(fixture: &str, words: &str) -> (String, Value) {
    let trace = unpack_to_file(fixture);
    let (output, folder) = replay(&trace, &format!("{L1} --no-csv -q --json --html page.html {words}"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = read(folder.path(), "page.html");
    check_tags(&page);
    check_is_self_contained(&page);
    let summary = read(folder.path(), "trace_replay_summary.json");
    (page, serde_json::from_str(&summary).expect("JSON"))
}

#[test]
fn the_page_has_the_plots_and_the_numbers_of_the_report() {
    let l2 = r#"--l2-adapter {"type":"mock","max_size_gb":1,"mock_bandwidth_gb":10}"#;
    let (page, summary) = page_and_summary("traces/deterministic.lct", l2);
    for title in ["Calls per second", "Latency", "Lag over time", "Lag", "Chunk hit rate", "L1", "L2"] {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    assert!(page.contains("<dt>Records replayed</dt><dd>348</dd>"), "{page}");
    let totals = |name: &str| summary["totals"][name].to_string();
    let hits = |label| cells(&page, "Hits: what prefetches found", label);
    assert_eq!(hits("Chunks")[..2], [totals("requested_chunks"), totals("served_chunks")]);
    assert_eq!(hits("Keys")[..2], [totals("requested_keys"), totals("hit_keys")]);
    assert_eq!((&hits("in L1")[1], &hits("in L2")[1]), (&totals("l1_hit_keys"), &totals("l2_hit_keys")));
    let of_rows = |label: &str| cells(&page, "Reads and writes", label);
    assert_eq!(of_rows("Keys reserved for writing"), [summary["writes"]["keys_reserved"].to_string()]);
    assert_eq!(of_rows("Keys evicted"), [totals("evicted_keys")]);
    let missed = cells(&page, "Keys that were missed, and why", "All together");
    let misses = &summary["misses"];
    assert_eq!(
        missed,
        [misses["prefetch_keys"]["total"].to_string(), misses["read_keys"]["total"].to_string()]
    );
    let prefetches = |label: &str| cells(&page, "Prefetches: from submission to result", label);
    let (all, lookup, times) = (prefetches("All"), prefetches("lookup"), &summary["prefetches"]);
    assert_eq!(all[0], times["submit_to_result_us"]["count"].to_string());
    check_time(&all[3], &times["submit_to_result_us"]["max"]);
    check_time(&lookup[1], &times["with_l2_us"]["lookup"]["p50"]);
    let stored = cells(&page, "L2 adapter #1 (MockL2Adapter)", "Stored");
    let flow = &summary["l2"]["flows"][0];
    assert_eq!(
        stored[..2],
        [&flow["stores"]["objects"], &flow["stores"]["failed_objects"]].map(Value::to_string)
    );
    let lag = cells(&page, "Lag: from due to start", "Lag");
    for (cell, quantile) in lag.iter().zip(["p50", "p99", "p999", "max"]) {
        check_time(cell, &summary["lag_us"][quantile]);
    }
}

#[test]
fn latencies_stand_once_with_their_parts_further_in() {
    let (page, summary) = page_and_summary("traces/deterministic.lct", "");
    for (qualname, op) in summary["ops"].as_object().expect("operations") {
        let name = qualname.rsplit("StorageManager.").next().expect("a name").replace("__", "");
        let name = name.as_str();
        let row = cells(&page, "From start to return", name);
        assert_eq!(row[..2], [&op["count"], &op["errors"]].map(Value::to_string), "{name}");
        for (cell, field) in row[2..].iter().zip(["mean_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms"]) {
            check_time(cell, &Value::from(op[field].as_f64().expect("a time") * 1e3));
        }
        assert_eq!(page.matches(&format!(">{name}</th>")).count(), 1, "{name}");
    }
    assert_eq!(
        page.matches("class=\"in1\">from its due time</th>").count(),
        summary["ops"].as_object().unwrap().len()
    );
    assert!(page.contains("<th scope=\"col\">p90</th>"), "{page}");
}

/// A native trace says how long its calls took.
#[test]
fn what_was_recorded_stands_below_what_was_replayed() {
    let trace = unpack_to_file("traces/tiny.lct");
    let (output, folder) = replay(&trace, &format!("{L1} --no-csv -q --asap --record recorded.lct"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let words = format!("{L1} --no-csv -q --json --html page.html");
    let recorded = folder.path().join("recorded.lct");
    let output = command(folder.path(), &recorded, &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = read(folder.path(), "page.html");
    check_tags(&page);
    assert!(page.matches("class=\"in1\">as recorded</th>").count() >= 6, "{page}");
    assert_eq!(cells(&page, "Prefetches: from submission to result", "As recorded")[0], "10");
    assert!(
        cells(&page, "Hits, beside the recording&#39;s", "Prefetches compared one by one")[0]
            .ends_with(" of 10")
    );
}

#[test]
fn pages_say_what_was_run() {
    let adapter = r#"--l2-adapter {"type":"mock","max_size_gb":1,"mock_bandwidth_gb":10}"#;
    let words =
        format!("--speed 50 --workers 2 --tenants 2 --to 60 --ops reserve_write,finish_write {adapter}");
    let (page, summary) = page_and_summary("traces/tiny.lct", &words);
    let (_, command) = page.split_once("<pre class=\"command\">").expect("the command");
    let command = command.split("</pre>").next().expect("an end");
    assert!(command.starts_with("lmcache-trace replay "), "{command}");
    for word in ["--speed 50 --workers 2", "--html page.html", "&#39;{&quot;type&quot;:&quot;mock&quot;,"] {
        assert!(command.contains(word), "{word}: {command}");
    }
    let replay = |label: &str| cells(&page, "The replay", label).join("");
    assert_eq!([replay("Pace"), replay("Order"), replay("Workers")], ["50 times as fast", "causal", "2"]);
    assert_eq!(replay("Part"), "to 60 s; operations reserve_write, finish_write");
    assert_eq!(replay("records left out"), summary["replay"]["left_out_records"].to_string());
    assert_eq!(replay("Copies"), "1 loop, 2 tenants");
    assert!(
        replay("Config digest").starts_with(summary["config"]["replay_digest"].as_str().expect("a digest"))
    );
    let configuration = |label: &str| cells(&page, "The configuration", label).join("");
    assert!(configuration("L1").contains("LRU, from 80 % in use on 20 % of the keys a pass"), "{page}");
    assert!(configuration("L2 #1 (mock)").contains("&quot;mock_bandwidth_gb&quot;:10"), "{page}");
    assert_eq!(configuration("L2 begins"), "fresh");
}

/// A page is passed on; a password on the command line is nobody's business.
#[test]
fn secrets_are_not_in_the_page() {
    let adapter = r#"{"type":"resp","host":"127.0.0.1","port":1,"password":"sesame"}"#;
    let trace = unpack_to_file("traces/tiny.lct");
    for flag in [format!("--l2-adapter {adapter}"), format!("--l2-adapter={adapter}")] {
        let (_, folder) = replay(&trace, &format!("{L1} --no-csv -q --asap --html page.html {flag}"));
        let page = read(folder.path(), "page.html");
        assert!(page.contains("&quot;resp&quot;") && !page.contains("sesame"), "{page}");
    }
}

#[test]
fn without_due_times_there_is_no_lag() {
    let (page, summary) = page_and_summary("traces/tiny.lct", "--asap");
    for quantile in ["p50", "p99", "p999", "max"] {
        assert_eq!(summary["lag_us"].get(quantile), Some(&Value::Null), "{quantile}");
    }
    assert!(!page.contains("<dt>Lag") && !page.contains("<h3>Lag"), "{page}");
    assert!(!page.contains("from its due time</th>"), "{page}");
}

/// The last look at the storage manager comes after the last call.
#[test]
fn plots_end_where_the_replay_does() {
    let (page, summary) = page_and_summary("traces/tiny.lct", "--asap");
    let duration_ms = summary["duration_s"].as_f64().expect("a number") * 1e3;
    let axes = page.split("<figure").skip(1).filter(|plot| plot.contains(">since the start</text>"));
    let mut plots = 0;
    for plot in axes {
        let labels = plot.split("class=\"tx\"").skip(1).filter_map(|label| label.split(['>', '<']).nth(1));
        let last = labels.last().expect("a label").trim_end_matches(" ms");
        assert!(last.parse::<f64>().is_ok_and(|last| last <= duration_ms), "{last} of {duration_ms}: {plot}");
        plots += 1;
    }
    assert!(plots >= 3, "{page}");
    let (_, l1) = page.split_once("<h3>L1</h3>").expect("a plot of L1");
    let l1 = l1.split("</figure>").next().expect("an end");
    let area = l1.split("<path class=\"a").nth(1).expect("what is in use is drawn");
    let heights = area.split('V').skip(1).filter_map(|rest| rest.split('H').next()?.parse::<f64>().ok());
    assert!(heights.fold(f64::MAX, f64::min) < 100.0, "a little of much is seen, too: {l1}");
}

/// As many spans as there can be: docs/replay.md says how large the page gets.
#[test]
fn a_page_does_not_grow_with_the_trace() {
    let l2 = r#"--l2-adapter {"type":"mock","max_size_gb":1,"mock_bandwidth_gb":10}"#;
    let (page, _) = page_and_summary("traces/small.lct", &format!("--rate 2000 {l2}"));
    assert!((60_000..300_000).contains(&page.len()), "{}", page.len());
}

#[test]
fn a_trace_of_nothing_makes_a_page_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("empty.lct");
    std::fs::write(&path, MadeTrace::new().bytes()).expect("room");
    let words = format!("{L1} --no-csv -q --html page.html");
    let output = command(folder.path(), &path, &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = read(folder.path(), "page.html");
    check_tags(&page);
    assert!(!page.contains("<figure") && page.contains("<h2>The report</h2>"), "{page}");
    assert!(!page.contains("<h2>Plots</h2>") && !page.contains("<h2>Latency"), "{page}");
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

/// A trace is not to be trusted, and pages are passed on.
#[test]
fn hostile_names_are_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("<img src=x onerror=alert(1)>&.lct");
    let hostile = "</title></style><script>alert('1')</script>\"'\u{202e}\u{1b}";
    let header_and_record =
        MadeTrace::new().record(1.0, hostile, json!({})).record(1.5, "javascript:x", json!({}));
    std::fs::write(&path, header_and_record.bytes()).expect("room");
    let words = format!("{L1} --no-csv -q --html page.html");
    let output = command(folder.path(), &path, &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = read(folder.path(), "page.html");
    check_tags(&page);
    check_is_self_contained(&page);
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&amp;.lct"), "{page}");
    assert!(!page.contains(['\u{202e}', '\u{1b}']));
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_and_the_rest_is_there() {
    let trace = unpack_to_file("traces/tiny.lct");
    let (output, folder) = replay(&trace, &format!("{L1} --html /dev/full --json"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/dev/full"), "{}", text(&output.stderr));
    let summary = std::fs::read(folder.path().join("trace_replay_summary.json")).expect("the summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["totals"]["records_replayed"], 59);
    let (output, _folder) = replay(&trace, &format!("{L1} --html /dev/null/x/page.html"));
    assert_eq!(output.status.code(), Some(2));
    let (output, _folder) = replay(&trace, &format!("{L1} --html same --perfetto same"));
    assert!(text(&output.stderr).contains("same file"), "{}", text(&output.stderr));
}
