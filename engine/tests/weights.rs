//! Model folders and adapters that are cut short, wrong or hostile: each ends at once in one paragraph that names the
//! file and what in it is wrong. Driven through the binary.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// No file is worth waiting for longer than this before it is refused. Far above what it takes, and far below what
/// believing a header would.
const SOON: Duration = Duration::from_secs(20);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// A copy of a fixture folder.
fn copy_of(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_graft"))
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .env_remove("RUST_BACKTRACE")
        .env("GRAFT_CALIBRATE", "off")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a command that must fail, and asks for parts of what it says.
fn refused(arguments: &[&str], parts: &[&str]) {
    let start = Instant::now();
    let output = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(start.elapsed() < SOON, "{:?}: {message}", start.elapsed());
    assert!(message.starts_with("graft: ") && !message.contains("panicked"), "{message}");
    assert!(!message.contains("internal error"), "{message}");
    assert!(message.lines().count() <= 3 && message.len() < 1000, "one paragraph: {message}");
    assert!(output.stdout.is_empty(), "nothing but results goes to stdout");
    for part in parts {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

fn inspect_refuses(folder: &Path, parts: &[&str]) {
    refused(&["inspect", &folder.to_string_lossy()], parts);
}

fn forward_refuses(folder: &Path, more: &[&str], parts: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let (model, input) = (folder.to_string_lossy(), fixture("vit_tiny/io.safetensors"));
    let output = out.path().join("out.safetensors");
    let (input, output) = (input.to_string_lossy(), output.to_string_lossy());
    let own = ["forward", "--model", &*model, "--input", &*input, "--output", &*output];
    refused(&[&own[..], more].concat(), parts);
}

/// A safetensors file's header and values.
fn parts_of(path: &Path) -> (Value, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let size = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    (serde_json::from_slice(&bytes[8..8 + size]).unwrap(), bytes[8 + size..].to_vec())
}

fn write(path: &Path, header: &str, data: &[u8]) {
    let size = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&size[..], header.as_bytes(), data].concat()).unwrap();
}

/// A small model whose `model.safetensors` was changed.
fn changed(edit: impl FnOnce(&mut Value, &mut Vec<u8>)) -> tempfile::TempDir {
    let folder = copy_of("vit_tiny");
    let path = folder.path().join("model.safetensors");
    let (mut header, mut data) = parts_of(&path);
    edit(&mut header, &mut data);
    write(&path, &header.to_string(), &data);
    folder
}

/// A small model whose `config.json` was changed.
fn configured(edit: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = copy_of("vit_tiny");
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    folder
}

const NORM: &str = "vit.encoder.layer.1.layernorm_after.weight";
const FILE: &str = "model.safetensors";

/// The bytes of a tensor within the values.
fn range(header: &Value, name: &str) -> std::ops::Range<usize> {
    let at = |place: usize| usize::try_from(header[name]["data_offsets"][place].as_u64().unwrap()).unwrap();
    at(0)..at(1)
}

#[test]
fn files_cut_short_are_told() {
    let bytes = std::fs::read(fixture("vit_tiny/model.safetensors")).unwrap();
    let folder = copy_of("vit_tiny");
    let path = folder.path().join(FILE);
    for (length, part) in
        [(0, "ends before its header"), (5, "ends before its header"), (100, "its header should have")]
    {
        std::fs::write(&path, &bytes[..length]).unwrap();
        inspect_refuses(folder.path(), &[FILE, part]);
    }
    std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    inspect_refuses(folder.path(), &[FILE, "tensor `", "cut short"]);
    std::fs::write(&path, [&bytes[..], &[0; 12]].concat()).unwrap();
    inspect_refuses(folder.path(), &[FILE, "12 bytes that belong to no tensor"]);
    std::fs::remove_file(&path).unwrap();
    inspect_refuses(folder.path(), &[FILE, "pytorch_model.bin"]);
}

#[test]
fn headers_that_claim_too_much_are_told_before_anything_is_allocated() {
    let folder = copy_of("vit_tiny");
    let path = folder.path().join(FILE);
    for size in [u64::MAX, 1 << 40, 99_000_000] {
        std::fs::write(&path, [&size.to_le_bytes()[..], b"{}"].concat()).unwrap();
        inspect_refuses(folder.path(), &[FILE, "its header should have"]);
    }
    for header in ["[]", "{\"a\":", "null", "{\"a\": 3}", &"[".repeat(100_000)] {
        write(&path, header, &[]);
        inspect_refuses(folder.path(), &[FILE]);
    }
    write(&path, r#"{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}"#, &[0; 4]);
    inspect_refuses(folder.path(), &[FILE, "`a`", "-1"]);
    let twice = r#"{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}"#;
    write(&path, &format!(r#"{{"a": {twice}, "a": {twice}}}"#), &[0; 4]);
    inspect_refuses(folder.path(), &[FILE, "`a`", "twice"]);

    let shape = |shape: Value, parts: &[&str]| {
        let folder = changed(|header, _| header[NORM]["shape"] = shape);
        inspect_refuses(folder.path(), &[&[FILE, NORM], parts].concat());
    };
    shape(json!([1_u64 << 32, 1_u64 << 32]), &["no memory holds"]);
    shape(json!([u64::MAX]), &["no memory holds"]);
    shape(json!([1_u64 << 40]), &["has 96 bytes", "4398046511104"]);
    shape(json!([25]), &["has 96 bytes", "are 100"]);
    shape(json!([]), &["has 96 bytes", "are 4"]);
}

#[test]
fn byte_ranges_that_are_not_a_tensor_s_own_are_told() {
    let offsets = |edit: fn(u64, u64) -> Value, parts: &[&str]| {
        let folder = changed(|header, _| {
            let own = range(header, NORM);
            header[NORM]["data_offsets"] = edit(own.start as u64, own.end as u64);
        });
        inspect_refuses(folder.path(), &[&[FILE, "tensor `"], parts].concat());
    };
    offsets(|start, end| json!([start - 96, end - 96]), &["shares bytes with `"]);
    offsets(|start, end| json!([start + 96, end + 96]), &["`"]);
    offsets(|start, _| json!([start, u64::MAX]), &[NORM, "cut short"]);
    offsets(|start, end| json!([end, start]), &[NORM]);
    offsets(|start, end| json!([start + (1 << 50), end + (1 << 50)]), &[NORM, "cut short"]);
    offsets(|start, end| json!([-1 - start.cast_signed(), end]), &[NORM, "header entry"]);

    // Bytes before the first tensor.
    let folder = changed(|header, data| {
        for (_, entry) in
            header.as_object_mut().unwrap().iter_mut().filter(|(name, _)| *name != "__metadata__")
        {
            for place in 0..2 {
                entry["data_offsets"][place] = json!(entry["data_offsets"][place].as_u64().unwrap() + 4);
            }
        }
        data.splice(0..0, [0; 4]);
    });
    inspect_refuses(folder.path(), &[FILE, "tensor `", "after 4 bytes that belong to no tensor"]);
}

#[test]
fn values_that_are_no_numbers_are_counted() {
    let folder = changed(|header, data| {
        let start = range(header, NORM).start;
        data[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        data[start + 8..start + 12].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
        let start = range(header, "classifier.bias").start;
        data[start..start + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    forward_refuses(folder.path(), &[], &[NORM, "in 2 of its 24 values; so does 1 other tensor", FILE]);
    let path = folder.path().to_string_lossy().into_owned();
    let told = String::from_utf8(run(&["inspect", &path, "--values"]).stdout).unwrap();
    assert!(told.contains("with values that are not finite: 2"), "{told}");
    assert!(told.contains(&format!("`{NORM}`: 1 NaN, 1 infinite of 24")), "{told}");
    assert!(!String::from_utf8(run(&["inspect", &path]).stdout).unwrap().contains("not finite"));
    let all: Value = serde_json::from_slice(&run(&["inspect", &path, "--values", "--json"]).stdout).unwrap();
    let scans = all["values"].as_array().unwrap();
    let unsound = scans.iter().filter(|scan| scan["nan"] != 0 || scan["infinite"] != 0);
    assert_eq!((unsound.count(), scans.len() > 20), (2, true));
    let folder = changed(|header, data| {
        let start = range(header, NORM).start;
        data[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        data[start + 8..start + 12].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    });
    forward_refuses(folder.path(), &[], &[NORM, "in 2 of its 24 values", FILE]);
    let project = project_on(folder.path());
    train_refuses(project.path(), &[NORM, "in 2 of its 24 values", FILE]);
}

/// Training a project is refused before a run folder is made.
fn train_refuses(project: &Path, parts: &[&str]) {
    let runs = project.join("runs");
    refused(&["train", &project.join("p.ron").to_string_lossy(), "--runs", &runs.to_string_lossy()], parts);
    assert!(!runs.exists(), "nothing begins that cannot work");
}

/// A project that trains a head on a folder's model.
fn project_on(model: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/digits");
    let [model, digits] = [model, &*digits].map(|path| path.to_string_lossy().replace('\\', "/"));
    let text = format!(
        r#"(
            version: 2, name: "p", model: Folder({model:?}),
            data: Digits(folder: {digits:?}, channels: 3, size: 30, validation: 100),
            stages: [Train(name: "one", train: ["model.head"], epochs: 1, batch: 100)],
        )"#
    );
    std::fs::write(folder.path().join("p.ron"), text).unwrap();
    folder
}

#[test]
fn a_base_that_the_file_lacks_is_not_drawn_in_silence() {
    let folder = changed(|header, _| {
        let entry = header.as_object_mut().unwrap().remove(NORM).unwrap();
        header["vit.encoder.layer.1.layernorm_after.weigth"] = entry;
    });
    let parts = ["1 of the model's tensors", NORM, "weigth", &*folder.path().to_string_lossy()];
    forward_refuses(folder.path(), &[], &parts);
    let project = project_on(folder.path());
    train_refuses(project.path(), &parts);

    // A head for other classes is new, and no error.
    let folder = copy_of("vit_tiny");
    let project = project_on(folder.path());
    let runs = project.path().join("runs");
    let output =
        run(&["train", &project.path().join("p.ron").to_string_lossy(), "--runs", &runs.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn dtypes_that_are_no_weights_are_told() {
    for (dtype, part) in [("I32", "I32"), ("U32", "U32"), ("F33", "unknown dtype")] {
        let folder = changed(|header, _| header[NORM]["dtype"] = json!(dtype));
        forward_refuses(folder.path(), &[], &[FILE, NORM, part]);
    }
    let folder = changed(|header, _| header[NORM]["dtype"] = json!("F16"));
    inspect_refuses(folder.path(), &[FILE, NORM, "has 96 bytes", "are 48"]);
}

#[test]
fn shards_and_their_index_must_agree() {
    let name = "model.safetensors.index.json";
    let with = |edit: &dyn Fn(&Path, &mut Value), parts: &[&str]| {
        let folder = copy_of("vit_sharded");
        let path = folder.path().join(name);
        let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        edit(folder.path(), &mut index);
        std::fs::write(&path, index.to_string()).unwrap();
        inspect_refuses(folder.path(), parts);
    };
    let first = "model-00001-of-00003.safetensors";
    let tensor = "embeddings.cls_token";
    for elsewhere in
        [format!("../{first}"), format!("/tmp/{first}"), format!("a/{first}"), "..".to_owned(), String::new()]
    {
        let set = |_: &Path, index: &mut Value| index["weight_map"][tensor] = json!(elsewhere);
        with(&set, &[name, tensor, "no plain file name"]);
    }
    with(&|_, index| index["weight_map"][tensor] = json!(7), &[name, tensor, "no file name"]);
    with(&|folder, _| std::fs::remove_file(folder.join(first)).unwrap(), &[first]);
    with(
        &|folder, _| {
            std::fs::remove_file(folder.join(first)).unwrap();
            std::fs::create_dir(folder.join(first)).unwrap();
        },
        &[first, "no file"],
    );
    with(
        &|_, index| index["weight_map"]["embeddings.lost"] = json!(first),
        &[name, "embeddings.lost", first],
    );
    let second = "model-00002-of-00003.safetensors";
    with(&|_, index| index["weight_map"][tensor] = json!(second), &[name, tensor, second]);
    with(
        &|folder, index| {
            std::fs::copy(folder.join(first), folder.join("again.safetensors")).unwrap();
            index["weight_map"]["other"] = json!("again.safetensors");
        },
        &[first, "again.safetensors", "as well"],
    );
    with(&|_, index| *index = json!({"weight_map": {}}), &[name, "empty"]);
    with(&|_, index| *index = json!([1]), &[name]);
    with(&|_, index| *index = json!({"metadata": {}}), &[name, "weight_map"]);
}

/// A plain name may be a link to wherever a download cache keeps the file.
#[cfg(unix)]
#[test]
fn shards_may_be_links() {
    let folder = copy_of("vit_sharded");
    let first = folder.path().join("model-00001-of-00003.safetensors");
    std::fs::remove_file(&first).unwrap();
    std::os::unix::fs::symlink(fixture("vit_sharded/model-00001-of-00003.safetensors"), &first).unwrap();
    let output = run(&["inspect", &folder.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn pytorch_files_that_are_none_are_told() {
    let name = "pytorch_model-00001-of-00002.bin";
    let bytes = std::fs::read(fixture("vit_pytorch").join(name)).unwrap();
    let folder = copy_of("vit_pytorch");
    let path = folder.path().join(name);
    let cut = [&bytes[..bytes.len() / 2], &[], b"no pickle", &[0x80, 2, b'(', b'(', b'(']];
    for content in cut {
        std::fs::write(&path, content).unwrap();
        inspect_refuses(folder.path(), &[name]);
    }
    // A flipped byte in the values is found by the archive's checksum.
    let mut flipped = bytes.clone();
    let place = flipped.len() / 2;
    flipped[place] ^= 0xff;
    std::fs::write(&path, &flipped).unwrap();
    forward_refuses(folder.path(), &[], &[name, "tensor `"]);
    std::fs::remove_file(&path).unwrap();
    inspect_refuses(folder.path(), &[name]);
    // Weights of another kind beside a config.
    std::fs::copy(fixture("pytorch_code/pytorch_model.bin"), folder.path().join("pytorch_model.bin"))
        .unwrap();
    inspect_refuses(folder.path(), &["none of the model's", "embeddings.cls_token"]);
    assert!(!std::env::temp_dir().join("code_was_run").exists());
}

#[test]
fn configs_that_no_model_can_follow_are_told() {
    let with = |edit: fn(&mut Value), parts: &[&str]| {
        inspect_refuses(configured(edit).path(), &[&["config.json"], parts].concat());
    };
    with(|c| *c = json!([1, 2]), &["should be an object", "[1,2]"]);
    with(|c| *c = json!("vit"), &["should be an object"]);
    with(|c| c["model_type"] = json!(3), &["`model_type`", "3"]);
    with(|c| drop(c.as_object_mut().unwrap().remove("model_type")), &["lacks `model_type`"]);
    with(|c| c["model_type"] = json!("vitt"), &["`vitt`", "known are", "dinov2", "the nearest is `vit`"]);
    with(|c| c["hidden_act"] = json!("swish"), &["`hidden_act`", "swish", "known: gelu, gelu_new"]);
    with(|c| c["hidden_act"] = json!(5), &["`hidden_act`", "5"]);
    with(|c| c["quantization_config"] = json!({"bits": 4}), &["quantization_config", "bits", "floats"]);
    with(|c| c["hidden_size"] = json!(1_000_000_000_000_u64), &["`hidden_size`", "1000000000000"]);
    with(|c| c["hidden_size"] = json!(0), &["`hidden_size`", "from 1"]);
    with(|c| c["hidden_size"] = json!(-24), &["`hidden_size`", "-24"]);
    with(|c| c["hidden_size"] = json!("24".repeat(1000)), &["`hidden_size`", "…"]);
    with(|c| c["num_hidden_layers"] = json!(1_000_000_000), &["`num_hidden_layers`", "1000000000"]);
    with(|c| c["patch_size"] = json!(0), &["`patch_size`"]);
    with(|c| c["patch_size"] = json!([6, 6, 6]), &["`patch_size`"]);
    with(|c| c["image_size"] = json!(1_u64 << 62), &["`image_size`"]);
    with(|c| c["num_channels"] = json!(u64::MAX), &["`num_channels`"]);
    with(|c| c["layer_norm_eps"] = json!(-1.0), &["`layer_norm_eps`", "-1"]);
    // What only some types read is looked at in those only.
    for (field, value) in [
        ("position_embedding_type", json!("relative_key")),
        ("is_decoder", json!(true)),
        ("add_cross_attention", json!(true)),
    ] {
        let edited = |name: &str| {
            let folder = copy_of(name);
            let path = folder.path().join("config.json");
            let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            config[field] = value.clone();
            std::fs::write(&path, config.to_string()).unwrap();
            folder
        };
        inspect_refuses(edited("bert_tiny").path(), &["config.json", field, "known"]);
        let vit = edited("vit_tiny");
        let opened = graft_engine::models::open(vit.path());
        assert!(opened.is_ok(), "{field}: {opened:?}");
    }
    let folder = copy_of("vit_tiny");
    std::fs::write(folder.path().join("config.json"), "{").unwrap();
    inspect_refuses(folder.path(), &["config.json", "is not JSON"]);
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    inspect_refuses(folder.path(), &["config.json"]);

    inspect_refuses(configured(|c| c["num_attention_heads"] = json!(5)).path(), &["5 heads", "width 24"]);
    // What is allowed by itself is out of proportion to the file.
    let wide = |c: &mut Value| {
        for (name, value) in
            [("hidden_size", 1 << 20), ("num_attention_heads", 1), ("num_hidden_layers", 1000)]
        {
            c[name] = json!(value);
        }
    };
    let parts = ["far larger than its checkpoint", "1048576"];
    inspect_refuses(configured(wide).path(), &parts);
    forward_refuses(configured(wide).path(), &[], &parts);
    let fine = |c: &mut Value| (c["image_size"], c["patch_size"]) = (json!(65_536), json!(1));
    inspect_refuses(configured(fine).path(), &["far larger than its checkpoint", "4294967297"]);
}

/// The checks above hold also where there is little memory: nothing near the claimed sizes is asked for.
#[cfg(target_os = "linux")]
#[test]
fn absurd_claims_are_refused_within_two_gigabytes() {
    let folder = changed(|header, _| header[NORM]["shape"] = json!([1_u64 << 40]));
    let header = copy_of("vit_tiny");
    std::fs::write(header.path().join(FILE), [&(1_u64 << 40).to_le_bytes()[..], b"{}"].concat()).unwrap();
    let config = configured(|c| {
        c["hidden_size"] = json!(1 << 20);
        c["intermediate_size"] = json!(1 << 20);
    });
    for folder in [folder, header, config] {
        let output = Command::new("sh")
            .args(["-c", "ulimit -v 2097152 && exec \"$0\" inspect \"$1\"", env!("CARGO_BIN_EXE_graft")])
            .arg(folder.path())
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
    }
}

/// Where the adapters below stand.
const PLACE: &str = "model.blocks.0.attention.query";

/// A folder as `export --format graft` writes it: LoRA of rank 2 on one weight of `vit_tiny`.
fn adapter(description: &str, tensors: &[(&str, &[usize])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("adapter.ron"), description).unwrap();
    let (mut header, mut end) = (json!({}), 0);
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        header[format!("{PLACE}.adapter_0.{name}")] =
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
    }
    write(&folder.path().join("adapter.safetensors"), &header.to_string(), &vec![0; end]);
    folder
}

#[test]
fn adapters_are_checked_like_models() {
    let model = fixture("vit_tiny");
    let lora = format!("(version: 1, placements: [(0, (at: {PLACE:?}, kind: Lora((rank: 2))))])");
    let whole: [(&str, &[usize]); 2] = [("A.weight", &[2, 24]), ("B.weight", &[24, 2])];
    let refuses = |folder: &tempfile::TempDir, parts: &[&str]| {
        forward_refuses(&model, &["--adapter", &folder.path().to_string_lossy()], parts);
    };
    let name = |folder: &tempfile::TempDir| folder.path().to_string_lossy().into_owned();

    let sound = adapter(&lora, &whole);
    let out = sound.path().join("out.safetensors");
    let output = run(&[
        "forward",
        "--model",
        &model.to_string_lossy(),
        "--adapter",
        &name(&sound),
        "--input",
        &model.join("io.safetensors").to_string_lossy(),
        "--output",
        &out.to_string_lossy(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    let half = adapter(&lora, &whole[..1]);
    refuses(&half, &["adapter_0.B.weight", &name(&half)]);
    let wide = adapter(&lora, &[whole[0], ("B.weight", &[25, 2])]);
    refuses(&wide, &["adapter_0.B.weight", "[25, 2]", "[24, 2]", &name(&wide)]);
    let other = adapter(&lora, &[whole[0], whole[1], ("C.weight", &[1])]);
    refuses(&other, &["adapter_0.C.weight", "another", &name(&other)]);

    let path = sound.path().join("adapter.safetensors");
    let (header, mut data) = parts_of(&path);
    let header = header.to_string();
    write(&path, &header, &data[..data.len() - 4]);
    refuses(&sound, &["adapter.safetensors", "cut short"]);
    data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    write(&path, &header, &data);
    refuses(&sound, &["adapter.safetensors", "NaN", "in 1 of its 48 values"]);
    write(&path, &header.replace("F32", "I32"), &data);
    refuses(&sound, &["adapter.safetensors", "adapter_0.", "I32"]);
    std::fs::remove_file(&path).unwrap();
    refuses(&sound, &["adapter.safetensors"]);

    let described = |text: &str, parts: &[&str]| refuses(&adapter(text, &whole), parts);
    let ron = "adapter.ron";
    described(&lora.replace("version: 1", "version: 9"), &[ron, "version 9"]);
    described(&lora.replace("placements", "place"), &[ron, "place"]);
    described(&lora.replace("(0, (at", "(18446744073709551615, (at"), &[ron, "18446744073709551615"]);
    let twice = format!("(0, (at: {PLACE:?}, kind: Lora((rank: 2))))");
    described(&format!("(version: 1, placements: [{twice}, {twice}])"), &[ron, "placement 0", "twice"]);
    described(&"(".repeat(100_000), &[ron]);
    for at in ["../../etc/passwd", "/etc/passwd", "model.blocks.0.attention.quarry", ""] {
        described(&lora.replace(PLACE, at), &[at]);
    }
    for rank in ["0", "1000000000000", "18446744073709551615"] {
        described(&lora.replace("rank: 2", &format!("rank: {rank}")), &[]);
    }
}

#[test]
fn inspect_says_what_loading_would_do() {
    let folder = changed(|header, data| {
        let entry = header.as_object_mut().unwrap().remove(NORM).unwrap();
        header["vit.encoder.layer.1.layernorm_after.weigth"] = entry;
        for number in 0..30 {
            let end = data.len();
            header[format!("extra.{number:02}")] =
                json!({"dtype": "I64", "shape": [1], "data_offsets": [end, end + 8]});
            data.extend([0; 8]);
        }
    });
    let path = folder.path().to_string_lossy().into_owned();
    let output = run(&["inspect", &path]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "not in the file, would begin fresh: 1\n",
        NORM,
        "used by nothing: 31\n",
        "`extra.19`",
        "and 11 more",
    ] {
        assert!(text.contains(part), "{text} lacks {part:?}");
    }
    assert!(!text.contains("`extra.20`"), "{text}");
    let json: Value = serde_json::from_slice(&run(&["inspect", &path, "--json"]).stdout).unwrap();
    let weights = &json["weights"];
    assert_eq!((&weights["unused"]["count"], &weights["missing"]["count"]), (&json!(31), &json!(1)));
    assert_eq!(weights["unused"]["first"].as_array().unwrap().len(), 20);
    assert_eq!(weights["missing"]["first"][0]["wanted"], NORM);
    assert_eq!(weights["missing"]["first"][0]["near"], "vit.encoder.layer.1.layernorm_after.weigth");

    let json: Value =
        serde_json::from_slice(&run(&["inspect", &fixture("vit_tiny").to_string_lossy(), "--json"]).stdout)
            .unwrap();
    assert_eq!(
        (&json["weights"]["unused"]["count"], &json["weights"]["missing"]["count"]),
        (&json!(0), &json!(0))
    );
}
