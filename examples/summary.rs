//! Reads a trace with the library: what is in it, and its first call.
//!
//! ```text
//! cargo run --release --example summary examples/server_demo.lct
//! ```

use lmcache::analyze::summarize;
use lmcache::error::Result;
use lmcache::format::lct::decode_call;
use lmcache::format::model::KeyInterner;
use lmcache::format::model::Op;
use lmcache::trace::{Entry, ReadMode, TraceReader};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "examples/server_demo.lct".to_owned());
    let reader = TraceReader::open(path, ReadMode::buffered())?;

    let summary = summarize(&reader, 1, |_| {});
    println!(
        "{} records, {} keys, {} of them distinct",
        summary.total_records, summary.keys, summary.distinct_keys.count
    );

    let mut interner = KeyInterner::default();
    for entry in reader.records() {
        let Entry::Record(record) = entry else { continue };
        let Some(op) = Op::from_qualname(record.qualname) else { continue };
        match decode_call(op, &record.args, &mut interner) {
            Ok(call) => println!("after {:.3} s: {call:?}", record.t_mono_s),
            Err(error) => println!(
                "after {:.3} s: {} with arguments that do not decode: {error}",
                record.t_mono_s,
                op.method()
            ),
        }
        break;
    }
    Ok(())
}
