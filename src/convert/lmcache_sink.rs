//! Writes an LMCache file.

use std::io::Write;

use super::Conversion;
use super::facts::{Clocks, header_frame};
use super::report::NotExpressed;
use super::sink::{Loss, Sink};
use crate::error::{Error, Result};
use crate::format::lct::{Arg, SaltPolicy, encode_args, encode_call, encode_record};
use crate::format::model::view::{CallView, RowView};
use crate::format::model::{KeyView, Op};
use crate::format::native::kind::{Outcome, RecordKind};
use crate::format::native::pod::{CompletionBody, NOT_KNOWN};
use crate::format::native::schema::FileFacts;
use crate::format::native::{NewFile, Stamp};

/// The name of a record that stands for calls that are not in the file. LMCache's replay skips names it does not know.
pub const LOSS_QUALNAME: &str = "lmcache_trace.loss";

/// The name of a record that says what became of a call.
pub const COMPLETION_QUALNAME: &str = "lmcache_trace.completion";

/// What is written beside the calls.
#[derive(Clone, Copy, Debug)]
pub struct ExportOptions {
    /// What to do about the tenants of keys, which LMCache's recorder leaves out.
    pub salts: SaltPolicy,
    /// Writes a record for each loss.
    pub with_losses: bool,
    /// Writes a record for each completion.
    pub with_completions: bool,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { salts: SaltPolicy::Written, with_losses: true, with_completions: false }
    }
}

/// Writes frames.
#[derive(Debug)]
pub(super) struct LmcacheSink<W> {
    out: W,
    clocks: Clocks,
    options: ExportOptions,
    qualnames: [String; Op::COUNT],
    frame: Vec<u8>,
    written_bytes: u64,
    not_expressed: NotExpressed,
}

impl<W: Write> LmcacheSink<W> {
    /// Writes the header.
    pub(super) fn create(out: W, new: &NewFile, facts: &FileFacts, options: ExportOptions) -> Result<Self> {
        let mut sink = Self {
            out,
            clocks: Clocks::of(new),
            options,
            qualnames: Op::ALL.map(Op::qualname),
            frame: header_frame(new, facts)?,
            written_bytes: 0,
            not_expressed: NotExpressed::default(),
        };
        sink.write_frame()?;
        Ok(sink)
    }

    /// Writes what is still buffered, and adds what was written to the report.
    pub(super) fn finish(mut self, report: &mut Conversion) -> Result<()> {
        self.out.flush().map_err(not_written)?;
        report.bytes_out = self.written_bytes;
        report.not_expressed = self.not_expressed;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written_bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(not_written)
    }

    fn write_frame(&mut self) -> Result<()> {
        self.written_bytes += self.frame.len() as u64;
        self.out.write_all(&self.frame).map_err(not_written)
    }

    /// Writes a record that LMCache does not have.
    fn write_extra(&mut self, stamp: &Stamp, qualname: &str, args: &[(&str, Arg<'_>)]) -> Result<()> {
        self.frame.clear();
        let (t_mono_s, t_wall_s) = (self.clocks.t_mono_of(stamp), self.clocks.t_wall_s(stamp));
        encode_record(t_mono_s, t_wall_s, qualname, |out| encode_args(args, out), &mut self.frame)?;
        self.write_frame()
    }

    fn note_thread(&mut self, stamp: &Stamp) {
        self.not_expressed.threads += u64::from(stamp.thread != 0);
    }

    fn count_salts<'a, K, R>(&mut self, call: &CallView<'a, K, R>)
    where
        K: Iterator<Item = KeyView<'a>> + Clone,
        R: Iterator<Item = RowView<'a, K>> + Clone,
    {
        let salted = |keys: K| keys.filter(|key| !key.cache_salt.is_empty()).count() as u64;
        self.not_expressed.salts += match call {
            CallView::ReserveWrite { keys, .. }
            | CallView::FinishWrite { keys }
            | CallView::ReadEnter { keys }
            | CallView::ReadExit { keys }
            | CallView::FinishRead { keys, .. } => salted(keys.clone()),
            CallView::SubmitPrefetch { rows, .. } => rows.clone().map(|row| salted(row.keys)).sum(),
        };
    }
}

impl<W: Write> Sink for LmcacheSink<W> {
    fn call<'a, K, R>(&mut self, stamp: &Stamp, call: CallView<'a, K, R>) -> Result<()>
    where
        K: ExactSizeIterator<Item = KeyView<'a>> + Clone,
        R: ExactSizeIterator<Item = RowView<'a, K>> + Clone,
    {
        self.note_thread(stamp);
        if self.options.salts == SaltPolicy::Omitted {
            self.count_salts(&call);
        }
        self.frame.clear();
        let qualname = &self.qualnames[op_of(&call) as usize];
        let (t_mono_s, t_wall_s) = (self.clocks.t_mono_of(stamp), self.clocks.t_wall_s(stamp));
        let args = |out: &mut Vec<u8>| encode_call(call, self.options.salts, out);
        encode_record(t_mono_s, t_wall_s, qualname, args, &mut self.frame)?;
        self.write_frame()
    }

