//! On which device the cases of the reference run.

use lmcache::device::{Direction, Moved, Plan};

use crate::cases;

/// Runs `plan` on a device with these bytes: the reference, or a CUDA device, in a child on the fake driver or for `tests/gpu.sh`. Returns
/// the bytes of both sides after it, and what was moved.
pub(crate) fn run(
    plan: &Plan,
    direction: Direction,
    device: &[u8],
    host: &[u8],
) -> (Vec<u8>, Vec<u8>, Moved) {
    #[cfg(feature = "cuda")]
    if crate::fake::is_inside() || crate::cuda::is_on_gpu() {
        return crate::cuda::run(plan, direction, device, host);
    }
    cases::run(plan, direction, device, host)
}

/// How many random cases are tried: fewer in a child on the fake driver, of which there are several.
pub(crate) fn case_count(all: u32) -> u32 {
    #[cfg(feature = "cuda")]
    if crate::fake::is_inside() {
        return all / 4;
    }
    all
}
