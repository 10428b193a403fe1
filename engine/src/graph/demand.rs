//! What a graph asks of whoever runs it, beside its values: loss terms, updates, measurements, merging.
//!
//! A rewrite that needs more than nodes and weights says so here, so that loop, planner and exporter serve every
//! adapter kind without knowing one.

use super::NodeId;

/// Everything that a graph asks for, in the order in which it was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demands {
    /// Terms of the loss beside the stage's own.
    pub losses: Vec<LossTerm>,
    /// Values that replace states or parameters.
    pub updates: Vec<Update>,
    /// States that must be measured before the model is trained.
    pub measures: Vec<Measure>,
    /// Base parameters that train although the stage freezes the base.
    pub unfrozen: Vec<NodeId>,
    /// Parameters of adapters that stay as they began.
    pub frozen: Vec<NodeId>,
    /// What each placement becomes in inference.
    pub endings: Vec<Ending>,
    /// Parameters that files hold in few bits.
    pub codings: Vec<Coding>,
}

impl Demands {
    pub(super) fn extend(&mut self, more: &Self) {
        self.losses.extend(more.losses.iter().cloned());
        self.updates.extend(more.updates.iter().copied());
        self.measures.extend(more.measures.iter().cloned());
        self.unfrozen.extend(more.unfrozen.iter().copied());
        self.frozen.extend(more.frozen.iter().copied());
        self.endings.extend(more.endings.iter().copied());
        self.codings.extend(more.codings.iter().copied());
    }
}

/// A scalar that is added to the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct LossTerm {
    /// What reports call it.
    pub name: String,
    /// The scalar, of shape `[1]`.
    pub node: NodeId,
    /// Its factor.
    pub weight: f64,
}

/// A value that replaces a state or a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The leaf that changes.
    pub target: NodeId,
    /// Its next value.
    pub value: NodeId,
    /// When it is replaced.
    pub when: When,
}

/// When an update takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once after the batch's backward: running statistics. The value is computed within the batch's walk.
    AfterBackward,
    /// Once after the optimiser's step: averages and blends of weights. The value reads no column.
    AfterStep,
}

/// A state that is filled by walking data before training.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The state.
    pub state: NodeId,
    /// What is looked at.
    pub of: Observed,
    /// How batches are folded together.
    pub fold: Fold,
    /// What the folded value becomes.
    pub finish: Finish,
}

/// What a measurement looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The loss's gradient in a leaf.
    Gradient(NodeId),
    /// A node's value, averaged over its leading axis.
    Value(NodeId),
}

/// How batches are folded together, each weighted by its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Mean.
    Mean,
    /// Mean of squares.
    MeanSquare,
}

/// What a folded value becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finish {
    /// Itself.
    Keep,
    /// The places of its largest magnitudes as rows and columns `[2, count]`, ascending; of equals the earlier one
    /// counts as larger.
    LargestPlaces {
        /// How many.
        count: usize,
        /// Columns of the matrix that the value is.
        columns: usize,
        /// Magnitudes are taken after multiplication with this leaf.
        times: Option<NodeId>,
    },
}

/// A parameter that files hold as codes of few bits, because a placement rounds it to them anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    /// The placement that rounds it.
    pub placement: usize,
    /// The parameter.
    pub param: NodeId,
    /// Bits a value.
    pub bits: usize,
}

/// What one placement becomes in inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The placement.
    pub placement: usize,
    /// What it becomes.
    pub becomes: Becomes,
}

/// See [`Ending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It is folded into a parameter of the layer `op`, and then gone.
    Merged {
        /// The layer.
        op: NodeId,
        /// Its parameter.
        param: NodeId,
        /// The parameter's value with this placement and those before it at this layer.
        value: NodeId,
    },
    /// It stays beside the layer.
    Kept,
    /// It is left out.
    Gone,
}
