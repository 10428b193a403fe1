//! BERT (Devlin et al., 2019) in Hugging Face's layout: a text encoder of post-norm blocks.
//!
//! A column that the data do not have is not in the graph either: without `attention_mask` nothing is padding, without
//! `token_type_ids` all tokens are of type 0. Dropout of attention's probabilities (`attention_probs_dropout_prob`) is
//! not applied.

use serde_json::{Value, json};

use super::config::{Config, labels_json};
use super::open::Stored;
use super::text::{FeedForward, IDS, MASK, boxed, check_dropout, check_heads, column};
use super::trunk::head;
use super::{Architecture, ModelError};
use crate::graph::{Binding, Builder, Graph, Grid, Init, LinearSpec, NodeId, Port, RegionKind, Tokens};
use crate::ops::{
    Add, Attention, Dropout, DroppedAttention, Embedding, LeadingRows, PaddingBias, SelectToken, Slice, Tanh,
};

/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "bert";
/// The column that tells sentences of a pair apart.
const TYPES: &str = "token_type_ids";
/// How the weights of linear layers and tables begin.
const BEGINS: Init = Init::Normal { std: 0.02 };
/// Tokens that stand for the whole sequence.
const PREFIX: usize = 1;

/// A text encoder with all its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Bert {
    /// Words that the tokeniser knows.
    pub words: usize,
    /// Positions that the table has.
    pub positions: usize,
    /// Types of tokens.
    pub types: usize,
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward part.
    pub mlp: usize,
    /// Its activation.
    pub activation: FeedForward,
    /// Layer norm's epsilon.
    pub epsilon: f64,
    /// Dropout behind the embeddings, each sub-layer and before the classifier; in training mode only.
    pub dropout: f64,
    /// Dropout of attention probabilities; in training mode only.
    pub attention_dropout: f64,
    /// Tokens of a sample.
    pub tokens: usize,
    /// Whether the data have `attention_mask`.
    pub masked: bool,
    /// Whether the data have `token_type_ids`.
    pub typed: bool,
    /// Prefix of stored names: `bert.` or nothing.
    pub prefix: String,
    /// Whether there is a pooler; with a head there is.
    pub pooler: bool,
    /// Class names, if there is a head.
    pub classes: Vec<String>,
    /// The config as found, written back with what changed.
    pub source: Value,
}

/// Reads a folder.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    let has = |name: &str| stored.has(name);
    let mut model = Bert::from_config(stored.config, &has).map_err(|why| stored.wrong(why))?;
    (model.masked, model.typed) = (stored.reads(MASK), stored.reads(TYPES));
    if let Some(data) = stored.data {
        model.classes.clone_from(&data.classes);
        model.tokens = data.tokens()?;
    }
    Ok(boxed(model))
}

impl Bert {
    /// Reads a `config.json`; `has` says whether the file holds a tensor. All columns are taken to be there.
    pub(super) fn from_config(config: &Value, has: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let c = Config(config);
        match c.text("position_embedding_type") {
            None | Some("absolute") => {}
            Some(other) => return Err(format!("position embeddings of type `{other}` are not known")),
        }
        if c.bool_or("is_decoder", false)? {
            return Err("a BERT that is a decoder is not known".to_owned());
        }
        let width = c.usize("hidden_size")?;
        let positions = c.usize("max_position_embeddings")?;
        let head = has("classifier.weight");
        let prefixed = has(&format!("{MODEL_TYPE}.embeddings.word_embeddings.weight"));
        let prefix = if prefixed { format!("{MODEL_TYPE}.") } else { String::new() };
        Ok(Self {
            words: c.usize("vocab_size")?,
            positions,
            types: c.usize_or("type_vocab_size", 2)?,
            width,
            blocks: c.usize("num_hidden_layers")?,
            heads: c.usize("num_attention_heads")?,
            mlp: c.usize_or("intermediate_size", 4 * width)?,
            activation: FeedForward::named(c.text("hidden_act").unwrap_or("gelu"))?,
            epsilon: c.f64_or("layer_norm_eps", 1e-12)?,
            dropout: c.f64_or("hidden_dropout_prob", 0.1)?,
            attention_dropout: c.f64_or("attention_probs_dropout_prob", 0.1)?,
            tokens: positions,
            masked: true,
            typed: true,
            pooler: has(&format!("{prefix}pooler.dense.weight")),
            prefix,
            classes: if head { c.labels() } else { Vec::new() },
            source: config.clone(),
        })
    }

    fn check(&self) -> Result<(), ModelError> {
        check_heads(self.heads, self.width)?;
        check_dropout("attention_probs_dropout_prob", self.attention_dropout)?;
        check_dropout("hidden_dropout_prob", self.dropout)
    }

    fn dropped(&self, b: &mut Builder, name: &str, x: NodeId) -> NodeId {
        if self.dropout > 0.0 { b.op(name, Dropout { probability: self.dropout }, &[x]) } else { x }
    }

