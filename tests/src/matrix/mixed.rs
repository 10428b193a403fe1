//! A model with what the transformers lack: convolutions, plain and in groups, a fused weight with named slices, a port
//! whose tokens are not known to stand in a grid, a bridge that no tokens cross.

use graft_engine::graph::{
    Binding, Builder, Extent, Graph, Init, LinearSpec, NodeId, Port, RegionKind, RowRange, SiteKind,
};
use graft_engine::models::{Architecture, ModelError};
use graft_engine::ops::{Add, Attention, Conv2d, GridToTokens, MeanTokens, Relu, Slice};

const WIDTH: usize = 16;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Mixed;

fn spec<'a>(kernel: &'a [usize], features_out: usize, stored: &'a str) -> LinearSpec<'a> {
    LinearSpec { kernel, features_out, init: Init::XavierUniform, bias: Some(Init::Zeros), stored }
}

impl Mixed {
    fn pictures(b: &mut Builder, pixels: NodeId) -> NodeId {
        b.region("pictures", "Pictures", RegionKind::Transformer, |b| {
            let plain = Conv2d { stride: [2, 1], padding: [1, 0], groups: 1 };
            let grouped = Conv2d { stride: [1, 1], padding: [1, 1], groups: WIDTH };
            let x = b.conv2d("conv", pixels, plain, &spec(&[2, 3, 2], WIDTH, "conv"));
            let x = b.op("active", Relu, &[x]);
            b.conv2d("depthwise", x, grouped, &spec(&[1, 3, 3], WIDTH, "depthwise"))
        })
    }

    fn block(b: &mut Builder, x: NodeId) -> NodeId {
        b.region("block", "Block", RegionKind::Block, |b| {
            let fused = b.linear("qkv", x, &spec(&[WIDTH], 3 * WIDTH, "qkv"));
            let mut parts = Vec::new();
            for (number, name) in ["query", "key", "value"].into_iter().enumerate() {
                let rows = RowRange { start: number * WIDTH, length: WIDTH };
                b.slice_site(fused, name, rows);
                let slice = Slice { axis_from_end: 1, start: rows.start, length: WIDTH };
                parts.push(b.op(&format!("take_{name}"), slice, &[fused]));
            }
            let mixed = b.op("heads", Attention { heads: 2, scale: None }, &parts);
            let out =
                b.linear("output", mixed, &LinearSpec { bias: None, ..spec(&[WIDTH], WIDTH, "output") });
            b.port(Port::P1, out, WIDTH);
            let h = b.op("add", Add, &[x, out]);
            b.port(Port::P2, h, WIDTH);
            h
        })
    }
}

impl Architecture for Mixed {
    fn title(&self) -> String {
        "Mixed".to_owned()
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        let mut b = Builder::new(name, "Mixed");
        let extents =
            vec![Extent::named("batch"), Extent::Fixed(2), Extent::named("height"), Extent::named("width")];
        let pixels = b.input("pixel_values", extents);
        let picture = Self::pictures(&mut b, pixels);
        let tokens = b.op("tokens", GridToTokens, &[picture]);
        let states = Self::block(&mut b, tokens);
        let mean = b.op("mean", MeanTokens { skip: 0 }, &[states]);
        let between = SiteKind::Bridge { from: b.path("block"), to: b.path("head"), tokens: None };
        b.site("bridge", between, mean, WIDTH);
        let logits = b.region("head", "Head", RegionKind::Head, |b| {
            b.linear("logits", mean, &spec(&[WIDTH], 3, "head"))
        });
        b.output("logits", logits);
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("height", 7).with("width", 5)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}
