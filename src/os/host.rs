//! Who and where this process is.

/// The name of the host; empty if the kernel does not say.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// The name of the process's program; empty if the kernel does not say.
pub fn process_name() -> String {
    std::fs::read_to_string("/proc/self/comm").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// Random bits: the keys that std takes from the kernel for its hash maps.
pub fn random_u64() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(std::process::id())
}

/// Memory that can be had without swapping anything out (`MemAvailable`); nothing if the kernel does not say. What a
/// container may use is not looked at.
pub fn available_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether the processor is one of AMD's.
#[cfg(target_arch = "x86_64")]
pub fn is_amd_processor() -> bool {
    use crate::sync::OnceLock;
    static IS_AMD: OnceLock<bool> = OnceLock::new();
    // Asked once: under a hypervisor the instruction costs a microsecond and more.
    *IS_AMD.get_or_init(|| {
        // Leaf 0: the maker's name, in registers B, D and C.
        let leaf = std::arch::x86_64::__cpuid(0);
        [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
    })
}

/// Has `then` be called in every child that the process forks from now on, before `fork` returns there. It must do nothing that a
/// signal handler must not do.
pub fn in_forked_children(then: extern "C" fn()) {
    let then: unsafe extern "C" fn() = then;
    // SAFETY: the function stays as long as the library, which cannot be unloaded (see `build.rs`); no other handler is set.
    let _ = unsafe { libc::pthread_atfork(None, None, Some(then)) };
}
