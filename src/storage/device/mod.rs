//! Between an engine's pages and L1: `store_from_device` and `retrieve_to_device`.
//!
//! What LMCache's server does on a STORE and a RETRIEVE, on whatever device the engine's [`Stream`](crate::device::Stream) belongs to:
//!
//! * [`pages`]: which pages are which objects, and whether the two fit; as plans for the stream.
//! * [`calls`]: the two calls. They reserve, or look up what a prefetch locked; submit; and return.
//! * `objects`: L1 as the host's side of a transfer: no byte of an object is given away while a device may use it.
//! * `flight`: the transfers of one call, until the last one is over. `landing`: what follows then, as a message to a controller:
//!   `finish_write`, `finish_read_prefetched`, or the reservations are given up.
//! * [`ticket`]: where the caller learns how it ended. [`counters`]: what the status says of it.

pub mod calls;
pub mod counters;
mod flight;
mod landing;
mod objects;
pub mod pages;
pub mod ticket;

pub use calls::{DeviceRetrieve, DeviceStore};
pub use counters::DeviceTransferStatus;
pub use pages::PagedPart;
pub use ticket::{ObjectOutcome, TransferOutcome, TransferTicket};

pub(super) use landing::Transfers;
