//! Content keys: equal keys mean equal values, in this process and in any later one.

use std::collections::HashMap;
use std::fmt;

use blake3::{Hash, Hasher};

use super::CacheError;
use crate::data::{Source, Split};
use crate::exec::ExecError;
use crate::graph::{Graph, NodeId, NodeKind};
use crate::ops::{Op, Reads};
use crate::weights::Params;

/// Raised when what a key is made of changes.
const FORMAT: u64 = 1;

/// The name of one value for all samples of one split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(Hash);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex()[..40])
    }
}

/// Hashes parts so that no two lists of them read alike.
struct Digest(Hasher);

impl Digest {
    fn new(what: &str) -> Self {
        Self(Hasher::new()).text(what)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    fn finish(self) -> Hash {
        self.0.finalize()
    }
}

/// Makes the keys of one split of a source, with values at hand.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) split: Split,
    pub(super) device: &'a str,
    pub(super) params: &'a Params,
}

impl Keys<'_> {
    /// The keys of some nodes' values. `training` gives each node's mode.
    ///
    /// # Errors
    /// When a parameter has no value, or the source does not tell what a column depends on.
    pub(super) fn nodes(
        &self,
        graph: &Graph,
        training: &[bool],
        nodes: &[NodeId],
    ) -> Result<Vec<Key>, CacheError> {
        let needed = before(graph, training, nodes);
        // A node's hash is made of those of what it reads: neither paths nor the order of nodes count, nor
        // anything that it does not depend on.
        let mut hashes: HashMap<NodeId, Hash> = HashMap::new();
        for &id in graph.order().iter().filter(|id| needed[id.index()]) {
            let node = graph.node(id);
            let hash = match &node.kind {
                NodeKind::Op(op) => {
                    let mode = training[id.index()];
                    let digest = Digest::new(op.name()).text(&format!("{op:?}"));
                    let mut digest =
                        digest.number(u64::from(mode && mode_matters(op.as_ref(), node.inputs.len())));
                    for (i, input) in node.inputs.iter().enumerate() {
                        digest = match hashes.get(input) {
                            Some(hash) if op.reads(i, mode) != Reads::Nothing => {
                                digest.bytes(hash.as_bytes())
                            }
                            _ => digest.text("not read"),
                        };
                    }
                    digest.finish()
                }
                NodeKind::Input(leaf) => self.column_hash(&leaf.key(), &leaf.column)?,
                NodeKind::Param(_) | NodeKind::State(_) | NodeKind::Const(_) => {
                    self.weight_hash(&node.path)?
                }
            };
            hashes.insert(id, hash);
        }
        Ok(nodes.iter().map(|id| self.key("node", &hashes[id])).collect())
    }

    /// The key of a column of the data.
    ///
    /// # Errors
    /// When the source does not tell what it depends on.
    pub(super) fn column(&self, column: &str) -> Result<Key, CacheError> {
        Ok(self.key("column", &self.column_hash(column, column)?))
    }

    fn key(&self, what: &str, hash: &Hash) -> Key {
        // Another build may round otherwise, and what an op got wrong does not outlive its mending.
        let digest = Digest::new("graft cache").number(FORMAT).text(env!("GRAFT_VALUES_BUILD")).text(what);
        // What is copied is the same on every device.
        let digest = digest.text(if what == "node" { self.device } else { "" });
        Key(digest.text(self.split.name()).bytes(hash.as_bytes()).finish())
    }

    fn column_hash(&self, name: &str, column: &str) -> Result<Hash, CacheError> {
        let told = column_told(self.source, self.split, column)?;
        Ok(Digest::new("column").text(name).text(&told).finish())
    }

    fn weight_hash(&self, path: &str) -> Result<Hash, CacheError> {
        let missing = || ExecError::MissingParam { path: path.to_owned() };
        let value = self.params.get(path).ok_or_else(missing)?;
        let digest = Digest::new("weight").text(&format!("{:?} {:?}", value.dtype(), value.shape()));
        Ok(digest.bytes(value.to_data().as_bytes()).finish())
    }
}

/// What a source says that a column depends on.
pub(super) fn column_told(source: &dyn Source, split: Split, column: &str) -> Result<String, CacheError> {
    source.fingerprint(split, column).ok_or_else(|| CacheError::Nothing {
        why: format!(
            "the data source does not tell what its column `{column}` depends on; use one that does"
        ),
    })
}

/// Nodes that any of these depends on in its mode, themselves included.
pub(super) fn before(graph: &Graph, training: &[bool], nodes: &[NodeId]) -> Vec<bool> {
    let mut reached = vec![false; graph.nodes().len()];
    for id in nodes {
        reached[id.index()] = true;
    }
    for &id in graph.order().iter().rev() {
        let NodeKind::Op(op) = &graph.node(id).kind else { continue };
        for (i, input) in graph.node(id).inputs.iter().enumerate() {
            if reached[id.index()] && op.reads(i, training[id.index()]) != Reads::Nothing {
                reached[input.index()] = true;
            }
        }
    }
    reached
}

/// Whether an op does something else in training mode. Most do not, and then a stage and its evaluation share values.
fn mode_matters(op: &dyn Op, inputs: usize) -> bool {
    op.draws()
        || op.mixes_samples()
        || (0..inputs).any(|input| op.reads(input, true) != op.reads(input, false))
}
