//! The flags of the storage manager: help that teaches, and sentences for what is wrong.

use crate::common::unpack_to_file;
use crate::{command, stderr, stdout};

#[test]
fn the_help_shows_an_adapter_of_each_type_and_every_flag_of_lmcache() {
    let help = stdout(&command("replay --help").output().expect("runs"));
    // JSON that is broken behind a comma is the same JSON.
    let pasted: String = help.lines().map(str::trim_start).collect();
    for example in lmcache::storage::config::l2::known::EXAMPLES {
        assert!(pasted.contains(&format!("'{example}'")), "{example}");
    }
    for flag in [
        "--l1-manager",
        "--l1-size-gb",
        "--l1-use-lazy",
        "--l1-init-size-gb",
        "--l1-align-bytes",
        "--l1-use-hugepages",
        "--l1-devdax-path",
        "--gds-l1-path",
        "--gds-l1-use-direct-io",
        "--gds-l1-backend",
        "--l1-write-ttl-seconds",
        "--l1-read-ttl-seconds",
        "--eviction-policy",
        "--eviction-trigger-watermark",
        "--eviction-ratio",
        "--l2-store-policy",
        "--l2-prefetch-policy",
        "--l2-prefetch-max-in-flight",
        "--periodic-notifier-interval-ms",
        "--l2-adapter",
        "--shm-name",
        "--enable-extra-logging",
        "--extra-logging-interval",
    ] {
        // A flag that may be repeated has three dots behind it.
        assert!([" ", "\n", "..."].iter().any(|end| help.contains(&format!("{flag}{end}"))), "{flag}");
    }
}

