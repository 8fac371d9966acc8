//! The claim of the whole: an adapter that is a tenth slower is found, and like and like are not told apart, ten times out of
//! ten, on the machine at hand. It takes some minutes, so it runs when it is asked for:
//!
//! ```console
//! $ cargo test --release --test compare ten_times -- --ignored --nocapture
//! ```

use serde_json::Value;

use crate::command::{compare, summary_of};
use crate::common::unpack_to_file;

/// A mock whose every task takes this long.
fn flags(latency_ms: u32) -> String {
    format!(
        "--l1-size-gb 0.1 --eviction-policy LRU --l2-adapter '{{\"type\":\"mock\",\"max_size_gb\":4,\"mock_bandwidth_gb\":50,\
         \"latency_ms\":{latency_ms},\"keep_bytes\":false}}'"
    )
}

/// The same with the last tenth in front of it.
fn flags_with_delay(latency_ms: u32, delay_ms: u32) -> String {
    let mock = flags(latency_ms);
    mock.replace(
        "'{\"type\"",
        &format!("'{{\"type\":\"fault_inject\",\"delay_ms\":{delay_ms},\"inner\":{{\"type\""),
    )
    .replace("false}'", "false}}'")
}

fn told(summary: &Value) -> String {
    let row = &summary["metrics"]["prefetch.p50"];
    let number = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
    format!(
        "prefetch.p50 {:+.1} % ({:+.1} to {:+.1}), noise {:.1} %; {} metrics differ",
        number("change"),
        number("low"),
        number("high"),
        number("noise"),
        summary["changed_metrics"]
    )
}

#[test]
#[ignore = "takes some minutes"]
fn a_tenth_is_found_and_nothing_is_not_ten_times_out_of_ten() {
    let trace = unpack_to_file("traces/deterministic.lct");
    let (mut missed, mut alarms) = (0, 0);
    for round in 1..=10 {
        let slower = if round % 2 == 0 { flags(110) } else { flags_with_delay(100, 10) };
        let summary = summary_of(&compare(&trace.path, &["--a", &flags(100), "--b", &slower]));
        let row = &summary["metrics"]["prefetch.p50"];
        missed +=
            u32::from(row["changed"] != true || row["change"].as_f64().is_none_or(|change| change < 5.0));
        println!("{round}: planted {}", told(&summary));
        let output = compare(&trace.path, &["--a", &flags(100), "--aa"]);
        alarms += u32::from(output.status.code() != Some(0));
        println!("{round}: A/A     {}", told(&summary_of(&output)));
    }
    println!("missed {missed} of 10; false alarms {alarms} of 10");
    assert_eq!((missed, alarms), (0, 0));
}
