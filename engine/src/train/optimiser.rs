//! Optimisers with PyTorch's formulas and defaults. A parameter without a gradient keeps value and state.

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::plan::Calibration;
use crate::tensor::Value;
use crate::tensor::kernels::{self, AdamWStep};
use crate::weights::{Params, Tensor};

/// An optimiser in a project file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OptimiserSpec {
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    AdamW(AdamW),
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
}

/// AdamW's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Learning rate at the schedule's top.
    pub learning_rate: f64,
    /// Decay rates of the two moments.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { learning_rate: 1e-3, betas: (0.9, 0.999), epsilon: 1e-8, weight_decay: 1e-2 }
    }
}

/// SGD's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Learning rate at the schedule's top.
    pub learning_rate: f64,
    /// Share of the last update that is kept.
    pub momentum: f64,
    /// Look ahead along the momentum (Nesterov).
    pub nesterov: bool,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 1e-2, momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

impl Default for OptimiserSpec {
    fn default() -> Self {
        Self::AdamW(AdamW::default())
    }
}

impl OptimiserSpec {
    /// Learning rate at the schedule's top.
    #[must_use]
    pub const fn learning_rate(&self) -> f64 {
        match self {
            Self::AdamW(spec) => spec.learning_rate,
            Self::Sgd(spec) => spec.learning_rate,
        }
    }

    /// Values of a parameter's size that it keeps.
    #[must_use]
    pub fn state_values(&self) -> usize {
        match self {
            Self::AdamW(_) => 2,
            Self::Sgd(spec) => usize::from(spec.momentum != 0.0),
        }
    }

    /// Predicted seconds of its step on a parameter.
    #[must_use]
    pub fn predicted_secs(&self, elements: usize, calibration: &Calibration) -> f64 {
        match self {
            Self::AdamW(_) => calibration.adamw(elements),
            // Decay, momentum, scaling and the update pass over memory one after the other.
            Self::Sgd(spec) => {
                let passes =
                    2 + usize::from(spec.momentum != 0.0) * 2 + usize::from(spec.weight_decay != 0.0) * 2;
                calibration.sum(elements) * f64::from(u8::try_from(passes).unwrap_or(u8::MAX))
            }
        }
    }

    pub(super) fn complaint(&self) -> Option<(&'static str, String)> {
        let rate = self.learning_rate();
        (!rate.is_finite() || rate < 0.0)
            .then(|| ("optimiser.learning_rate", "should be 0 or more".to_owned()))
    }
}

/// An optimiser with the state of every parameter that has had a gradient.
#[derive(Debug)]
pub struct Optimiser {
    spec: OptimiserSpec,
    states: BTreeMap<String, State>,
}

#[derive(Debug)]
struct State {
    steps: u64,
    moments: Vec<Value>,
}

impl Optimiser {
    /// A fresh one.
    #[must_use]
    pub const fn new(spec: OptimiserSpec) -> Self {
        Self { spec, states: BTreeMap::new() }
    }

