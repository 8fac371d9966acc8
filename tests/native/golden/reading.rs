//! Everything that stands in a file, as text that does not depend on the names of our types.

use std::fmt::Write;

use lmcache::format::native::schema::{LayoutFacts, ScopeFacts};
use lmcache::format::native::{Body, CallView, Chunk, FileIndex, KeyList, RecordView};
use lmcache::trace::native::NativeTrace;
use lmcache::trace::recover::verify;

pub(super) fn text(trace: &NativeTrace) -> String {
    let mut text = header(trace);
    let keys = trace.key_table().expect("a good key table");
    for place in trace.chunks() {
        let chunk = trace.open_chunk(place, keys.as_ref()).expect("a good chunk");
        text += &chunk_line(&chunk);
        chunk.records().for_each(|record| text += &record_line(&record));
    }
    text += &trace.index().map_or_else(|| "no index\n".to_owned(), index);
    for finding in verify(trace).findings() {
        text += &format!("found {} {:?}\n", finding.kind(), finding.offset());
    }
    text
}

fn header(trace: &NativeTrace) -> String {
    let (fixed, facts) = (trace.header().fixed(), trace.header().facts());
    format!(
        "version {} features {:x} stride {} start {} {} {:x} {:x} recording {:x} file {}\n\
         host {} process {} pid {} node {} writer {} level {}\n\
         config {} {} meta {} header {:?}\nmetadata {:?}\n",
        fixed.format_version,
        fixed.required_features,
        fixed.chunk_bytes,
        fixed.mono_start_ns,
        fixed.wall_start_ns,
        fixed.t_mono_start_bits,
        fixed.t_wall_start_bits,
        fixed.recording_id,
        fixed.file_number,
        facts.host,
        facts.process,
        facts.pid,
        facts.node,
        facts.writer,
        facts.level,
        facts.sm_config_json,
        facts.sm_config_digest,
        facts.level_meta_json,
        facts.lct_header,
        facts.metadata,
    )
}

fn chunk_line(chunk: &Chunk<'_>) -> String {
    let (header, slot) = (chunk.header(), chunk.slot());
    let mut text = format!(
        "chunk {} kind {} offset {} before {} {} length {}\n\
         slot state {} bytes {} records {} calls {} time {} {} lost {} clock {} {} crc {:08x}\n",
        header.number,
        header.kind,
        header.offset,
        header.calls_before,
        header.lost_before,
        header.chunk_bytes,
        slot.state,
        slot.committed_bytes,
        slot.records,
        slot.calls,
        slot.first_ns,
        slot.last_ns,
        slot.lost,
        slot.mono_ns,
        slot.wall_ns,
        slot.data_crc,
    );
    for (number, facts) in chunk.threads() {
        text += &format!("thread {number} {} {}\n", facts.os_thread_id, facts.name);
    }
    for scope in (0..).map_while(|number| chunk.scope(number)) {
        text += &format!("scope {}\n", scope_text(scope));
    }
    for layout in (0..).map_while(|number| chunk.layout(number)) {
        text += &format!("layout {} {}\n", layout_text(&layout.facts), layout.layout.is_some());
    }
    for name in (0..).map_while(|number| chunk.name(number)) {
        text += &format!("name {name}\n");
    }
    text
}

fn scope_text(scope: &ScopeFacts) -> String {
    let ScopeFacts { model_name, kv_rank, object_group_id, cache_salt } = scope;
    format!("{model_name} {kv_rank:x} {object_group_id} {cache_salt}")
}

fn layout_text(layout: &LayoutFacts) -> String {
    layout.groups.iter().map(|tensor| format!("{}{:?}", tensor.dtype, tensor.shape)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record_line(record: &RecordView<'_>) -> String {
    let prefix = record.prefix();
    let mut line = format!(
        "{} kind {} flags {} aux {} t {} thread {} sequence {} length {}",
        record.offset(),
        prefix.kind,
        prefix.flags,
        prefix.aux,
        prefix.t_ns,
        prefix.thread,
        prefix.sequence,
        prefix.length_bytes
    );
    line += &match record.body() {
        Body::Call(call) => call_text(&call),
        Body::Completion(body) => format!(
            " of {} {} took {} ready {} bytes {} keys {} of {} op {} outcome {}",
            body.call_thread,
            body.call_sequence,
            body.duration_ns,
            body.data_ready_ns,
            body.bytes,
            body.hit_keys,
            body.requested_keys,
            body.op,
            body.outcome
        ),
        Body::HostCall { name, bytes } => format!(" host {name} {}", hex(bytes)),
        Body::ForeignCall { qualname, frame } => format!(" foreign {qualname} {}", hex(frame)),
        Body::ForeignBytes { is_cut, bytes } => format!(" cut {is_cut} {}", hex(bytes)),
        Body::Loss(loss) => {
            format!(
                " lost {} from {} within {} to {}",
                loss.count, loss.first_sequence, loss.from_ns, loss.until_ns
            )
        }
        Body::KeySection { head, hashes, scope } => {
            format!(" keys {} from {} in {} {}", head.count, head.first_id, scope_text(scope), hex(hashes))
        }
        Body::Other => String::new(),
    };
    line + "\n"
}

fn call_text(call: &CallView<'_>) -> String {
    let mut text =
        format!(" {} wall {:?} locks {}", call.op().short_name(), call.wall_ns(), call.read_locks());
    if let Some(layout) = call.layout() {
        text += &format!(" layout {}", layout_text(&layout.facts));
    }
    text += &keys_text(call.keys());
    if let Some(prefetch) = call.prefetch() {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            " request {} readers {} {:?} {:?} {}",
            prefetch.external_request_id(),
            prefetch.num_kv_readers(),
            prefetch.fetching_policy(),
            prefetch.lock_mode(),
            prefetch.skip_l2()
        );
        for row in prefetch.rows() {
            let _ = write!(text, "\n  row {} {}", row.object_group_id, row.sliding_window_size);
            text += &format!(" {}{}", layout_text(&row.layout.facts), keys_text(row.keys));
        }
    }
    text
}

fn keys_text(keys: KeyList<'_>) -> String {
    let key = |key: lmcache::format::model::KeyView<'_>| {
        let (hash, rank) = (hex(key.chunk_hash), key.kv_rank);
        format!("\n  key {hash} {} {rank:x} {} {}", key.model_name, key.object_group_id, key.cache_salt)
    };
    keys.iter().map(key).collect()
}

fn index(index: &FileIndex) -> String {
    let mut text = format!(
        "index calls {} records {} keys {} lost {} late {} completions {} time {} {} ops {:?} distinct {:?}\n",
        index.calls,
        index.records,
        index.keys,
        index.lost,
        index.late,
        index.completions,
        index.first_ns,
        index.last_ns,
        index.ops,
        index.distinct_keys
    );
    for (name, calls) in &index.names {
        text += &format!("index name {name} {calls}\n");
    }
    for scope in &index.scopes {
        text += &format!("index scope {} {}\n", scope_text(&scope.scope), scope.keys);
    }
    for thread in &index.threads {
        let name = &thread.facts.name;
        text +=
            &format!("index thread {} {name} calls {} lost {}\n", thread.number, thread.calls, thread.lost);
    }
    for chunk in &index.chunks {
        text += &format!(
            "index chunk {} time {} {} before {} length {} bytes {} calls {} kind {} lost {}\n",
            chunk.offset,
            chunk.first_ns,
            chunk.last_ns,
            chunk.calls_before,
            chunk.chunk_bytes,
            chunk.committed_bytes,
            chunk.calls,
            chunk.kind,
            chunk.lost
        );
    }
    text
}
