//! The line of each record of a native file, whoever reads the file.

use super::line::{self, CallHead, KeyRange, push, write_jsonl, write_request, write_text_head, write_times};
use super::{DumpArgs, DumpFormat};
use crate::cli::output::Sink;
use crate::cli::text::{microseconds, short};
use crate::error::Result;
use crate::format::lct::{WireKey, WireRecord, json};
use crate::format::model::Op;
use crate::format::model::key::Hex;
use crate::format::native::json::write_args;
use crate::format::native::pod::{CompletionBody, LossBody, NOT_KNOWN};
use crate::format::native::{Body, CallView, Header, KeyList, LossReason, Outcome, RecordKind, RecordView};
use crate::trace::Record;

/// How far a foreign call's own time can lie from that of its record: its seconds are rounded, the record's are not.
pub(super) const TIME_SLACK_S: f64 = 1e-6;

/// How many bytes of a host call a readable line shows.
const SHOWN_HOST_BYTES: usize = 32;

/// What `--op` calls what became of a call.
const COMPLETION: &str = "completion";

/// What `--op` calls calls that are not in the file.
const LOSS: &str = "loss";

/// Prints the records that the arguments ask for, and counts what has no line.
pub(super) struct Printer<'a> {
    pub(super) args: &'a DumpArgs,
    pub(super) header: Header,
    names: [String; Op::COUNT],
    line: Vec<u8>,
    pub(super) printed: u64,
    /// Frames of an imported file that were no records, and records whose frames are none.
    pub(super) undecodable: u64,
    pub(super) is_cut_import: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(args: &'a DumpArgs, header: Header) -> Self {
        Self {
            args,
            header,
            names: Op::ALL.map(Op::qualname),
            line: Vec::new(),
            printed: 0,
            undecodable: 0,
            is_cut_import: false,
        }
    }
}