    /// Bytes of its state.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.states.values().flat_map(|state| &state.moments).map(Value::bytes).sum()
    }

    /// The parameter after one step with this gradient at this learning rate.
    #[must_use]
    pub fn step(&mut self, path: &str, parameter: Value, gradient: Value, learning_rate: f64) -> Value {
        let mut state = self.states.remove(path).unwrap_or(State { steps: 0, moments: Vec::new() });
        state.steps += 1;
        let updated = match &self.spec {
            OptimiserSpec::AdamW(spec) => adamw(spec, parameter, &gradient, learning_rate, &mut state),
            OptimiserSpec::Sgd(spec) => sgd(spec, parameter, gradient, learning_rate, &mut state),
        };
        self.states.insert(path.to_owned(), state);
        updated
    }

    /// Steps a parameter in place.
    pub fn apply(&mut self, params: &mut Params, path: &str, gradient: Value, learning_rate: f64) {
        if let Some(parameter) = params.take(path) {
            params.set(path, self.step(path, parameter, gradient, learning_rate));
        }
    }

    /// Its state as host tensors, and step counts, by parameter path.
    #[must_use]
    pub fn to_host(&self) -> (BTreeMap<String, Tensor>, BTreeMap<String, u64>) {
        let mut tensors = BTreeMap::new();
        let mut steps = BTreeMap::new();
        for (path, state) in &self.states {
            steps.insert(path.clone(), state.steps);
            for (i, moment) in state.moments.iter().enumerate() {
                let tensor = Tensor { shape: moment.shape(), data: moment.to_f32() };
                tensors.insert(format!("{path}#{i}"), tensor);
            }
        }
        (tensors, steps)
    }

    /// Restores what [`Self::to_host`] gave.
    pub fn restore(
        &mut self,
        mut tensors: BTreeMap<String, Tensor>,
        steps: &BTreeMap<String, u64>,
        device: &Device,
    ) {
        self.states.clear();
        for (path, &count) in steps {
            let mut moments = Vec::new();
            while let Some(tensor) = tensors.remove(&format!("{path}#{}", moments.len())) {
                moments.push(Value::from_f32(tensor.data, &tensor.shape, device));
            }
            self.states.insert(path.clone(), State { steps: count, moments });
        }
    }
}

fn adamw(spec: &AdamW, parameter: Value, gradient: &Value, learning_rate: f64, state: &mut State) -> Value {
    if state.moments.is_empty() {
        state.moments = vec![parameter.zeros_like(), parameter.zeros_like()];
    }
    let (Some(second), Some(first)) = (state.moments.pop(), state.moments.pop()) else {
        unreachable!("AdamW has two moments")
    };
    let count = i32::try_from(state.steps).unwrap_or(i32::MAX);
    let step = AdamWStep {
        learning_rate,
        beta1: spec.betas.0,
        beta2: spec.betas.1,
        epsilon: spec.epsilon,
        weight_decay: spec.weight_decay,
        bias_correction1: 1.0 - spec.betas.0.powi(count),
        bias_correction2: 1.0 - spec.betas.1.powi(count),
    };
    let [parameter, first, second] = kernels::adamw_step(parameter, gradient, first, second, &step)
        .unwrap_or_else(|[parameter, first, second]| adamw_plain(parameter, gradient, first, second, &step));
    state.moments = vec![first, second];
    parameter
}

/// The same in plain tensor operations, for every device.
fn adamw_plain(
    parameter: Value,
    gradient: &Value,
    first: Value,
    second: Value,
    step: &AdamWStep,
) -> [Value; 3] {
    let first = first.mul_scalar(step.beta1).add(gradient.clone().mul_scalar(1.0 - step.beta1));
    let second = second.mul_scalar(step.beta2).add(gradient.clone().square().mul_scalar(1.0 - step.beta2));
    let root = second.clone().sqrt().mul_scalar(1.0 / step.bias_correction2.sqrt()).add_scalar(step.epsilon);
    let update = first.clone().div(root).mul_scalar(step.learning_rate / step.bias_correction1);
    let decayed = parameter.mul_scalar(1.0 - step.learning_rate * step.weight_decay);
    [decayed.sub(update), first, second]
}

fn sgd(spec: &Sgd, parameter: Value, gradient: Value, learning_rate: f64, state: &mut State) -> Value {
    let gradient = if spec.weight_decay == 0.0 {
        gradient
    } else {
        gradient.add(parameter.clone().mul_scalar(spec.weight_decay))
    };
    let update = if spec.momentum == 0.0 {
        gradient
    } else {
        let velocity = match state.moments.pop() {
            Some(velocity) => velocity.mul_scalar(spec.momentum).add(gradient.clone()),
            None => gradient.clone(),
        };
        state.moments.push(velocity.clone());
        if spec.nesterov { gradient.add(velocity.mul_scalar(spec.momentum)) } else { velocity }
    };
    parameter.sub(update.mul_scalar(learning_rate))
}