#[test]
fn what_is_wrong_with_an_adapter_is_one_sentence_and_a_hint() {
    let trace = unpack_to_file("traces/tiny.lct");
    let refused = |adapters: &[&str]| {
        let mut replay = command("replay --l1-size-gb 0.1 --eviction-policy LRU");
        for adapter in adapters {
            replay.args(["--l2-adapter", adapter]);
        }
        let output = replay.arg(&trace.path).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{adapters:?}");
        assert!(output.stdout.is_empty(), "{adapters:?}");
        stderr(&output)
    };
    let fs = r#"{"type":"fs","base_path":"/kv"}"#;
    let said = refused(&[fs, r#"{"type":"fs","base_pth":"/kv"}"#]);
    assert!(said.contains("unknown field (field base_pth, type fs, flag --l2-adapter #2)"), "{said}");
    assert!(said.contains("base_path, relative_tmp_dir"), "{said}");
    let said = refused(&[r#"{"type":"valkey","startup_nodes":"h:1"}"#]);
    assert!(said.contains("not part of this build (type valkey, flag --l2-adapter #1)"), "{said}");
    assert!(said.contains("use type resp"), "{said}");
    let said = refused(&[r#"{"type":"fs","base_path":"/kv","affinity_tag":"hot"}"#]);
    assert!(said.contains("no L1 manager has the affinity_tag"), "{said}");
    assert!(said.contains("the tags are _default"), "{said}");
    let said = refused(&[r#"{"type":"resp","host":"h","port":0,"password":"sesame"}"#]);
    assert!(said.contains("port must be an integer from 1 to 65535") && !said.contains("sesame"), "{said}");
}

#[test]
fn l1_managers_that_do_not_go_together_are_one_sentence() {
    let trace = unpack_to_file("traces/tiny.lct");
    let refused = |managers: &[&str]| {
        let mut replay = command("replay --eviction-policy LRU");
        for manager in managers {
            replay.args(["--l1-manager", manager]);
        }
        let output = replay.arg(&trace.path).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{managers:?}");
        stderr(&output)
    };
    let dram = r#"{"type":"DRAM","tag":"a","size_gb":0.1}"#;
    assert!(refused(&[dram, dram]).contains("two L1 managers have the same tag (tag a)"));
    let said = refused(&[dram, r#"{"type":"GDS","tag":"g","size_gb":1,"path":"/nvme"}"#]);
    assert!(said.contains("not part of this build") && said.contains("--l1-manager #2"), "{said}");
    let said = refused(&["{}", r#"{"type":"GDS","size":1}"#]);
    assert!(said.contains("not part of this build") && said.contains("--l1-manager #2"), "{said}");
    assert!(refused(&["{"]).contains("not a JSON object"));
}

/// The commands of a page, with a short trace and a folder of the test's.
#[test]
fn the_device_of_the_page_works_as_it_is_shown() {
    let (trace, folder) = (unpack_to_file("traces/tiny.lct"), tempfile::tempdir().unwrap());
    let page = include_str!("../../docs/l2.md");
    let block =
        page.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).expect("commands");
    let place = |text: &str| text.replace("/data/", &format!("{}/", folder.path().display()));
    let mut lines = block.lines().map(|line| line.strip_prefix("$ ").expect("a command"));
    let (make, replay) = (place(lines.next().expect("truncate")), place(lines.next().expect("replay")));
    let words: Vec<&str> = make.split(' ').collect();
    assert_eq!((words[0], words[1], words[2]), ("truncate", "-s", "100G"));
    std::fs::File::create(words[3]).and_then(|file| file.set_len(1 << 30)).unwrap();
    let (before, adapter) = replay.split_once(" '").expect("an adapter in quotes");
    let adapter = adapter.trim_end_matches('\'').to_owned();
    let before = before.strip_prefix("lmcache-trace ").expect("our program");
    let trace_path = trace.path.to_str().expect("UTF-8");
    let mut command = command(&before.replace("examples/server_demo.lct", trace_path));
    let output = command.args([&adapter, "--no-csv"]).output().expect("runs");
    if stderr(&output).contains("set use_odirect to false") {
        eprintln!("skipped: no direct I/O on the file system of temporary files");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(!said.contains("not in L2") && !said.contains("overwrites it"), "{said}");
}

#[test]
fn shares_lie_between_0_and_1() {
    let trace = unpack_to_file("traces/tiny.lct");
    for (flag, value) in
        [("--eviction-trigger-watermark", "80"), ("--eviction-ratio", "-0.1"), ("--eviction-ratio", "NaN")]
    {
        let mut replay = command("replay --l1-size-gb 0.1 --eviction-policy LRU");
        let output = replay.args([flag, value]).arg(&trace.path).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{flag} {value}");
        let said = stderr(&output);
        assert!(said.contains("must be a share from 0 to 1") && said.contains(flag), "{said}");
    }
    for value in ["0", "1"] {
        let mut replay = command("replay --l1-size-gb 0.1 --eviction-policy LRU --no-csv");
        let output = replay.args(["--eviction-ratio", value]).arg(&trace.path).output().expect("runs");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn what_does_not_reach_l2_is_in_the_report_and_on_stderr() {
    let trace = unpack_to_file("traces/tiny.lct");
    let adapter = r#"{"type":"fault_inject","store_error_rate":1,"inner":{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":10}}"#;
    let mut replay = command("replay --l1-size-gb 0.1 --eviction-policy LRU --no-csv --format json");
    let output = replay.args(["--l2-adapter", adapter]).arg(&trace.path).output().expect("runs");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (lost, adapter) = (report["l2"]["lost_keys"].as_u64(), &report["l2"]["adapters"][0]);
    assert!(lost > Some(0) && lost == adapter["fault_inject"]["store_errors"].as_u64(), "{report}");
    assert_eq!(
        (adapter["is_healthy"].as_bool(), adapter["stored_object_count"].as_u64()),
        (Some(true), Some(0))
    );
    let said = stderr(&output);
    assert!(said.contains(&format!("{} objects are not in L2", lost.unwrap_or_default())), "{said}");
}

#[test]
fn a_device_that_begins_empty_though_it_held_something_is_said() {
    let (trace, folder) = (unpack_to_file("traces/tiny.lct"), tempfile::tempdir().unwrap());
    let replay = |device: &std::path::Path| {
        let device = device.display();
        let adapter = format!(
            r#"{{"type":"raw_block","device_path":"{device}","slot_bytes":1052672,"meta_total_bytes":4194304,"use_odirect":false}}"#
        );
        let mut replay =
            command("replay --l1-size-gb 0.1 --eviction-policy LRU --no-csv --l2-namespace keep");
        let output = replay.args(["--l2-adapter", &adapter]).arg(&trace.path).output().expect("runs");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    };
    let (device, copy) = (folder.path().join("device"), folder.path().join("copy"));
    std::fs::File::create(&device).and_then(|file| file.set_len(128 << 20)).unwrap();
    assert!(!replay(&device).contains("overwrites it"));
    std::fs::copy(&device, &copy).unwrap();
    let said = replay(&copy);
    assert!(said.contains("overwrites it") && said.contains("device_path"), "{said}");
    assert!(!replay(&device).contains("overwrites it"));
}
