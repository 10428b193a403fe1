//! The walls of `ARCHITECTURE.md`: imports point one way, and what only the tests know is named by them alone.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::path::{Path, PathBuf};

use graft_tests::repository;

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_room_imports_only_rooms_above_it() {
    let source = repository("engine/src");
    let page = std::fs::read_to_string(source.join("lib.rs")).unwrap();
    let rooms: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(rooms.len() > 10, "{rooms:?}");
    let map = std::fs::read_to_string(repository("ARCHITECTURE.md")).unwrap();
    let mut wrong = Vec::new();
    for (place, room) in rooms.iter().enumerate() {
        assert!(map.contains(&format!("| `{room}`")), "{room} is not on the map");
        let folder = source.join(room);
        let mut files = if folder.is_dir() { rust_files(&folder) } else { Vec::new() };
        files.push(source.join(format!("{room}.rs")));
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            // Unit tests may look further than what they test.
            let code = text.split("#[cfg(test)]").next().unwrap();
            for below in &rooms[place + 1..] {
                if code.contains(&format!("crate::{below}::")) || code.contains(&format!("crate::{below};")) {
                    wrong.push(format!("{} uses {below}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_proving_graph_is_named_by_tests_alone() {
    for folder in ["engine/src", "app/src"] {
        for file in rust_files(&repository(folder)) {
            let text = std::fs::read_to_string(&file).unwrap().to_lowercase();
            assert!(!text.contains("proving"), "{}", file.display());
        }
    }
}

#[test]
fn the_engine_knows_no_window() {
    for file in rust_files(&repository("engine/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("egui"), "{}", file.display());
    }
}
