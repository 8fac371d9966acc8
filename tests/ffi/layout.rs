//! Structs lie in memory in C, in C++ and in Rust alike.

use std::mem::offset_of;
use std::process::Command;

use lmcache::ffi::convert::{
    lmcache_conversion, lmcache_convert_options, lmcache_repair_report, lmcache_verify_report,
};
use lmcache::ffi::device::memory::lmcache_host_device_options;
use lmcache::ffi::device::paged::{lmcache_device_tensor, lmcache_paged_layout_options};
use lmcache::ffi::keys::{lmcache_key_list, lmcache_tensor};
use lmcache::ffi::prefetch_spec::{lmcache_prefetch_row, lmcache_prefetch_spec};
use lmcache::ffi::reader::damage::{lmcache_damage, lmcache_reader_stats};
use lmcache::ffi::reader::header::lmcache_trace_header;
use lmcache::ffi::reader::record::{
    lmcache_record, lmcache_recorded_key, lmcache_recorded_layout, lmcache_recorded_row,
    lmcache_recorded_scope,
};
use lmcache::ffi::recorder::producer::{lmcache_call_id, lmcache_completion};
use lmcache::ffi::recorder::{lmcache_recorder_options, lmcache_recorder_stats};
use lmcache::ffi::replay::options::lmcache_replay_options;
use lmcache::ffi::replay::progress::lmcache_replay_progress;
use lmcache::ffi::replay::results::lmcache_replay_results;
use lmcache::ffi::storage::adapter::lmcache_l2_adapter_table;
use lmcache::ffi::storage::housekeeping::lmcache_storage_usage;
use lmcache::ffi::storage::manager::lmcache_storage_options;
use lmcache::ffi::storage::prefetch::lmcache_prefetch_result;
use lmcache::ffi::storage::reading::lmcache_read_buffer;
use lmcache::ffi::storage::transfers::{lmcache_paged_part, lmcache_transfer_result};
use lmcache::ffi::storage::writing::lmcache_write_buffer;

use crate::compile::root;

/// A line for each struct with its size and alignment, and one for each field with its offset.
macro_rules! layouts {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        concat_lines(&[$(
            format!("{} {} {}", stringify!($name), size_of::<$name>(), align_of::<$name>()),
            $(format!("{}.{} {}", stringify!($name), stringify!($field), offset_of!($name, $field)),)*
        )*])
    };
}

fn concat_lines(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}

fn in_rust() -> Vec<String> {
    layouts! {
        lmcache_tensor { shape, dimensions, dtype }
        lmcache_key_list { hashes, count, hash_bytes, scope, scopes }
        lmcache_prefetch_row { keys, layout, sliding_window_size, object_group_id, reserved }
        lmcache_prefetch_spec {
            rows, row_count, num_kv_readers, fetching_policy, lock_mode, skip_l2, reserved,
        }
        lmcache_recorder_options {
            struct_size, full_policy, path, node, storage_config_json, ring_bytes, max_file_bytes, max_file_age_ns,
            max_total_bytes, sync_interval_ns, poll_interval_ns, starts_disabled, interning, on_stop, on_stop_user_data,
        }
        lmcache_recorder_stats {
            struct_size, reserved, calls, lost, late, completions, lost_completions, file_bytes, files, deleted_files,
            threads,
        }
        lmcache_call_id { number, kind, reserved }
        lmcache_completion {
            struct_size, outcome, requested_keys, hit_keys, duration_ns, data_ready_ns, bytes,
        }
        lmcache_storage_options { struct_size, with_metrics, config_json, metrics_sample_rate, pinned_by }
        lmcache_write_buffer { data, size_bytes, outcome, l1_manager }
        lmcache_read_buffer { data, size_bytes, outcome, l1_manager }
        lmcache_prefetch_result {
            struct_size, row_count, column_count, reserved, requested_cells, hit_cells, l1_hit_cells, l2_hit_cells,
            duration_ns,
        }
        lmcache_host_device_options { struct_size, reserved, memory, memory_bytes }
        lmcache_device_tensor { offset, len_bytes }
        lmcache_paged_layout_options {
            struct_size, format, layers, blocks, block_tokens, heads, head_size, element_bytes, block_stride_elements,
            tensors, tensor_count,
        }
        lmcache_paged_part { layout, block_ids, block_count, object_tokens, skip_prefix_blocks }
        lmcache_transfer_result {
            struct_size, status, key_count, moved_keys, spared_keys, failed_keys, bytes,
        }
        lmcache_storage_usage { struct_size, l2_adapter_count, l1_used_bytes, l1_total_bytes, l2_used_bytes }
        lmcache_l2_adapter_table {
            struct_size, workers, name, user_data, put, get, exists, remove, close, last_error,
        }
    }
}

