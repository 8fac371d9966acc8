//! Every file of every release comes back byte for byte.

use lmcache::format::lct::FrameCursor;
use lmcache::trace::TraceReader;

use super::common::{fixtures, unpack};
use super::support::{Made, round_trip};

/// The fixtures of `folder` whose header can be read, with their names.
pub(crate) fn traces(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<_> = std::fs::read_dir(fixtures().join(folder))
        .expect("the fixtures can be listed")
        .filter_map(|entry| entry.expect("a name").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".lct.zst").map(str::to_owned))
        .collect();
    names.sort();
    let traces = names.into_iter().map(|name| {
        let bytes = unpack(&format!("{folder}/{name}.lct"));
        (name, bytes)
    });
    traces.filter(|(_, bytes)| TraceReader::from_bytes("memory", bytes.clone()).is_ok()).collect()
}

/// Those whose last frame is not all there.
const CUT_SHORT: [&str; 5] =
    ["cut_in_body", "cut_in_prefix", "enospc_short_write", "huge_length", "truncated_kill9"];

/// How many frames follow the header.
fn frames(bytes: &[u8]) -> u64 {
    let mut frames = FrameCursor::new(bytes, 0);
    std::iter::from_fn(|| frames.next_frame().ok()).count() as u64 - 1
}

fn counts(made: &Made) -> (u64, u64, u64) {
    (made.report.calls, made.report.foreign_calls, made.report.undecodable)
}

#[test]
fn traces_of_this_release_come_back() {
    let traces = traces("traces");
    assert!(traces.len() > 20, "the fixtures were found");
    for (name, bytes) in traces {
        if matches!(name.as_str(), "medium" | "mooncake_conv_30k" | "mooncake_syn_all_fits") {
            continue;
        }
        let (native, compact) = round_trip(&name, &bytes);
        let (typed, foreign, undecodable) = counts(&native);
        assert_eq!(typed + foreign + undecodable, frames(&bytes), "{name}");
        assert_eq!(counts(&native), counts(&compact), "{name}");
        let expected_foreign = match name.as_str() {
            "badarg" => 1,
            "server_events" => frames(&bytes),
            // Its times were computed, by whoever gave it this rate: no clock read these times of day.
            "rate_5000" => 1_850,
            _ => 0,
        };
        assert_eq!(foreign, expected_foreign, "{name}");
        assert_eq!(native.report.cut_bytes > 0, CUT_SHORT.contains(&name.as_str()), "{name}");
        if name != "enospc_short_write" {
            assert_eq!(undecodable, u64::from(name == "bad_frame20"), "{name}");
        }
    }
}

#[test]
fn traces_of_earlier_releases_come_back() {
    let traces = traces("old_traces");
    assert_eq!(traces.len(), 6);
    for (name, bytes) in traces {
        let (native, _) = round_trip(&name, &bytes);
        let (typed, foreign, undecodable) = counts(&native);
        assert_eq!((typed + foreign, undecodable), (frames(&bytes), 0), "{name}");
        assert!(foreign > 0 && typed > 0, "{name}: some calls never changed, others did: {typed}, {foreign}");
    }
}
