//! Memory of a device that another process exported.
//!
//! A handle is opened once in a process for each device, and shared by all who have use for it, because drivers refuse it a second time or
//! count for themselves, depending on their age. It is closed with its last user.
#![expect(unsafe_code, reason = "the driver is called")]

use std::collections::HashMap;

use cudarc::driver::sys::{CUipcMem_flags_enum, CUipcMemHandle};

use super::addresses::Keeper;
use super::context::{Context, call};
use crate::error::Result;
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// `cudaIpcMemHandle_t`: what another process opens memory by. 64 bytes that only the driver reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpcHandle(pub [u8; 64]);

/// A use of a handle that is open.
#[derive(Debug)]
pub(super) struct Opened {
    context: Arc<Context>,
    handle: IpcHandle,
    start: u64,
}

/// Where an open handle's memory is, and how many use it.
struct Uses {
    start: u64,
    count: u64,
}

/// The open handles of this process, by the device that they were opened on. Its lock is held while the driver opens and closes, so that
/// nobody opens what is being closed.
fn open_handles() -> &'static Mutex<HashMap<(u32, IpcHandle), Uses>> {
    static OPEN: OnceLock<Mutex<HashMap<(u32, IpcHandle), Uses>>> = OnceLock::new();
    OPEN.get_or_init(Mutex::default)
}

/// Opens `handle`, or shares it.
///
/// # Errors
/// What the driver says: the handle is none, its process is this one, or is gone.
pub(super) fn open(context: &Arc<Context>, handle: &IpcHandle) -> Result<Arc<Opened>> {
    let mut open = lock(open_handles());
    let key = (context.ordinal(), *handle);
    let start = match open.get_mut(&key) {
        Some(uses) => {
            uses.count += 1;
            uses.start
        }
        None => {
            let start = map(context, handle)?;
            open.insert(key, Uses { start, count: 1 });
            start
        }
    };
    Ok(Arc::new(Opened { context: Arc::clone(context), handle: *handle, start }))
}

fn map(context: &Context, handle: &IpcHandle) -> Result<u64> {
    let cannot = |failure| context.error(failure, "cannot open the memory of another process");
    let entered = context.enter().map_err(cannot)?;
    let mut start = 0;
    let raw = CUipcMemHandle { reserved: handle.0.map(|byte| byte as std::ffi::c_char) };
    let flags = CUipcMem_flags_enum::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS as u32;
    // SAFETY: the driver writes one address; it checks the handle itself.
    let opened = unsafe { call!(cuIpcOpenMemHandle_v2(&raw mut start, raw, flags)) };
    entered.outcome(opened).map_err(cannot)?;
    Ok(start)
}

/// What another process opens the allocation by that holds `address`.
///
/// # Errors
/// What the driver says.
pub(super) fn export(context: &Context, address: u64) -> Result<IpcHandle> {
    let cannot = |failure| context.error(failure, "cannot export memory of the device to other processes");
    let entered = context.enter().map_err(cannot)?;
    let mut raw = CUipcMemHandle { reserved: [0; 64] };
    // SAFETY: the driver writes one handle; it checks the address itself.
    entered.outcome(unsafe { call!(cuIpcGetMemHandle(&raw mut raw, address)) }).map_err(cannot)?;
    Ok(IpcHandle(raw.reserved.map(|byte| byte as u8)))
}

impl Opened {
    /// Where the exported allocation starts, in this process.
    pub(super) fn start(&self) -> u64 {
        self.start
    }
}

impl Keeper for Opened {}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut open = lock(open_handles());
        let key = (self.context.ordinal(), self.handle);
        let Some(uses) = open.get_mut(&key) else { return };
        uses.count -= 1;
        if uses.count > 0 {
            return;
        }
        open.remove(&key);
        let Some(entered) = self.context.enter_to_free() else { return };
        // SAFETY: the memory was opened here, and nobody uses it any more.
        let _ = entered.outcome(unsafe { call!(cuIpcCloseMemHandle(self.start)) });
    }
}
