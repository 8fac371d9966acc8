//! How much smaller native files are.

use super::common::unpack;
use super::support::round_trip;

#[test]
fn large_traces_come_back_and_become_small() {
    let (mut lmcache_bytes, mut native_bytes, mut compact_bytes) = (0, 0, 0);
    for name in ["medium", "mooncake_conv_30k", "mooncake_syn_all_fits"] {
        let original = unpack(&format!("traces/{name}.lct"));
        let (native, compact) = round_trip(name, &original);
        let (whole, row, id) = (original.len(), native.bytes.len(), compact.bytes.len());
        println!(
            "{name}: {whole} bytes, native 1/{:.2}, compact 1/{:.2}",
            whole as f64 / row as f64,
            whole as f64 / id as f64
        );
        assert_eq!(native.report.foreign_calls, 0, "{name}");
        lmcache_bytes += whole;
        native_bytes += row;
        compact_bytes += id;
    }
    assert!(native_bytes * 5 <= lmcache_bytes, "{native_bytes} of {lmcache_bytes}");
    assert!(compact_bytes * 12 <= lmcache_bytes, "{compact_bytes} of {lmcache_bytes}");
}
