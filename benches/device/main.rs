//! A CUDA device: whether what it moves is right, and how fast it is.
//!
//! `tests/gpu.sh` runs it, or `cargo bench --bench device`. It takes words: `check` (several streams, events, memory that is registered and
//! not), `ipc` (two processes), `calibrate`, `table`; none means all. Where there is no device it says so and does nothing. On the fake driver of the
//! tests it runs everything on few bytes and prints no figure, because a figure of the fake would be none.
#![allow(unsafe_code, reason = "plain copies are calls of the driver")]

#[cfg(feature = "cuda")]
mod checks;
#[cfg(feature = "cuda")]
mod ipc;
#[cfg(feature = "cuda")]
mod plain;
#[cfg(feature = "cuda")]
mod table;

#[cfg(feature = "cuda")]
fn main() {
    use lmcache::device::cuda::CudaDevice;
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let [what, handle] = &words[..]
        && what == "ipc-importer"
    {
        return ipc::import(handle);
    }
    let device = match CudaDevice::open(0) {
        Ok(device) => device,
        Err(error) => {
            eprintln!("{error}");
            eprintln!("nothing was measured");
            // The script asks for a device, `cargo bench` takes what there is.
            std::process::exit(if std::env::var_os("LMCACHE_GPU").is_some() { 1 } else { 0 });
        }
    };
    let is_fake = device.name().starts_with("Fake device");
    let is_short = is_fake || std::env::args().any(|word| word == "--test");
    println!("{}, kernel: {:?}", device.name(), device.kernel_origin());
    let is_asked = |what: &str| words.is_empty() || words.iter().any(|word| word == what);
    if is_asked("check") {
        checks::run(&device, is_short);
    }
    if is_asked("ipc") {
        ipc::export(&device);
    }
    if is_asked("calibrate") {
        table::calibrate(&device, is_fake);
    }
    if is_asked("table") {
        table::run(&device, is_fake, is_short);
    }
    if is_fake {
        println!("this is the fake driver: everything ran, and no figure was printed");
    }
}

#[cfg(not(feature = "cuda"))]
fn main() {
    eprintln!("this was built without CUDA: nothing was measured");
}
