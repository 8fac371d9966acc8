//! A transfer, as calls of the driver.
//!
//! Bytes of registered memory of the host go straight: large runs by the copy engine, small ones by the kernel, which reads and writes the
//! host's memory itself. All other bytes go through a page-locked buffer, in pieces; between buffer and device the same choice is made.
#![expect(unsafe_code, reason = "the driver is called")]

use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::addresses::Range;
use super::batch::Batch;
use super::bounce::{self, Gate, Part, Piece};
use super::context::{Context, Entered, call};
use super::crossover::SharedCrossover;
use super::failure::Failure;
use super::handles::{PinnedBuffer, RawStream};
use super::kernel::{Kernel, Move, Table};
use super::pool::PinnedPool;
use super::registered::Registered;
use crate::device::host_side::HostSide;
use crate::device::plan::Run;
use crate::device::stream::{Direction, Transfer};
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// Fewer copies than these are made one by one, even where a call for many is there.
const MIN_BATCH: usize = 4;

/// The kernel's widest word. Bytes begin in a buffer where they begin on the device, by this measure, so that it can use it.
const WORD_BYTES: u64 = 16;

/// What moves bytes: the same for all streams of a device.
#[derive(Debug)]
pub(super) struct Mover {
    pub(super) context: Arc<Context>,
    pub(super) kernel: Kernel,
    pub(super) batch: Option<Batch>,
    pub(super) pool: PinnedPool,
    pub(super) crossover: SharedCrossover,
    /// How many bytes pass through a buffer at once.
    pub(super) bounce_bytes: usize,
}

/// What a transfer needs until it is over, whatever becomes of it.
#[derive(Debug, Default)]
pub(super) struct Holds {
    ranges: Vec<Arc<Range>>,
    host: Option<Arc<dyn HostSide>>,
    tables: Vec<Table>,
    gates: Vec<Arc<Gate>>,
    buffer: Option<Arc<PinnedBuffer>>,
}

/// What nobody but a transfer had, and only calls of the driver give back, some of which wait for all that is under way on the device: they
/// are made when this is dropped.
#[derive(Debug)]
pub(super) struct Leftover {
    _ranges: Vec<Arc<Range>>,
    _host: Option<Arc<dyn HostSide>>,
    _buffers: Vec<PinnedBuffer>,
}

/// The calls of one transfer.
struct Issue<'a> {
    mover: &'a Mover,
    stream: &'a RawStream,
    entered: &'a Entered<'a>,
    direction: Direction,
    holds: &'a mut Holds,
}

impl Mover {
    /// Asks the driver for all of `transfer`, which was checked. If it fails, a part of it may be under way: `holds` has what that needs.
    pub(super) fn issue(
        &self,
        entered: &Entered<'_>,
        stream: &RawStream,
        transfer: &Transfer,
        holds: &mut Holds,
    ) -> Result<(), Failure> {
        holds.host = Some(Arc::clone(&transfer.host));
        let mut issue = Issue { mover: self, stream, entered, direction: transfer.direction, holds };
        let registered = Registered::now();
        match self.straight(transfer, &registered) {
            Some(moves) => issue.moves(&moves, Some(&registered)),
            None => issue.bounce(transfer),
        }
    }

    /// The moves of a transfer whose bytes the device reaches where they lie, if it does.
    fn straight(&self, transfer: &Transfer, registered: &Registered) -> Option<Vec<Move>> {
        if !transfer.host.is_registered() || !self.context.facts().has_host_addresses {
            return None;
        }
        // Exposed: what the driver and the kernel do with the addresses is done to this memory.
        let base = transfer.host.region().base().as_ptr().expose_provenance() as u64;
        let move_of = |run: &Run| {
            let at_host = base + run.host_offset;
            let is_known = registered.parts(at_host, run.len_bytes).is_some();
            is_known.then(|| Move::of(transfer.direction, run.device_offset, at_host, run.len_bytes))
        };
        transfer.plan.runs().iter().map(move_of).collect()
    }
}

impl Move {
    fn of(direction: Direction, at_device: u64, at_host: u64, bytes: u64) -> Self {
        match direction {
            Direction::DeviceToHost => Self { from: at_device, to: at_host, bytes },
            Direction::HostToDevice => Self { from: at_host, to: at_device, bytes },
        }
    }