impl Printer<'_> {
    /// Whether nothing more is to be printed: all that was asked for is, or nobody reads it.
    pub(super) fn is_done(&self, sink: &Sink) -> bool {
        self.args.first.is_some_and(|first| self.printed >= first) || sink.is_abandoned()
    }

    /// Counts what has no line.
    pub(super) fn note(&mut self, record: &RecordView<'_>) {
        match record.body() {
            Body::ForeignBytes { is_cut: true, .. } => self.is_cut_import = true,
            Body::ForeignBytes { is_cut: false, .. } => self.undecodable += 1,
            Body::ForeignCall { frame, .. } if WireRecord::decode(frame).is_err() => self.undecodable += 1,
            _ => {}
        }
    }

    /// Prints the record if it is wanted; `seq` is its number if it is a call.
    pub(super) fn print(&mut self, record: &RecordView<'_>, seq: u64, sink: &mut Sink) -> Result<()> {
        self.line.clear();
        let is_printed = match record.body() {
            Body::Call(call) => self.call(&call, seq),
            Body::ForeignCall { qualname, frame } => self.foreign_call(record, qualname, frame, seq),
            Body::HostCall { name, bytes } => self.host_call(record, name, bytes, seq),
            Body::Completion(completion) => self.completion(record, &completion),
            Body::Loss(loss) => self.loss(record, &loss),
            Body::ForeignBytes { .. } | Body::KeySection { .. } | Body::Other => false,
        };
        if is_printed {
            self.line.push(b'\n');
            sink.write(&self.line)?;
            self.printed += 1;
        }
        Ok(())
    }

    fn is_wanted(&self, t_mono_s: f64, name: &str) -> bool {
        self.args.is_wanted_time(t_mono_s) && self.args.is_wanted_op(name)
    }

    fn call(&mut self, call: &CallView<'_>, seq: u64) -> bool {
        let (t_ns, header) = (call.record().prefix().t_ns, &self.header);
        let qualname = &self.names[call.op() as usize];
        let (t_mono_s, t_wall_s) = (call.t_mono_s(header), header.t_wall_s(t_ns, call.wall_ns()));
        if !self.is_wanted(t_mono_s, qualname) {
            return false;
        }
        let head = CallHead { seq, t_mono_s, t_wall_s, qualname };
        match self.args.format {
            DumpFormat::Jsonl => write_jsonl(&head, &mut self.line, |line| write_args(call, line)),
            DumpFormat::Text => write_call_text(&head, call, &mut self.line),
        }
        true
    }

    /// A record of an imported file: its frame has its times, and goes the way of all frames.
    fn foreign_call(&mut self, record: &RecordView<'_>, qualname: &str, frame: &[u8], seq: u64) -> bool {
        let Ok(wire) = WireRecord::decode(frame) else {
            return self.plain_call(
                record,
                qualname,
                seq,
                |line| line.extend_from_slice(b"null"),
                "unreadable",
            );
        };
        let WireRecord { t_mono_s, t_wall_s, qualname, args } = wire;
        if !self.is_wanted(t_mono_s, qualname) {
            return false;
        }
        let record = Record { seq, offset: record.offset(), t_mono_s, t_wall_s, qualname, args };
        line::write_record(self.args.format, &record, &mut self.line);
        // The caller ends lines.
        self.line.pop();
        true
    }

    fn host_call(&mut self, record: &RecordView<'_>, name: &str, bytes: &[u8], seq: u64) -> bool {
        let text = std::str::from_utf8(bytes).ok();
        let shown = match text {
            Some(text) => short(text).into_owned(),
            None => format!("{}", Hex(&bytes[..bytes.len().min(SHOWN_HOST_BYTES)])),
        };
        let write_bytes = |line: &mut Vec<u8>| match text {
            Some(text) => {
                line.extend_from_slice(b"{\"text\":");
                json::write_str(text, line);
                line.push(b'}');
            }
            None => push(line, format_args!("{{\"hex\":\"{}\"}}", Hex(bytes))),
        };
        self.plain_call(record, name, seq, write_bytes, &format!("{:>5} bytes  {shown}", bytes.len()))
    }

    /// A call that is no storage call: `text` is what a readable line says of it.
    fn plain_call(
        &mut self,
        record: &RecordView<'_>,
        qualname: &str,
        seq: u64,
        write_args: impl FnOnce(&mut Vec<u8>),
        text: &str,
    ) -> bool {
        let (t_mono_s, t_wall_s) = times(&self.header, record);
        if !self.is_wanted(t_mono_s, qualname) {
            return false;
        }
        let head = CallHead { seq, t_mono_s, t_wall_s, qualname };
        match self.args.format {
            DumpFormat::Jsonl => write_jsonl(&head, &mut self.line, write_args),
            DumpFormat::Text => {
                write_text_head(&head, &mut self.line);
                push(&mut self.line, format_args!("  {text}"));
            }
        }
        true
    }

    fn completion(&mut self, record: &RecordView<'_>, body: &CompletionBody) -> bool {
        let (t_mono_s, t_wall_s) = times(&self.header, record);
        if !self.is_wanted(t_mono_s, COMPLETION) {
            return false;
        }
        let line = &mut self.line;
        match self.args.format {
            DumpFormat::Jsonl => {
                line.extend_from_slice(b"{\"completion\":{");
                write_times(t_mono_s, t_wall_s, line);
                write_completion(body, line);
            }
            DumpFormat::Text => {
                write_event_head(t_mono_s, COMPLETION, line);
                write_completion_text(body, line);
            }
        }
        true
    }

    fn loss(&mut self, record: &RecordView<'_>, body: &LossBody) -> bool {
        let header = &self.header;
        let (t_mono_s, t_wall_s) = times(header, record);
        if !self.is_wanted(t_mono_s, LOSS) {
            return false;
        }
        let (prefix, line) = (record.prefix(), &mut self.line);
        let (from_s, until_s) = (header.t_mono_s(body.from_ns), header.t_mono_s(body.until_ns));
        let reason =
            LossReason::from_number(prefix.aux).map_or("a reason that is not known", LossReason::name);
        let mut threads = record.chunk().threads();
        let name = threads.find(|(number, _)| *number == prefix.thread).map_or("", |(_, facts)| &facts.name);
        match self.args.format {
            DumpFormat::Jsonl => {
                line.extend_from_slice(b"{\"loss\":{");
                write_times(t_mono_s, t_wall_s, line);
                push(line, format_args!(",\"thread\":{},\"thread_name\":", prefix.thread));
                json::write_str(name, line);
                push(
                    line,
                    format_args!(",\"count\":{},\"first_sequence\":{}", body.count, body.first_sequence),
                );
                line.extend_from_slice(b",\"from_t_mono\":");
                json::write_f64(from_s, line);
                line.extend_from_slice(b",\"until_t_mono\":");
                json::write_f64(until_s, line);
                push(line, format_args!(",\"reason\":\"{reason}\"}}}}"));
            }
            DumpFormat::Text => {
                write_event_head(t_mono_s, "LOST", line);
                let (thread, first, count) = (prefix.thread, body.first_sequence, body.count);
                push(line, format_args!("  {count:>5} calls of thread {thread} {}", short(name)));
                push(
                    line,
                    format_args!(" from its call {first} on, {from_s:.6}s to {until_s:.6}s: {reason}"),
                );
            }
        }
        true
    }
}

