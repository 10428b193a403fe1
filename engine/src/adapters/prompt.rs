//! Learned tokens (Jia et al., 2022; methods, section 13): they enter a sequence behind its class tokens, run along
//! with the others, and are taken out where the sequence ends. On a whole stack the prompts are shallow, on each of
//! its blocks they are deep.

use serde::{Deserialize, Serialize};

use super::setting::whole;
use super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Init, NodeId, Patch, PatchBuilder, Site, SiteKind, is_below};
use crate::ops::{InsertTokens, RemoveTokens};

/// Settings of the prompts. Not an identity at the start: attention sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompt {
    /// How many tokens.
    pub tokens: usize,
}

impl Default for Prompt {
    fn default() -> Self {
        Self { tokens: 8 }
    }
}

/// Whether a value of the sequence is read from outside its region, other than where it ends: it would have the prompts
/// in it.
fn read_inside(graph: &Graph, through: &str, enters: NodeId, leaves: NodeId) -> bool {
    let inside = |id: NodeId| is_below(&graph.node(id).path, through);
    let behind = graph.downstream([enters], &vec![false; graph.nodes().len()]);
    let outputs = graph.outputs().values().chain(graph.entries().values().flat_map(|e| e.outputs.values()));
    let read = |id: NodeId| id != leaves && id != enters && behind[id.index()] && inside(id);
    let by_others = (0..graph.nodes().len()).map(|index| graph.id(index)).filter(|id| !inside(*id));
    by_others.flat_map(|id| graph.node(id).inputs.iter()).chain(outputs).any(|id| read(*id))
}

impl AdapterKind for Prompt {
    fn name(&self) -> &'static str {
        "Prompt"
    }

    fn description(&self) -> &'static str {
        "learned tokens beside the sequence's own"
    }

    fn formula(&self) -> String {
        "[class tokens, p₁ … pₙ, tokens], without the p where the sequence ends".to_owned()
    }

    fn place(&self) -> &'static str {
        "in a sequence"
    }

    fn letter(&self) -> char {
        'P'
    }

    fn legal(&self, graph: &Graph, site: &Site) -> Result<(), Illegal> {
        let SiteKind::Sequence { through, leaves, .. } = &site.kind else {
            return Err(Illegal::NotASequence);
        };
        if read_inside(graph, through, site.node, *leaves) {
            return Err(Illegal::ReadInside);
        }
        let masked = graph.tokens(&site.path).is_some_and(|tokens| tokens.masked);
        if masked { Err(Illegal::Masked) } else { Ok(()) }
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let SiteKind::Sequence { prefix, .. } = site.kind else { unreachable!("only sequences are legal") };
        // Visual prompt tuning's bound for a patch of 16 pixels.
        #[expect(clippy::cast_precision_loss, reason = "a width is small")]
        let bound = (6.0 / (768.0 + site.width as f64)).sqrt();
        let prompts = builder.param("tokens", &[1, self.tokens, site.width], Init::Uniform { bound });
        let entering = builder.op("insert", InsertTokens { after: prefix }, &[site.node, prompts]);
        let count = self.tokens;
        builder.replace_sequence(entering, |builder, leaves| {
            builder.op("remove", RemoveTokens { start: prefix, count }, &[leaves])
        });
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        (self.tokens * site.width) as u64
    }

    fn identity_at_start(&self) -> bool {
        false
    }

    fn settings(&self) -> Vec<Setting> {
        vec![Setting::width("tokens", "Tokens", self.tokens)]
    }

    fn size(&self) -> Option<&'static str> {
        Some("tokens")
    }

    fn assign(&mut self, _name: &str, value: f64) {
        self.tokens = whole(value);
    }
}