    fn host_call(&mut self, stamp: &Stamp, name: &str, bytes: &[u8]) -> Result<()> {
        self.note_thread(stamp);
        self.write_extra(stamp, name, &[("bytes", Arg::Bytes(bytes))])
    }

    fn foreign_call(&mut self, stamp: &Stamp, _qualname: &str, frame: &[u8]) -> Result<()> {
        self.foreign_bytes(stamp.t_ns, false, frame)
    }

    fn foreign_bytes(&mut self, _t_ns: u64, is_cut: bool, bytes: &[u8]) -> Result<()> {
        if !is_cut {
            let body_bytes = u32::try_from(bytes.len()).map_err(|_| {
                Error::invalid("a record is too long for a trace frame").with_context("bytes", bytes.len())
            })?;
            self.write(&body_bytes.to_be_bytes())?;
        }
        self.write(bytes)
    }

    fn completion(&mut self, stamp: &Stamp, body: &CompletionBody) -> Result<()> {
        if !self.options.with_completions {
            self.not_expressed.completions += 1;
            return Ok(());
        }
        let op = match RecordKind::from_number(body.op) {
            Some(RecordKind::Call(op)) => Arg::Text(op.method()),
            _ => Arg::Nil,
        };
        let data_ready_ns = match body.data_ready_ns {
            NOT_KNOWN => Arg::Nil,
            known_ns => Arg::Count(known_ns),
        };
        let outcome =
            Outcome::from_number(body.outcome).map_or(Arg::Nil, |outcome| Arg::Text(outcome.name()));
        let args = [
            ("thread", Arg::Count(u64::from(body.call_thread))),
            ("sequence", Arg::Count(u64::from(body.call_sequence))),
            ("op", op),
            ("outcome", outcome),
            ("duration_ns", Arg::Count(body.duration_ns)),
            ("data_ready_ns", data_ready_ns),
            ("bytes", Arg::Count(body.bytes)),
            ("hit_keys", Arg::Count(u64::from(body.hit_keys))),
            ("requested_keys", Arg::Count(u64::from(body.requested_keys))),
        ];
        self.write_extra(stamp, COMPLETION_QUALNAME, &args)
    }

    fn loss(&mut self, stamp: &Stamp, loss: &Loss) -> Result<()> {
        if !self.options.with_losses {
            self.not_expressed.losses += 1;
            return Ok(());
        }
        let args = [
            ("count", Arg::Count(loss.count)),
            ("first_sequence", Arg::Count(u64::from(stamp.sequence))),
            ("thread", Arg::Count(u64::from(stamp.thread))),
            ("reason", Arg::Text(loss.reason.name())),
            ("from", Arg::Number(self.clocks.t_mono_s(loss.when_ns.start))),
            ("until", Arg::Number(self.clocks.t_mono_s(loss.when_ns.end))),
        ];
        self.write_extra(stamp, LOSS_QUALNAME, &args)
    }
}

fn op_of<K, R>(call: &CallView<'_, K, R>) -> Op {
    match call {
        CallView::ReserveWrite { .. } => Op::ReserveWrite,
        CallView::FinishWrite { .. } => Op::FinishWrite,
        CallView::ReadEnter { .. } => Op::ReadEnter,
        CallView::ReadExit { .. } => Op::ReadExit,
        CallView::FinishRead { .. } => Op::FinishRead,
        CallView::SubmitPrefetch { .. } => Op::SubmitPrefetch,
    }
}

fn not_written(error: std::io::Error) -> Error {
    Error::io("cannot write trace file", error)
}
