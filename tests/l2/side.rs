use crate::resp::{adapter, config};
use crate::support::*;
fn bytes(i: usize) -> Vec<u8> { (0..(1usize << 20) + 64).map(|j| ((i * 31 + j) % 251) as u8).collect() }
#[test]
fn side() {
    let Ok(port) = std::env::var("SIDE_PORT") else { return };
    let adapter = adapter(config(port.parse().unwrap()));
    let mode = std::env::var("SIDE").unwrap();
    let who = if mode == "write" { 0xaa } else { 0xbb };
    for i in 0..8usize {
        let key = key_of("org/m", 0x0100_0100, 3, &[[who; 31].as_slice(), &[i as u8]].concat(), if i % 2 == 0 { "" } else { "t1" });
        if mode == "write" { store_all(&*adapter, &[(key, bytes(i))]); }
        else { assert!(load_one(&*adapter, &key, (1 << 20) + 64) == Some(bytes(i)), "{key:?}"); }
    }
    println!("side {mode} ok");
    adapter.close();
}