    fn attention(&self, b: &mut Builder, inputs: &[NodeId]) -> NodeId {
        let attention = Attention { heads: self.heads, scale: None };
        let probability = self.attention_dropout;
        if probability > 0.0 {
            b.op("heads", DroppedAttention { attention, probability }, inputs)
        } else {
            b.op("heads", attention, inputs)
        }
    }

    fn linear(&self, b: &mut Builder, name: &str, x: NodeId, sizes: [usize; 2], stored: &str) -> NodeId {
        let stored = &format!("{}{stored}", self.prefix);
        let spec = LinearSpec {
            kernel: &[sizes[0]],
            features_out: sizes[1],
            init: BEGINS,
            bias: Some(Init::Zeros),
            stored,
        };
        b.linear(name, x, &spec)
    }

    /// Words, positions and types, `[batch, tokens, width]`.
    fn embeddings(&self, b: &mut Builder, ids: NodeId, types: Option<NodeId>) -> NodeId {
        let width = self.width;
        b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
            let table = |b: &mut Builder, name: &str, rows: usize, stored: &str| {
                let stored = format!("{}embeddings.{stored}.weight", self.prefix);
                b.param(name, &[rows, width], BEGINS, &stored)
            };
            let word_table = table(b, "word_table", self.words, "word_embeddings");
            let position_table = table(b, "position_table", self.positions, "position_embeddings");
            let type_table = table(b, "type_table", self.types, "token_type_embeddings");
            let words = b.op("words", Embedding, &[word_table, ids]);
            let of_type = match types {
                Some(types) => b.op("types", Embedding, &[type_table, types]),
                None => b.op("types", Slice { axis_from_end: 2, start: 0, length: 1 }, &[type_table]),
            };
            let sum = b.op("add_types", Add, &[words, of_type]);
            let positions = b.op("positions", LeadingRows, &[position_table, ids]);
            let sum = b.op("add_positions", Add, &[sum, positions]);
            let stored = format!("{}embeddings.LayerNorm", self.prefix);
            let normed = b.layer_norm("norm", sum, width, self.epsilon, &stored);
            self.dropped(b, "dropout", normed)
        })
    }

    /// One block: `h = norm(x + attention(x))`, `y = norm(h + mlp(h))`. What a sub-layer computes from is its input
    /// itself, so `P0` and `attention.normed` stand at one value, as do `P2` and `P3`.
    fn block(&self, b: &mut Builder, index: usize, x: NodeId, padding: Option<NodeId>) -> NodeId {
        let width = self.width;
        let stored = format!("encoder.layer.{index}");
        b.region(&index.to_string(), &format!("Block {}", index + 1), RegionKind::Block, |b| {
            b.port(Port::P0, x, width);
            b.port(Port::NORMED, x, width);
            let (attended, h) = b.region("attention", "Attention", RegionKind::Attention, |b| {
                let projection = |b: &mut Builder, name: &str| {
                    self.linear(b, name, x, [width; 2], &format!("{stored}.attention.self.{name}"))
                };
                let mut inputs = ["query", "key", "value"].map(|name| projection(b, name)).to_vec();
                inputs.extend(padding);
                let mixed = self.attention(b, &inputs);
                let file = format!("{stored}.attention.output.dense");
                let out = self.linear(b, "output", mixed, [width; 2], &file);
                let out = self.dropped(b, "dropout", out);
                let sum = b.op("add", Add, &[x, out]);
                let file = format!("{}{stored}.attention.output.LayerNorm", self.prefix);
                (out, b.layer_norm("norm", sum, width, self.epsilon, &file))
            });
            b.port(Port::P1, attended, width);
            b.port(Port::P2, h, width);
            b.port(Port::P3, h, width);
            let (fed, y) = b.region("mlp", "MLP", RegionKind::FeedForward, |b| {
                let file = format!("{stored}.intermediate.dense");
                let wide = self.linear(b, "fc1", h, [width, self.mlp], &file);
                let active = self.activation.op(b, "activation", wide);
                let out = self.linear(b, "fc2", active, [self.mlp, width], &format!("{stored}.output.dense"));
                let out = self.dropped(b, "dropout", out);
                let sum = b.op("add", Add, &[h, out]);
                let file = format!("{}{stored}.output.LayerNorm", self.prefix);
                (out, b.layer_norm("norm", sum, width, self.epsilon, &file))
            });
            b.port(Port::P4, fed, width);
            b.port(Port::P5, y, width);
            b.sequence(x, y, PREFIX, width);
            y
        })
    }
}

