//! Which node's memory a region comes from.

use crate::error::{Error, Result};
use crate::os::region::Region;

/// Take pages from the nodes of the mask and from no other.
const MPOL_BIND: libc::c_long = 2;

/// How many nodes a kernel can be built for (`CONFIG_NODES_SHIFT` is at most 10).
pub const MAX_NODES: u32 = 1024;

const MASK_WORDS: usize = MAX_NODES as usize / libc::c_ulong::BITS as usize;

/// Binds the pages of `region` that are not there yet to `node`: they come from its memory or not at all.
///
/// # Errors
/// If there is no such node, if the kernel knows no nodes, or if it does not let this process choose.
pub fn bind(region: &Region, node: u32) -> Result<()> {
    if node >= MAX_NODES {
        return Err(Error::invalid("no machine has a NUMA node of that number").with_context("node", node));
    }
    let mut mask = [0 as libc::c_ulong; MASK_WORDS];
    mask[(node / libc::c_ulong::BITS) as usize] = 1 << (node % libc::c_ulong::BITS);
    let (start, len_bytes) = (region.base().as_ptr(), region.len_bytes());
    // The kernel takes one off the number of bits.
    let bits = libc::c_ulong::from(MAX_NODES) + 1;
    // SAFETY: mbind reads the mask, as many bits as it is told, and sets how pages of our region are found; it
    // changes no byte.
    let status =
        unsafe { libc::syscall(libc::SYS_mbind, start, len_bytes, MPOL_BIND, mask.as_ptr(), bits, 0) };
    if status == 0 {
        return Ok(());
    }
    let cause = std::io::Error::last_os_error();
    let hint = match cause.raw_os_error() {
        Some(libc::EINVAL) => "the node does not exist, or has no memory that this process may use",
        Some(libc::ENOSYS) => "this kernel was built without NUMA: leave the node out",
        Some(libc::EPERM) => "the container forbids mbind: give it CAP_SYS_NICE, or leave the node out",
        _ => "leave the node out",
    };
    Err(Error::io("cannot bind memory to a NUMA node (mbind)", cause)
        .with_context("node", node)
        .with_context("bytes", len_bytes)
        .with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_taken_if_it_exists_and_refused_if_not() {
        let region = Region::anonymous(1 << 20, 1).unwrap();
        let has_node_0 = std::path::Path::new("/sys/devices/system/node/node0").exists();
        match bind(&region, 0) {
            Ok(()) => region.populate(0, 1 << 20).unwrap(),
            // Containers forbid it, and kernels without NUMA have no nodes.
            Err(error) => assert!(error.hint().is_some() && (!has_node_0 || error.io_source().is_some())),
        }
        let error = bind(&region, MAX_NODES - 1).unwrap_err();
        assert!(error.to_string().contains("mbind"), "{error}");
        assert!(bind(&region, MAX_NODES).unwrap_err().io_source().is_none());
    }
}