/// The times of a record that has no wall time of its own.
fn times(header: &Header, record: &RecordView<'_>) -> (f64, f64) {
    let t_ns = record.prefix().t_ns;
    (header.t_mono_s(t_ns), header.t_wall_s(t_ns, None))
}

fn write_call_text(head: &CallHead<'_>, call: &CallView<'_>, line: &mut Vec<u8>) {
    fn add<'k>(range: &mut KeyRange<'k>, keys: KeyList<'k>) {
        let wire = |view| WireKey { view, salt_recorded: true, hash_is_hex: false };
        keys.iter().for_each(|view| range.add(wire(view)));
    }
    write_text_head(head, line);
    let (mut range, prefetch) = (KeyRange::default(), call.prefetch());
    add(&mut range, call.keys());
    if let Some(prefetch) = &prefetch {
        prefetch.rows().for_each(|row| add(&mut range, row.keys));
    }
    range.write(line);
    if let Some(prefetch) = prefetch {
        write_request(prefetch.external_request_id(), line);
    }
}

/// Appends time and name of what is no call, in the columns of calls.
fn write_event_head(t_mono_s: f64, name: &str, line: &mut Vec<u8>) {
    push(line, format_args!("{:>8}  {t_mono_s:>14.6}s  {name:<29}", "-"));
}

fn op_name(number: u8) -> Option<&'static str> {
    match RecordKind::from_number(number) {
        Some(RecordKind::Call(op)) => Some(op.short_name()),
        _ => None,
    }
}

fn outcome_name(number: u8) -> &'static str {
    Outcome::from_number(number).map_or("unknown", Outcome::name)
}

fn write_completion(body: &CompletionBody, line: &mut Vec<u8>) {
    push(line, format_args!(",\"thread\":{},\"sequence\":{}", body.call_thread, body.call_sequence));
    line.extend_from_slice(b",\"op\":");
    match op_name(body.op) {
        Some(name) => json::write_str(name, line),
        None => line.extend_from_slice(b"null"),
    }
    push(line, format_args!(",\"outcome\":\"{}\"", outcome_name(body.outcome)));
    push(line, format_args!(",\"duration_ns\":{},\"data_ready_ns\":", body.duration_ns));
    match body.data_ready_ns {
        NOT_KNOWN => line.extend_from_slice(b"null"),
        known_ns => push(line, format_args!("{known_ns}")),
    }
    push(line, format_args!(",\"bytes\":{},\"hit_keys\":{}", body.bytes, body.hit_keys));
    push(line, format_args!(",\"requested_keys\":{}}}}}", body.requested_keys));
}

fn write_completion_text(body: &CompletionBody, line: &mut Vec<u8>) {
    let (op, outcome) = (op_name(body.op).unwrap_or("a call"), outcome_name(body.outcome));
    let duration = microseconds(body.duration_ns as f64 / 1e3);
    push(line, format_args!("  {:>5} of {} keys", body.hit_keys, body.requested_keys));
    push(line, format_args!("  {op} of thread {}, its call {}: ", body.call_thread, body.call_sequence));
    push(line, format_args!("{outcome} after {duration}, {} bytes", body.bytes));
    if body.data_ready_ns != NOT_KNOWN {
        push(line, format_args!(", data after {}", microseconds(body.data_ready_ns as f64 / 1e3)));
    }
}
