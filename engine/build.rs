//! Tells the engine what it was built from: times that another build measured and values that another build computed are
//! not used.

use std::path::Path;

/// Folders and files whose change may change what an op takes.
const OPS: [&str; 3] = ["src/tensor", "src/ops", "../Cargo.lock"];
/// The same, of what a walk over samples computes.
const VALUES: [&str; 2] = ["src/data", "src/exec"];

fn main() {
    let profile = std::env::var("OPT_LEVEL").unwrap_or_default();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for (name, places) in [("GRAFT_OPS_BUILD", &OPS[..]), ("GRAFT_VALUES_BUILD", &VALUES[..])] {
        for place in places {
            println!("cargo:rerun-if-changed={place}");
            add(Path::new(place), &mut hash);
        }
        println!("cargo:rustc-env={name}={hash:016x}-{profile}");
    }
}

/// FNV-1a over the contents, folders in order of their names.
fn add(path: &Path, hash: &mut u64) {
    if let Ok(entries) = std::fs::read_dir(path) {
        let mut inner: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        inner.sort();
        for path in inner {
            add(&path, hash);
        }
    } else if let Ok(bytes) = std::fs::read(path) {
        for byte in bytes {
            *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
