//! Loading a model takes the memory of its weights, of one tensor of its file, and no second copy of them.

use std::collections::BTreeMap;

use graft_engine::memory::{Counting, heap, reset_peak};
use graft_engine::models;
use graft_engine::weights::{Tensor, load, write_tensors};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WIDTH: usize = 256;
const BLOCKS: usize = 4;

/// Names and shapes of a `ViT` in Hugging Face's layout: 4 pixels of patch, one patch, no head.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = vec![
        ("embeddings.cls_token".to_owned(), vec![1, 1, WIDTH]),
        ("embeddings.position_embeddings".to_owned(), vec![1, 2, WIDTH]),
        ("embeddings.patch_embeddings.projection.weight".to_owned(), vec![WIDTH, 3, 4, 4]),
        ("embeddings.patch_embeddings.projection.bias".to_owned(), vec![WIDTH]),
        ("layernorm.weight".to_owned(), vec![WIDTH]),
        ("layernorm.bias".to_owned(), vec![WIDTH]),
    ];
    for block in 0..BLOCKS {
        let mut linear = |name: &str, out: usize, features: usize| {
            shapes.push((format!("encoder.layer.{block}.{name}.weight"), vec![out, features]));
            shapes.push((format!("encoder.layer.{block}.{name}.bias"), vec![out]));
        };
        for name in ["query", "key", "value"] {
            linear(&format!("attention.attention.{name}"), WIDTH, WIDTH);
        }
        linear("attention.output.dense", WIDTH, WIDTH);
        linear("intermediate.dense", 4 * WIDTH, WIDTH);
        linear("output.dense", WIDTH, 4 * WIDTH);
        for name in ["layernorm_before", "layernorm_after"] {
            for part in ["weight", "bias"] {
                shapes.push((format!("encoder.layer.{block}.{name}.{part}"), vec![WIDTH]));
            }
        }
    }
    shapes
}

#[test]
fn loading_holds_no_second_copy_of_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let config = serde_json::json!({
        "model_type": "vit", "hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": 4,
        "intermediate_size": 4 * WIDTH, "image_size": 4, "patch_size": 4,
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let tensors: BTreeMap<String, Tensor> = shapes()
        .into_iter()
        .map(|(name, shape)| {
            let data = vec![0.5; shape.iter().product()];
            (name, Tensor { shape, data })
        })
        .collect();
    let total: usize = tensors.values().map(|tensor| 4 * tensor.data.len()).sum();
    let largest: usize = tensors.values().map(|tensor| 4 * tensor.data.len()).max().unwrap();
    write_tensors(&tensors, &folder.path().join("model.safetensors")).unwrap();
    drop(tensors);

    let device = graft_engine::device::open("flex").unwrap();
    let resolved = models::open(folder.path()).unwrap();
    let graph = resolved.architecture.build("model").unwrap();
    let before = heap().live_bytes;
    reset_peak();
    let (params, report) = load(&graph, resolved.weights.as_ref(), 0, &device).unwrap();
    let peak = usize::try_from(heap().peak_bytes - before).unwrap();
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
    assert_eq!(params.bytes(), total);
    // The piece that is read at once is 1 MiB; names and headers are small.
    let most = total + largest + (2 << 20);
    assert!(most < 2 * total, "the sizes above show nothing");
    assert!((total..most).contains(&peak), "{peak} bytes at the peak, {total} of weights, at most {most}");
}