    fn at_host(&self, direction: Direction) -> u64 {
        match direction {
            Direction::DeviceToHost => self.to,
            Direction::HostToDevice => self.from,
        }
    }
}

impl Issue<'_> {
    /// Large ones by the copy engine, small ones by the kernel, if there are enough of them.
    fn moves(&mut self, moves: &[Move], registered: Option<&Registered>) -> Result<(), Failure> {
        let crossover = self.mover.crossover.get();
        let (large, small): (Vec<Move>, Vec<Move>) =
            moves.iter().partition(|row| row.bytes >= crossover.run_bytes);
        if (small.len() as u64) < crossover.min_kernel_runs {
            return self.copies(moves, registered);
        }
        self.launch(&small)?;
        self.copies(&large, registered)
    }

    fn launch(&mut self, moves: &[Move]) -> Result<(), Failure> {
        if moves.is_empty() {
            return Ok(());
        }
        let buffer = self.mover.pool.take(Table::len_bytes(moves))?;
        let table = Table::new(buffer, moves);
        let launched = self.mover.kernel.launch(self.entered, self.stream, &table);
        self.holds.tables.push(table);
        launched
    }

    fn copies(&mut self, moves: &[Move], registered: Option<&Registered>) -> Result<(), Failure> {
        let within = registered.map(|registered| self.within_registrations(moves, registered));
        let moves = within.as_deref().unwrap_or(moves);
        match self.mover.batch {
            Some(batch) if moves.len() >= MIN_BATCH => {
                // SAFETY: `holds` has the memory of both sides until the stream has done it.
                unsafe { batch.copy(self.entered, self.stream.handle(), moves) }
            }
            _ => moves.iter().try_for_each(|row| self.copy(row)),
        }
    }

    /// The same moves, none of which reaches across the border of two registrations.
    fn within_registrations(&self, moves: &[Move], registered: &Registered) -> Vec<Move> {
        let apart = |row: &Move| {
            let (start, row) = (row.at_host(self.direction), *row);
            let parts = registered.parts(start, row.bytes).into_iter().flatten();
            parts.map(move |(at, bytes)| Move {
                from: row.from + (at - start),
                to: row.to + (at - start),
                bytes,
            })
        };
        moves.iter().flat_map(apart).collect()
    }

    fn copy(&self, &Move { from, to, bytes }: &Move) -> Result<(), Failure> {
        let (stream, bytes) = (self.stream.handle(), bytes as usize);
        self.entered.outcome(match self.direction {
            Direction::DeviceToHost => {
                let to = with_exposed_provenance_mut(to as usize);
                // SAFETY: `holds` has the memory of both sides until the stream has done it.
                unsafe { call!(cuMemcpyDtoHAsync_v2(to, from, bytes, stream)) }
            }
            Direction::HostToDevice => {
                let from = with_exposed_provenance(from as usize);
                // SAFETY: as above.
                unsafe { call!(cuMemcpyHtoDAsync_v2(to, from, bytes, stream)) }
            }
        })
    }

    /// Through a buffer, piece by piece. One buffer does: the stream's order keeps one piece out of the other's way.
    fn bounce(&mut self, transfer: &Transfer) -> Result<(), Failure> {
        if transfer.plan.runs().is_empty() {
            return Ok(());
        }
        let buffer = Arc::new(self.mover.pool.take(self.mover.bounce_bytes)?);
        let _ = buffer.start().expose_provenance();
        self.holds.buffer = Some(Arc::clone(&buffer));
        let mut pieces = Pieces { runs: transfer.plan.runs(), at: 0, capacity: buffer.len_bytes() as u64 };
        while let Some((parts, moves)) = pieces.next(self.direction, buffer.address()) {
            let (buffer, host) = (Arc::clone(&buffer), Arc::clone(&transfer.host));
            let gate = Gate::new(Piece { buffer, host, direction: self.direction, parts });
            self.holds.gates.push(Arc::clone(&gate));
            match self.direction {
                Direction::DeviceToHost => {
                    self.moves(&moves, None)?;
                    self.pass(&gate)?;
                }
                Direction::HostToDevice => {
                    self.pass(&gate)?;
                    self.moves(&moves, None)?;
                }
            }
        }
        Ok(())
    }

    fn pass(&self, gate: &Arc<Gate>) -> Result<(), Failure> {
        // SAFETY: `holds` has the gate until the stream has passed it, and where that cannot be known, the gate is kept for ever.
        unsafe { self.stream.call_host(self.entered, bounce::pass, gate.data()) }
    }
}

