//! T5 (Raffel et al., 2020) in Hugging Face's layout: text to text, an encoder and a decoder of pre-norm blocks with
//! learned relative positions, and one table of embeddings for both (and for the head, where that is tied).
//!
//! The masks `attention_mask` and `decoder_attention_mask` are read where the data have them. Dropout of attention's
//! probabilities is not applied. Prompts have no place here: relative positions leave no room between tokens.

mod stack;

use serde_json::{Value, json};

use self::stack::Memory;
use super::config::Config;
use super::open::Stored;
use super::text::{FeedForward, IDS, MASK, boxed, check_dropout, column};
use super::{Architecture, ModelError};
use crate::graph::{Binding, Builder, Graph, Init, NodeId, RegionKind};
use crate::ops::{GeluForm, Linear, PaddingBias, Scale};

/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "t5";
/// The column of what the decoder has written so far.
const DECODER_IDS: &str = "decoder_input_ids";
/// 1 for its tokens, 0 for padding.
const DECODER_MASK: &str = "decoder_attention_mask";

/// An encoder and a decoder with all their sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct T5 {
    /// Words that the tokeniser knows.
    pub words: usize,
    /// Width of a token.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head; all of them need not be as wide as a token.
    pub head_width: usize,
    /// Inner width of the feed-forward part.
    pub mlp: usize,
    /// Its activation.
    pub activation: FeedForward,
    /// Whether the activation is multiplied with a projection of its own.
    pub gated: bool,
    /// Blocks of the encoder.
    pub encoder_blocks: usize,
    /// Blocks of the decoder.
    pub decoder_blocks: usize,
    /// Buckets of relative positions.
    pub buckets: usize,
    /// Distances from which on all share one bucket.
    pub farthest: usize,
    /// RMS norm's epsilon.
    pub epsilon: f64,
    /// Dropout at the embeddings, in the sub-layers and behind the last norm; in training mode only.
    pub dropout: f64,
    /// The head over words, if there is one.
    pub head: Option<WordHead>,
    /// Tokens of a sample that the encoder and the decoder read.
    pub tokens: [usize; 2],
    /// Whether the data have `attention_mask`, and `decoder_attention_mask`.
    pub masked: [bool; 2],
    /// The config as found, written back with what changed.
    pub source: Value,
}

/// A head over words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordHead {
    /// Whether it is the table of embeddings.
    pub tied: bool,
    /// Whether the decoder's states are divided by √width before it.
    pub scaled: bool,
}

/// Reads a folder.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    let mut model = T5::from_config(stored.config).map_err(|why| stored.wrong(why))?;
    // Later configs call every model tied; the file and the scale tell.
    let apart = stored.has("lm_head.weight");
    if let Some(head) = &mut model.head {
        head.tied = !apart || (head.tied && head.scaled);
    }
    model.masked = [stored.reads(MASK), stored.reads(DECODER_MASK)];
    if let Some(data) = stored.data {
        let decoder = data.columns.iter().find(|column| column.name == DECODER_IDS);
        let own = decoder.and_then(|column| column.extents.first().copied().flatten());
        let tokens = data.tokens()?;
        model.tokens = [tokens, own.unwrap_or(tokens)];
    }
    Ok(boxed(model))
}

impl T5 {
    /// Reads a `config.json`. All columns are taken to be there.
    ///
    /// # Errors
    /// When a field is missing, odd or of a kind that is not known.
    pub fn from_config(config: &Value) -> Result<Self, String> {
        let c = Config(config);
        let form = c.text("feed_forward_proj").unwrap_or("relu");
        let (activation, gated) = match form.strip_prefix("gated-") {
            // What Hugging Face's own models mean by it.
            Some("gelu") => (FeedForward::Gelu(GeluForm::Tanh), true),
            Some(name) => (FeedForward::named(name)?, true),
            None => (FeedForward::named(form)?, false),
        };
        let blocks = c.usize("num_layers")?;
        let class = config.get("architectures").and_then(|classes| classes.get(0)).and_then(Value::as_str);
        let tokens = c.usize_or("n_positions", 512)?;
        let tied = c.bool_or("tie_word_embeddings", true)?;
        let scaled = c.bool_or("scale_decoder_outputs", tied)?;
        Ok(Self {
            words: c.usize("vocab_size")?,
            width: c.usize("d_model")?,
            heads: c.usize("num_heads")?,
            head_width: c.usize("d_kv")?,
            mlp: c.usize("d_ff")?,
            activation,
            gated,
            encoder_blocks: blocks,
            decoder_blocks: c.usize_or("num_decoder_layers", blocks)?,
            buckets: c.usize_or("relative_attention_num_buckets", 32)?,
            farthest: c.usize_or("relative_attention_max_distance", 128)?,
            epsilon: c.f64_or("layer_norm_epsilon", 1e-6)?,
            dropout: c.f64_or("dropout_rate", 0.1)?,
            head: (class != Some("T5Model")).then_some(WordHead { tied, scaled }),
            tokens: [tokens; 2],
            masked: [true; 2],
            source: config.clone(),
        })
    }

