//! Files with more names than are kept: the same summary on any number of threads, and nothing lost silently.

use lmcache::analyze::{MAX_NAME_BYTES, TraceSummary};

use crate::{common, summary_of};

/// Names of each kind in these files; more than are kept.
const NAMES: usize = 3000;

/// Records in these files: each name comes twice, far apart.
const RECORDS: usize = 2 * NAMES;

/// What makes a record long enough for a file of several segments.
const PADDING_BYTES: usize = 600;

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0xda);
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: usize) {
    out.push(0xce);
    out.extend((number as u32).to_be_bytes());
}

/// A record's frame. `args` is the msgpack of `fields` fields, to which the padding comes.
fn frame(step: usize, qualname: &str, fields: u8, args: &[u8]) -> Vec<u8> {
    let mut body = b"\x84".to_vec();
    for (name, place) in [("t_mono", step), ("t_wall", step)] {
        text(&mut body, name);
        number(&mut body, place);
    }
    text(&mut body, "qualname");
    text(&mut body, qualname);
    text(&mut body, "args");
    body.push(0x81 + fields);
    body.extend(args);
    text(&mut body, "padding");
    text(&mut body, &"p".repeat(PADDING_BYTES));
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

/// The header of `fixture` and then `RECORDS` frames, whose names come in an order that is not theirs.
fn file(fixture: &str, frame: impl Fn(usize, &str) -> Vec<u8>) -> Vec<u8> {
    let whole = common::unpack(fixture);
    let header_bytes = 4 + u32::from_be_bytes(*whole.first_chunk().expect("a header")) as usize;
    let mut bytes = whole[..header_bytes].to_vec();
    for step in 0..RECORDS {
        bytes.extend(frame(step, &format!("name{:04}", step * 7 % NAMES)));
    }
    assert!(bytes.len() > 4 << 20, "enough for five threads");
    bytes
}

fn on_any_threads(bytes: &[u8]) -> TraceSummary {
    let summaries = [1, 2, 5].map(|threads| summary_of("limits", bytes.to_vec(), threads));
    let texts = summaries.each_ref().map(|summary| format!("{summary:?}"));
    assert!(texts[0] == texts[1] && texts[0] == texts[2]);
    let [summary, ..] = summaries;
    summary
}

/// How many names there are, all of which must be the smallest.
fn smallest<'s>(names: impl Iterator<Item = &'s String>) -> usize {
    names.enumerate().inspect(|(place, name)| assert_eq!(**name, format!("name{place:04}"))).count()
}

#[test]
fn qualified_names_and_scopes_past_the_limit_do_not_depend_on_threads() {
    let bytes = file("traces/small.lct", |step, name| {
        let mut args = b"\xa4keys\x91\x82\xa5__t__\xa9ObjectKey\xa1v\x84\xaachunk_hash\xc4\x01\x07".to_vec();
        for (field, value) in [("model_name", name), ("cache_salt", name)] {
            text(&mut args, field);
            text(&mut args, value);
        }
        text(&mut args, "kv_rank");
        number(&mut args, step % NAMES);
        frame(step, name, 1, &args)
    });
    let summary = on_any_threads(&bytes);
    assert_eq!(summary.records_with_undecodable_keys, 0);
    assert_eq!(summary.keys, RECORDS as u64);
    let others = summary.ops["(other names)"];
    let kept = smallest(summary.ops.keys().filter(|name| !name.starts_with('(')));
    assert!(kept < NAMES && others == (RECORDS - 2 * kept) as u64);
    assert_eq!(summary.ops.values().sum::<u64>(), RECORDS as u64);
    assert!(summary.scopes.incomplete);
    assert_eq!((smallest(summary.scopes.models.iter()), smallest(summary.scopes.salts.iter())), (kept, kept));
    assert!(summary.scopes.kv_ranks.iter().copied().eq(0..kept as i64));
}

#[test]
fn names_in_events_past_the_limit_do_not_depend_on_threads() {
    let bytes = file("traces/server_events.lct", |step, name| {
        if step % 10 == 0 {
            let mut args = Vec::new();
            text(&mut args, "phase");
            text(&mut args, name);
            return frame(step, "events.lifecycle", 1, &args);
        }
        let mut args = Vec::new();
        for (field, value) in [("instance_id", name), ("event_type", name), ("tier", name)] {
            text(&mut args, field);
            text(&mut args, value);
        }
        text(&mut args, "incarnation");
        number(&mut args, step);
        args.extend(b"\xa7entries\x90");
        frame(step, "events.batch", 5, &args)
    });
    let summary = on_any_threads(&bytes);
    let events = &summary.events;
    assert!(events.incomplete);
    assert_eq!(events.undecodable, 0);
    let batches = events.batches.values().sum::<u64>() + events.other_batches;
    assert_eq!(batches, (RECORDS - RECORDS / 10) as u64);
    assert_eq!(batches, summary.ops["events.batch"]);
    assert_eq!(events.instances.len(), events.batches.len());
    assert!(events.instances.len() < NAMES && events.other_batches > 0);
    assert!(events.entries.contains_key("(other names)"));
    assert_eq!(events.lifecycle.values().sum::<u64>(), summary.ops["events.lifecycle"]);
}

#[test]
fn names_that_are_too_long_are_counted_among_the_others() {
    let qualname = |len_bytes: usize| "q".repeat(len_bytes);
    let mut bytes = common::unpack("traces/empty.lct");
    for len_bytes in [MAX_NAME_BYTES, MAX_NAME_BYTES + 1, MAX_NAME_BYTES + 2] {
        bytes.extend(frame(0, &qualname(len_bytes), 0, b""));
    }
    let ops = summary_of("long", bytes, 1).ops;
    assert_eq!((ops.len(), ops[&qualname(MAX_NAME_BYTES)], ops["(other names)"]), (2, 1, 2));
}