/// The runs of a plan, in pieces that fit into a buffer.
struct Pieces<'a> {
    runs: &'a [Run],
    /// How much of the first run is in a piece already.
    at: u64,
    capacity: u64,
}

impl Pieces<'_> {
    /// The next piece: between the buffer and the host, and between the buffer and the device.
    fn next(&mut self, direction: Direction, buffer: u64) -> Option<(Vec<Part>, Vec<Move>)> {
        let (mut parts, mut moves, mut used) = (Vec::new(), Vec::new(), 0);
        while let Some(run) = self.runs.first() {
            let (at_device, at_host) = (run.device_offset + self.at, run.host_offset + self.at);
            let start = used + (at_device.wrapping_sub(buffer + used)) % WORD_BYTES;
            if start >= self.capacity {
                break;
            }
            let bytes = (run.len_bytes - self.at).min(self.capacity - start);
            parts.push(Part { in_buffer: start as usize, in_host: at_host, bytes: bytes as usize });
            moves.push(Move::of(direction, at_device, buffer + start, bytes));
            used = start + bytes;
            self.at += bytes;
            if self.at == run.len_bytes {
                (self.runs, self.at) = (&self.runs[1..], 0);
            }
        }
        (!parts.is_empty()).then_some((parts, moves))
    }
}

impl Holds {
    /// What a transfer needs of the device's memory.
    pub(super) fn new(ranges: Vec<Arc<Range>>) -> Self {
        Self { ranges, ..Self::default() }
    }

    /// When all is over: buffers are used again. What takes the driver to be given back is returned.
    pub(super) fn give_back(mut self, pool: &PinnedPool) -> Option<Leftover> {
        // The gates first, which have the buffer too, and the host's memory.
        self.gates.clear();
        let tables = self.tables.into_iter().map(Table::into_buffer);
        let buffers = tables.chain(self.buffer.and_then(Arc::into_inner));
        let buffers: Vec<_> = buffers.filter_map(|buffer| pool.put(buffer)).collect();
        // Should another who has it drop it just now, it is given back here, by and by.
        self.ranges.retain(|range| Arc::strong_count(range) == 1);
        let host = self.host.filter(|host| host.is_unregistered_at_the_end() && Arc::strong_count(host) == 1);
        let is_empty = buffers.is_empty() && self.ranges.is_empty() && host.is_none();
        (!is_empty).then_some(Leftover { _ranges: self.ranges, _host: host, _buffers: buffers })
    }

    /// When the device is lost: its driver calls no function of the host any more, but may be in one.
    pub(super) fn shut(&mut self) {
        self.gates.iter().for_each(|gate| gate.shut());
        keep(Self { gates: std::mem::take(&mut self.gates), ..Self::default() });
    }

    /// When nobody can say whether the device is at work on it: nothing is given back, for the life of the process.
    pub(super) fn abandon(self) {
        keep(self);
    }
}

/// Keeps what the driver may still come to.
fn keep(holds: Holds) {
    static KEPT: OnceLock<Mutex<Vec<Holds>>> = OnceLock::new();
    lock(KEPT.get_or_init(Mutex::default)).push(holds);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(device_offset: u64, host_offset: u64, len_bytes: u64) -> Run {
        Run { device_offset, host_offset, len_bytes }
    }

    #[test]
    fn pieces_hold_every_byte_once_and_begin_where_the_device_does() {
        let runs = [run(1_003, 0, 70), run(2_000, 100, 1), run(3_008, 200, 300)];
        let mut pieces = Pieces { runs: &runs, at: 0, capacity: 128 };
        let (mut seen, buffer) = (Vec::new(), 4_096);
        while let Some((parts, moves)) = pieces.next(Direction::DeviceToHost, buffer) {
            for (part, row) in parts.iter().zip(&moves) {
                assert_eq!((row.to, row.bytes), (buffer + part.in_buffer as u64, part.bytes as u64));
                assert_eq!(row.from % WORD_BYTES, row.to % WORD_BYTES);
                assert!(part.in_buffer + part.bytes <= 128);
                seen.extend((0..row.bytes).map(|i| (row.from + i, part.in_host + i)));
            }
        }
        let expected = runs
            .iter()
            .flat_map(|run| (0..run.len_bytes).map(|i| (run.device_offset + i, run.host_offset + i)));
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }
}