impl Architecture for Bert {
    fn title(&self) -> String {
        format!("BERT {} × {}, {} words, {} tokens", self.blocks, self.width, self.words, self.tokens)
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        self.check()?;
        let width = self.width;
        let mut b = Builder::new(name, &self.title());
        b.tokens(Tokens { prefix: PREFIX, grid: Grid::Row, masked: self.masked });
        let ids = column(&mut b, IDS, "tokens");
        let types = self.typed.then(|| column(&mut b, TYPES, "tokens"));
        let mask = self.masked.then(|| column(&mut b, MASK, "tokens"));
        let padding = mask.map(|mask| b.op("padding", PaddingBias, &[mask]));
        let mut x = self.embeddings(&mut b, ids, types);
        b.region("blocks", "Blocks", RegionKind::Stack, |b| {
            let enters = x;
            for index in 0..self.blocks {
                x = self.block(b, index, x, padding);
            }
            b.sequence(enters, x, PREFIX, width);
        });
        b.output("last_hidden_state", x);
        if self.pooler || !self.classes.is_empty() {
            let token = b.op("cls", SelectToken { index: 0 }, &[x]);
            let pooled = b.region("pooler", "Pooler", RegionKind::Other, |b| {
                let dense = self.linear(b, "dense", token, [width; 2], "pooler.dense");
                b.op("tanh", Tanh, &[dense])
            });
            b.output("pooler_output", pooled);
            if !self.classes.is_empty() {
                let features = self.dropped(&mut b, "dropout", pooled);
                let logits = head(&mut b, features, width, self.classes.len());
                b.output("logits", logits);
            }
        }
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("tokens", self.tokens)
    }

    fn config(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        let class = if self.classes.is_empty() { "BertModel" } else { "BertForSequenceClassification" };
        let own = json!({
            "model_type": MODEL_TYPE,
            "architectures": [class],
            "vocab_size": self.words,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.types,
            "hidden_size": self.width,
            "num_hidden_layers": self.blocks,
            "num_attention_heads": self.heads,
            "intermediate_size": self.mlp,
            "hidden_act": self.activation.name(),
            "layer_norm_eps": self.epsilon,
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.attention_dropout,
        });
        config.extend(own.as_object().cloned().unwrap_or_default());
        if !self.classes.is_empty() {
            config.extend(labels_json(&self.classes));
        }
        Value::Object(config)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Bert {
        let config = json!({
            "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_size": 768,
            "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
        });
        Bert::from_config(&config, &|name| name == "pooler.dense.weight").unwrap()
    }

    /// BERT-base uncased has 109,482,240 parameters.
    #[test]
    fn base_size_has_the_published_parameter_count() {
        let model = base();
        let graph = model.build("model").unwrap();
        assert_eq!(graph.parameter_count(), 109_482_240);
        let shapes = graph.shapes(&Bert { tokens: 7, ..model }.binding(3)).unwrap();
        assert_eq!(shapes[graph.output("last_hidden_state").unwrap().index()], [3, 7, 768]);
        assert_eq!(shapes[graph.output("pooler_output").unwrap().index()], [3, 768]);
    }

    #[test]
    fn every_port_norm_and_sequence_is_a_site() {
        let graph = Bert { blocks: 2, ..base() }.build("model").unwrap();
        for port in
            ["P0", "attention.normed", "P1", "P2", "P3", "P4", "P5", "attention.norm", "mlp.norm", "tokens"]
        {
            assert!(graph.site(&format!("model.blocks.1.{port}")).is_some(), "{port}");
        }
        for site in ["model.embeddings.norm", "model.blocks.tokens", "model.blocks.0.mlp.fc1"] {
            assert!(graph.site(site).is_some(), "{site}");
        }
        let node = |name: &str| graph.site(&format!("model.blocks.0.{name}")).unwrap().node;
        assert_eq!(graph.node(node("P2")).path, "model.blocks.0.attention.norm");
        assert_eq!(graph.node(node("P1")).path, "model.blocks.0.attention.dropout");
        assert_eq!(graph.node(node("P5")).path, "model.blocks.0.mlp.norm");
    }

    #[test]
    fn columns_that_are_not_there_are_not_read() {
        let columns = |model: &Bert| {
            let graph = model.build("model").unwrap();
            let mut names: Vec<String> = graph.columns().map(|leaf| leaf.column.clone()).collect();
            names.sort();
            (names.join(" "), graph.tokens("model.blocks.0").unwrap().masked)
        };
        assert_eq!(columns(&base()), ("attention_mask input_ids token_type_ids".to_owned(), true));
        let bare = Bert { masked: false, typed: false, ..base() };
        assert_eq!(columns(&bare), ("input_ids".to_owned(), false));
    }

    #[test]
    fn what_it_cannot_be_is_told() {
        let wrong = |field: &str, value: Value| {
            let mut config = base().config();
            config[field] = value;
            Bert::from_config(&config, &|_| false).unwrap_err()
        };
        assert!(wrong("hidden_act", json!("swish")).contains("`swish` is not known"));
        assert!(wrong("position_embedding_type", json!("relative_key")).contains("relative_key"));
        let error = Bert { heads: 7, ..base() }.build("model").unwrap_err();
        assert!(error.to_string().contains("7 heads do not divide the width 768"));
    }
}