    /// Scores of the words, `[batch, decoder tokens, words]`.
    fn logits(&self, b: &mut Builder, states: NodeId, table: NodeId, head: WordHead) -> NodeId {
        b.region("head", "Head", RegionKind::Head, |b| {
            #[expect(clippy::cast_precision_loss, reason = "a width is small")]
            let factor = (self.width as f64).powf(-0.5);
            let states = if head.scaled { b.op("scale", Scale { factor }, &[states]) } else { states };
            if head.tied {
                return b.op("logits", Linear, &[states, table]);
            }
            let init = Init::Normal { std: 1.0 };
            let weight = b.param("weight", &[self.words, self.width], init, "lm_head.weight");
            let logits = b.op("logits", Linear, &[states, weight]);
            b.weight_site(logits, weight, self.width, self.words);
            logits
        })
    }
}

impl Architecture for T5 {
    fn title(&self) -> String {
        format!("T5 {} + {} × {}, {} words", self.encoder_blocks, self.decoder_blocks, self.width, self.words)
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        check_dropout("dropout_rate", self.dropout)?;
        if self.heads == 0 || self.head_width == 0 {
            return Err(ModelError::Sizes(format!("{} heads of width {}", self.heads, self.head_width)));
        }
        let mut b = Builder::new(name, &self.title());
        let ids = column(&mut b, IDS, "tokens");
        let decoder_ids = column(&mut b, DECODER_IDS, "decoder_tokens");
        let mask = self.masked[0].then(|| column(&mut b, MASK, "tokens"));
        let decoder_mask = self.masked[1].then(|| column(&mut b, DECODER_MASK, "decoder_tokens"));
        let padding = mask.map(|mask| b.op("padding", PaddingBias, &[mask]));
        let decoder_padding = decoder_mask.map(|mask| b.op("decoder_padding", PaddingBias, &[mask]));

        let init = Init::Normal { std: 1.0 };
        let table = b.param("shared.weight", &[self.words, self.width], init, "shared.weight");
        b.tie(table, "encoder.embeddings.weight", "encoder.embed_tokens.weight");
        b.tie(table, "decoder.embeddings.weight", "decoder.embed_tokens.weight");
        if self.head.is_some_and(|head| head.tied) {
            b.tie(table, "head.weight", "lm_head.weight");
        }
        let encoded = self.encoder(&mut b, table, ids, padding);
        let memory = Memory { states: encoded, padding };
        let decoded = self.decoder(&mut b, table, decoder_ids, decoder_padding, &memory);
        b.output("last_hidden_state", decoded);
        b.output("encoder_last_hidden_state", encoded);

        let masked = mask.map(|mask| (MASK, mask));
        let reads: Vec<_> = std::iter::once((IDS, ids)).chain(masked).collect();
        b.entry("encode", &reads, &[("encoder_last_hidden_state", encoded)]);
        let reads: Vec<_> = [(DECODER_IDS, decoder_ids), ("encoder_last_hidden_state", encoded)]
            .into_iter()
            .chain(masked)
            .chain(decoder_mask.map(|mask| (DECODER_MASK, mask)))
            .collect();
        let mut makes = vec![("last_hidden_state", decoded)];
        if let Some(head) = self.head {
            let logits = self.logits(&mut b, decoded, table, head);
            b.output("logits", logits);
            makes.push(("logits", logits));
        }
        b.entry("decode_step", &reads, &makes);
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        let [tokens, decoder_tokens] = self.tokens;
        Binding::new().with("batch", batch).with("tokens", tokens).with("decoder_tokens", decoder_tokens)
    }

