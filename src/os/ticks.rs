//! The cheapest time stamp of the machine: the time-stamp counter of an x86-64 processor, where the kernel
//! itself keeps time by it.
//!
//! A counter is fit to stamp records if it counts at one rate in every power state (the processor says so) and
//! agrees between CPUs (the kernel watches that, and takes another clock source when it does not). Both are
//! asked once. Where either says no, ticks are the nanoseconds of `CLOCK_MONOTONIC`.

use super::time;

/// Where the kernel names the clock that it keeps time by.
#[cfg(target_arch = "x86_64")]
const CLOCK_SOURCE_PATH: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// What a tick is counted by. A copy is passed to whoever stamps, so that the choice costs a predicted branch
/// on a value at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickSource {
    /// The time-stamp counter: cycles at a fixed rate that only [`clock`](crate::clock) translates.
    Tsc,
    /// `CLOCK_MONOTONIC`: a tick is a nanosecond.
    Monotonic,
}

impl TickSource {
    /// The cheapest source that this machine can be trusted with.
    pub fn detect() -> Self {
        if has_trusted_tsc() { Self::Tsc } else { Self::Monotonic }
    }

    /// The ticks of this moment. The processor may take the counter some tens of cycles before or after the
    /// instructions around it.
    #[inline(always)]
    pub fn now(self) -> u64 {
        match self {
            Self::Tsc => read_tsc(),
            Self::Monotonic => time::monotonic_ns(),
        }
    }

    /// The ticks of a moment after everything that stands before this call in the program.
    #[inline]
    pub fn now_after(self) -> u64 {
        if self == Self::Tsc {
            wait_for_earlier_instructions();
        }
        self.now()
    }
}

#[cfg(target_arch = "x86_64")]
fn has_trusted_tsc() -> bool {
    has_invariant_tsc()
        && std::fs::read_to_string(CLOCK_SOURCE_PATH).is_ok_and(|source| source.trim() == "tsc")
}

/// CPUID leaf 8000_0007h, EDX bit 8: the counter's rate depends on no power state.
#[cfg(target_arch = "x86_64")]
fn has_invariant_tsc() -> bool {
    use std::arch::x86_64::__cpuid;
    const HIGHEST_EXTENDED_LEAF: u32 = 0x8000_0000;
    const POWER_LEAF: u32 = 0x8000_0007;
    const INVARIANT_TSC: u32 = 1 << 8;
    __cpuid(HIGHEST_EXTENDED_LEAF).eax >= POWER_LEAF && __cpuid(POWER_LEAF).edx & INVARIANT_TSC != 0
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn read_tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux leaves it open to programs unless they ask
    // for the opposite (PR_SET_TSC).
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn wait_for_earlier_instructions() {
    // SAFETY: the instruction belongs to SSE2, which every x86-64 processor has.
    unsafe { std::arch::x86_64::_mm_lfence() };
}

#[cfg(not(target_arch = "x86_64"))]
fn has_trusted_tsc() -> bool {
    false
}

/// No counter: [`TickSource::detect`] never chooses it here, and a value made by hand is still a time.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn read_tsc() -> u64 {
    time::monotonic_ns()
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn wait_for_earlier_instructions() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_pass_and_never_go_back() {
        for source in [TickSource::detect(), TickSource::Monotonic] {
            let started_ns = time::monotonic_ns();
            let (first, mut last) = (source.now_after(), 0);
            while time::monotonic_ns() - started_ns < 1_000_000 {
                let ticks = source.now_after();
                assert!(ticks >= last);
                last = ticks;
            }
            assert!(last > first, "{source:?} stands still");
        }
    }
}