/// Those of readers and of what is done with traces.
fn of_traces_in_rust() -> Vec<String> {
    layouts! {
        lmcache_convert_options { struct_size, read_mode, form, omits_salts, omits_losses, with_completions }
        lmcache_conversion {
            struct_size, is_incomplete, calls, foreign_calls, host_calls, completions, lost_calls,
            distinct_keys, undecodable_frames, cut_bytes, damaged_chunks, gap_bytes, unknown_records,
            unexpressed_threads, unexpressed_completions, unexpressed_losses, unexpressed_salts, input_bytes,
            output_bytes,
        }
        lmcache_repair_report {
            struct_size, was_closed, chunks, records, calls, lost_calls, holes, missing_bytes, missing_calls,
            output_bytes,
        }
        lmcache_verify_report {
            struct_size, is_closed, findings, file_bytes, chunks, good_chunks, records, calls, completions,
            lost_calls, late_records, threads,
        }
        lmcache_damage { struct_size, kind, offset, bytes, calls, reason }
        lmcache_reader_stats {
            struct_size, reserved, records, calls, losses, lost_calls, damaged_chunks, damaged_calls,
            gap_bytes, undecodable_frames, cut_ends, unknown,
        }
        lmcache_trace_header {
            struct_size, format, ending, is_compact, level, node, host, process, writer, storage_config_json,
            storage_config_digest, t_wall_start_s, t_mono_start_s, wall_start_ns, mono_start_ns, recording_id,
            file_number, process_id, file_bytes, calls, lost_calls, completions, keys, first_ns, last_ns,
        }
        lmcache_recorded_scope {
            model_name, model_name_length, cache_salt, cache_salt_length, kv_rank, object_group_id, reserved,
        }
        lmcache_recorded_layout { tensors, tensor_count, size_bytes }
        lmcache_recorded_key { hash, hash_bytes, scope }
        lmcache_recorded_row { keys, key_count, layout, sliding_window_size, object_group_id, reserved }
        lmcache_record {
            struct_size, kind, number, offset, t_ns, t_mono_s, t_wall_s, thread, sequence, is_late,
            write_mode, keys, key_count, layout, read_locks, rows, row_count, num_kv_readers, fetching_policy,
            lock_mode, skip_l2, call_kind, name, name_length, request_id, request_id_length, bytes,
            byte_count, call_thread, call_sequence, completion, lost_calls, lost_from_ns, lost_until_ns,
            lost_first_sequence, lost_reason,
        }
        lmcache_replay_options {
            struct_size, read_mode, paths, path_count, pace, order, pace_value, workers, low_cpu, from_s,
            to_s, loops, tenants, alignment, compat, config_json, l1_size_bytes, eviction_policy, l2_adapters,
            l2_adapter_count, l2_namespace, reserved, progress_interval_ns, on_progress,
            on_progress_user_data,
        }
        lmcache_replay_progress {
            struct_size, is_over, records, total_records, failed, skipped, elapsed_ns, expected_ns,
            max_lag_ns, answered_chunks, served_chunks, l1_hit_keys, l2_hit_keys, evicted_keys, l1_used_bytes,
            l1_total_bytes, l2_used_bytes,
        }
        lmcache_replay_results {
            struct_size, is_cancelled, records_replayed, records_failed, records_skipped, records_left_out,
            duration_ns, lag_p50_ns, lag_p99_ns, lag_p999_ns, lag_max_ns, late_calls, requested_chunks,
            served_chunks, requested_keys, hit_keys, l1_hit_keys, l2_hit_keys, unresolved_prefetches,
            evicted_keys, locked_at_end, reads_found_nothing, keys_reserved, keys_not_writable,
            keys_out_of_memory, l2_lost_keys, unsettled_calls, missing_calls, is_trace_complete, reserved,
        }
    }
}

/// The structs of the header with their fields.
fn declared() -> Vec<(String, Vec<String>)> {
    let header = std::fs::read_to_string(root().join("include/lmcache.h")).expect("the header");
    let (mut structs, mut fields) = (Vec::new(), None::<Vec<String>>);
    for line in header.lines().map(str::trim) {
        if line.starts_with("typedef struct ") && line.ends_with('{') {
            fields = Some(Vec::new());
        } else if let Some(name) = line.strip_prefix("} ").and_then(|line| line.strip_suffix(';')) {
            structs.extend(fields.take().map(|fields| (name.to_owned(), fields)));
        } else if let (Some(fields), Some(field), false) =
            (&mut fields, line.strip_suffix(';'), line.starts_with('*'))
        {
            let name = field.split('[').next().unwrap_or(field);
            let name = name.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
            fields.push(name.expect("a field has a name").to_owned());
        }
    }
    structs
}

/// What a compiler says of them.
fn said_by(compiler: &str, align: &str, suffix: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, program) = (folder.path().join(format!("layout.{suffix}")), folder.path().join("layout"));
    let mut text =
        "#include <lmcache.h>\n#include <stdio.h>\n#include <stddef.h>\nint main(void) {\n".to_owned();
    for (name, fields) in declared() {
        text += &format!("printf(\"{name} %zu %zu\\n\", sizeof({name}), (size_t){align}({name}));\n");
        for field in fields {
            text += &format!("printf(\"{name}.{field} %zu\\n\", offsetof({name}, {field}));\n");
        }
    }
    std::fs::write(&source, text + "return 0; }\n").expect("a file");
    let mut command = Command::new(compiler);
    command.arg("-I").arg(root().join("include")).arg(&source).arg("-o").arg(&program);
    let output = command.output().expect("a compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&program).output().expect("it runs");
    let lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    concat_lines(&lines)
}

#[test]
fn structs_lie_alike_in_c_in_cpp_and_in_rust() {
    let in_rust = concat_lines(&[in_rust(), of_traces_in_rust()].concat());
    assert!(in_rust.len() > 50);
    assert_eq!(said_by("cc", "_Alignof", "c"), in_rust);
    assert_eq!(said_by("c++", "alignof", "cc"), in_rust);
}
