//! The rules of the house that no lint knows: who may use whom, and which doors stay shut.

use std::path::{Path, PathBuf};

/// The folders of `src` and the layer each stands on. A file uses only what stands on its own layer's floor or
/// below; the two faces, and the rooms of one layer, do not know each other.
const LAYERS: [(&str, u8); 16] = [
    ("error", 0),
    ("sync", 0),
    ("clock", 0),
    ("os", 0),
    ("format", 1),
    ("device", 1),
    ("trace", 2),
    ("storage", 2),
    ("replay", 3),
    ("analyze", 3),
    ("convert", 3),
    ("capture", 3),
    ("compare", 3),
    ("ffi", 4),
    ("cli", 4),
    ("lib", 5),
];

/// Where `unsafe` may stand.
const UNSAFE_ROOMS: [&str; 11] = [
    "os/",
    "ffi/",
    "device/cuda/",
    "storage/memory/arena.rs",
    "storage/memory/batch.rs",
    "storage/memory/bytes.rs",
    "storage/l2/plugin/library.rs",
    "trace/bytes.rs",
    "trace/ring/halves.rs",
    "format/native/trusted.rs",
    "cli/options.rs",
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are text");
                files.push((path.strip_prefix(&root).expect("below src").to_owned(), text));
            }
        }
    }
    assert!(files.len() > 20, "the sources were found");
    files
}

fn room(path: &Path) -> String {
    let first = path.iter().next().and_then(|part| part.to_str()).expect("a name");
    first.trim_end_matches(".rs").to_owned()
}

fn layer(room: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == room).map(|(_, layer)| *layer)
}

/// Code without comments; good enough for these rules.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The rooms that a line names after `crate::`, one by one or in braces.
fn rooms_used(line: &str) -> Vec<String> {
    let name =
        |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut rooms = Vec::new();
    for part in line.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(list) => rooms.extend(list.split([',', '{']).map(|item| name(item.trim()))),
            None => rooms.push(name(part)),
        }
    }
    rooms
}

#[test]
fn lists_of_rooms_are_taken_apart() {
    assert_eq!(rooms_used("use crate::{storage::Manager as _, cli};"), ["storage", "cli"]);
    assert_eq!(rooms_used("use crate::error::Error; // crate::os"), ["error", "os"]);
}

#[test]
fn layers_only_look_down() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let own = room(&path);
        if own == "lib" || own == "main" {
            continue;
        }
        let own_layer =
            layer(&own).unwrap_or_else(|| panic!("{own} has no place in the house: add it to LAYERS"));
        for (number, line) in code_lines(&text) {
            for used in rooms_used(line) {
                let Some(used_layer) = layer(&used) else { continue };
                if used != own && (used_layer > own_layer || (used_layer == own_layer && own_layer > 0)) {
                    faults.push(format!("{}:{number}: {own} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Refuses `pattern` in every source but those whose path begins with one of `allowed`.
fn refuse(pattern: &str, allowed: &[&str], faults: &mut Vec<String>) {
    for (path, text) in sources() {
        let name = path.display().to_string();
        if allowed.iter().any(|room| name.starts_with(room)) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            if line.contains(pattern) {
                faults.push(format!("{name}:{number}: {pattern}"));
            }
        }
    }
}

#[test]
fn each_border_has_one_door() {
    let mut faults = Vec::new();
    for library in ["std::sync", "core::sync", "alloc::sync"] {
        refuse(library, &["sync.rs"], &mut faults);
    }
    refuse("libc::", &["os/"], &mut faults);
    refuse("memmap2::", &["os/"], &mut faults);
    refuse("unsafe {", &UNSAFE_ROOMS, &mut faults);
    refuse("unsafe fn", &UNSAFE_ROOMS, &mut faults);
    refuse("unsafe impl", &UNSAFE_ROOMS, &mut faults);
    refuse("println!", &["cli/"], &mut faults);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn rooms_stay_small_enough_to_know_by_heart() {
    let large = sources().into_iter().filter(|(_, text)| text.lines().count() > 600);
    let large: Vec<_> =
        large.map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count())).collect();
    assert!(large.is_empty(), "{}", large.join("\n"));
}