    fn config(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        let form = match (self.gated, self.activation) {
            (true, FeedForward::Gelu(GeluForm::Tanh)) => "gated-gelu".to_owned(),
            (true, other) => format!("gated-{}", other.name()),
            (false, other) => other.name().to_owned(),
        };
        let own = json!({
            "model_type": MODEL_TYPE,
            "architectures": [if self.head.is_some() { "T5ForConditionalGeneration" } else { "T5Model" }],
            "vocab_size": self.words,
            "d_model": self.width,
            "num_heads": self.heads,
            "d_kv": self.head_width,
            "d_ff": self.mlp,
            "feed_forward_proj": form,
            "num_layers": self.encoder_blocks,
            "num_decoder_layers": self.decoder_blocks,
            "relative_attention_num_buckets": self.buckets,
            "relative_attention_max_distance": self.farthest,
            "layer_norm_epsilon": self.epsilon,
            "dropout_rate": self.dropout,
        });
        config.extend(own.as_object().cloned().unwrap_or_default());
        if let Some(head) = self.head {
            config.insert("tie_word_embeddings".to_owned(), json!(head.tied));
            config.insert("scale_decoder_outputs".to_owned(), json!(head.scaled));
        }
        Value::Object(config)
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Value {
        json!({
            "vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12,
        })
    }

    /// The count of T5-base (methods, section 5), of which 47,616 are gains of norms.
    #[test]
    fn base_size_has_the_published_parameter_count() {
        let model = T5::from_config(&base()).unwrap();
        let graph = model.build("model").unwrap();
        assert_eq!(graph.parameter_count(), 222_903_552);
        let norms = graph.params().filter(|(_, path, _)| path.ends_with("norm.weight"));
        let gains: usize = norms.map(|(_, _, leaf)| leaf.shape.iter().product::<usize>()).sum();
        assert_eq!(gains, 47_616);
        let shapes = graph.shapes(&T5 { tokens: [7, 5], ..model.clone() }.binding(2)).unwrap();
        assert_eq!(shapes[graph.output("logits").unwrap().index()], [2, 5, 32128]);
        assert_eq!(shapes[graph.output("encoder_last_hidden_state").unwrap().index()], [2, 7, 768]);
        // An untied head is a second table.
        let apart =
            T5 { head: Some(WordHead { tied: false, scaled: false }), ..model }.build("model").unwrap();
        assert_eq!(apart.parameter_count(), 222_903_552 + 32_128 * 768);
    }

    #[test]
    fn forms_of_the_feed_forward_part() {
        let of = |form: &str| {
            let mut config = base();
            config["feed_forward_proj"] = json!(form);
            T5::from_config(&config)
        };
        for form in ["relu", "gated-gelu", "gated-relu", "gelu_new"] {
            assert_eq!(of(form).unwrap().config()["feed_forward_proj"], form);
        }
        assert_eq!(of("gated-gelu").unwrap().activation, FeedForward::Gelu(GeluForm::Tanh));
        assert!(of("gated-silu").unwrap_err().contains("`silu` is not known"));
    }

    #[test]
    fn every_port_and_norm_is_a_site() {
        let model = T5 { encoder_blocks: 2, decoder_blocks: 2, ..T5::from_config(&base()).unwrap() };
        let graph = model.build("model").unwrap();
        let both = ["P0", "attention.normed", "P1", "P2", "P3", "P4", "P5", "attention.norm", "mlp.norm"];
        for stack in ["encoder", "decoder"] {
            for site in both {
                assert!(graph.site(&format!("model.{stack}.blocks.1.{site}")).is_some(), "{stack} {site}");
            }
        }
        for site in ["normed", "output", "added", "norm", "query"] {
            let path = |stack: &str| format!("model.{stack}.blocks.1.cross_attention.{site}");
            assert!(graph.site(&path("decoder")).is_some(), "{site}");
            assert!(graph.site(&path("encoder")).is_none(), "{site}");
        }
        // A module that mixes neighbouring tokens would look ahead in the decoder.
        assert!(graph.tokens("model.encoder.blocks.0.P1").is_some());
        assert!(graph.tokens("model.decoder.blocks.0.P1").is_none());
        let entries: Vec<&str> = graph.entries().keys().map(String::as_str).collect();
        assert_eq!(entries, ["decode_step", "encode"]);
    }
}
