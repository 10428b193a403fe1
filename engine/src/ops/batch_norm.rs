use super::channel_mean::{channels, over_channels, sum_channels};
use super::{Context, Keeps, Kept, Lies, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Batch normalisation `γ·(x − m)/√(v + ε) + β` a channel (Ioffe and Szegedy, 2015).
///
/// Inputs: `x [batch, channels, …]`, then `mean`, `variance`, `running mean`, `running variance`, `gamma`, `beta`,
/// all `[channels]`. In training mode `m` and `v` are the mean and the variance (of [`super::ChannelMean`] and
/// [`super::ChannelVariance`], through which their gradients reach `x`), and the running ones are not read; in
/// inference mode it is the other way round, and the running ones get no gradient. The running values are updated
/// outside, by [`super::Unbias`] and [`super::Blend`].
#[derive(Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f64,
}

const X: usize = 0;
const GAMMA: usize = 5;
const BETA: usize = 6;

/// Where mean and variance stand among the inputs.
fn statistics(training: bool) -> [usize; 2] {
    if training { [1, 2] } else { [3, 4] }
}

impl BatchNorm {
    fn normalise(&self, x: Value, mean: Value, variance: Value, gamma: Value, beta: Value) -> Value {
        let rank = x.shape().len();
        let scale = gamma.mul(self.inverse_deviation(variance));
        let shift = beta.sub(mean.mul(scale.clone()));
        x.mul(over_channels(scale, rank)).add(over_channels(shift, rank))
    }

    /// `1/√(v + ε)`.
    fn inverse_deviation(&self, variance: Value) -> Value {
        let one = Value::full(&variance.shape(), 1.0, variance.dtype().into(), &variance.device());
        one.div(variance.add_scalar(self.epsilon).sqrt())
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 7, self.name(), inputs, || {
            "needs x, mean, variance, running mean, running variance, gamma and beta".to_owned()
        })?;
        let shape = channels(self.name(), inputs)?;
        require(inputs[1..].iter().all(|s| *s == shape), self.name(), inputs, || {
            format!("all but x should be {shape:?}")
        })?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        elements(&inputs[0]) as u64
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        let [mean, variance] = statistics(context.training).map(|i| inputs[i].clone());
        self.normalise(inputs[X].clone(), mean, variance, inputs[GAMMA].clone(), inputs[BETA].clone())
    }

    fn forward_present(&self, inputs: &[Option<Value>], context: &Context) -> Option<Value> {
        let input = |i: usize| inputs.get(i).cloned().flatten();
        let [mean, variance] = statistics(context.training).map(input);
        Some(self.normalise(input(X)?, mean?, variance?, input(GAMMA)?, input(BETA)?))
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn reads(&self, input: usize, training: bool) -> Reads {
        if statistics(!training).contains(&input) { Reads::Nothing } else { Reads::Value }
    }

    fn keeps(&self, wanted: &[bool], training: bool) -> Keeps {
        let [mean, variance] = statistics(training);
        // The running statistics get no gradient.
        let (dmean, dvariance) = (training && wanted[mean], training && wanted[variance]);
        let normalised = wanted[GAMMA] || dvariance;
        let scale = wanted[X] || dmean || dvariance;
        let mut keeps = vec![false; wanted.len()];
        (keeps[X], keeps[mean]) = (normalised, normalised);
        keeps[variance] = normalised || scale;
        keeps[GAMMA] = scale;
        Keeps::inputs(&keeps)
    }

    fn gradient_lies(&self, input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        if input == X { Lies::InPlace } else { Lies::New }
    }

    fn vjp_workspace(&self, inputs: &[Shape], _output: &Shape, wanted: &[bool]) -> u64 {
        // The deviation, for the gradients of gamma and the variance.
        if wanted[GAMMA] || wanted[X] { 4 * elements(&inputs[X]) as u64 } else { 0 }
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], context: &Context) -> Vec<Option<Value>> {
        let [mean, variance] = statistics(context.training);
        let rank = kept.input_shapes[X].len();
        let (dmean, dvariance) = (context.training && wanted[mean], context.training && wanted[variance]);
        let mut gradients = vec![None; wanted.len()];
        if !(wanted[X] || dmean || dvariance || wanted[GAMMA]) {
            gradients[BETA] = wanted[BETA].then(|| sum_channels(dy));
            return gradients;
        }
        let inverse = self.inverse_deviation(kept.input(variance));
        // Σ dy·x̂ a channel.
        let dgamma = (wanted[GAMMA] || dvariance).then(|| {
            let deviation = kept.input(X).sub(over_channels(kept.input(mean), rank));
            sum_channels(dy.clone().mul(deviation)).mul(inverse.clone())
        });
        let dbeta = (wanted[BETA] || dmean).then(|| sum_channels(dy.clone()));
        let scale = (wanted[X] || dmean || dvariance).then(|| kept.input(GAMMA).mul(inverse.clone()));
        if let Some(scale) = scale {
            if dmean {
                gradients[mean] = dbeta.clone().map(|sum| sum.mul(scale.clone()).neg());
            }
            if dvariance {
                gradients[variance] =
                    dgamma.clone().map(|sum| sum.mul(scale.clone()).mul(inverse).mul_scalar(-0.5));
            }
            gradients[X] = wanted[X].then(|| dy.mul(over_channels(scale, rank)));
        }
        gradients[GAMMA] = dgamma.filter(|_| wanted[GAMMA]);
        gradients[BETA] = dbeta.filter(|_| wanted[BETA]);
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{Given, check_op_given, close, context, kept, random};
    use super::super::{Blend, ChannelMean, ChannelVariance, Unbias};
    use super::*;
    use burn::tensor::Device;

    fn variance(name: &str) -> Value {
        random(name, &[3]).square().add_scalar(0.3)
    }

    fn inputs(x: &[usize]) -> [Value; 7] {
        [
            random("x", x),
            random("mean", &[3]),
            variance("variance"),
            random("running mean", &[3]),
            variance("running variance"),
            random("gamma", &[3]),
            random("beta", &[3]),
        ]
    }

    #[test]
    fn gradients() {
        let op = BatchNorm { epsilon: 1e-5 };
        check_op_given(&op, &inputs(&[4, 3, 2, 3]).map(Given::Float));
        check_op_given(&op, &inputs(&[4, 3]).map(Given::Float));
    }

    #[test]
    fn inference_reads_the_running_statistics_and_training_does_not() {
        let op = BatchNorm { epsilon: 1e-3 };
        let all = inputs(&[2, 3, 2]).map(Some);
        let mut trained = all.clone();
        (trained[3], trained[4]) = (None, None);
        let mut inferred = all.clone();
        (inferred[1], inferred[2]) = (None, None);
        let inference = Context::inference();
        assert!(op.forward_present(&trained, &inference).is_none());
        assert!(op.forward_present(&inferred, &context()).is_none());
        // The same statistics under either name give the same bits.
        let mut renamed = inferred.clone();
        (renamed[1], renamed[2]) = (inferred[3].clone(), inferred[4].clone());
        (renamed[3], renamed[4]) = (None, None);
        let bits = |v: Option<Value>| v.unwrap().to_f64().into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(
            bits(op.forward_present(&inferred, &inference)),
            bits(op.forward_present(&renamed, &context()))
        );
        for (training, read) in [(true, [1, 2]), (false, [3, 4])] {
            for i in [1, 2, 3, 4] {
                let expected = if read.contains(&i) { Reads::Value } else { Reads::Nothing };
                assert_eq!(op.reads(i, training), expected);
            }
        }
        // In inference mode only x, gamma and beta get a gradient.
        let wanted = [true; 7];
        let dy = random("dy", &[2, 3, 2]);
        let gradients = op.vjp(&kept(&op, &inferred, &wanted, &inference), dy.clone(), &wanted, &inference);
        let there: Vec<bool> = gradients.iter().map(Option::is_some).collect();
        assert_eq!(there, [true, false, false, false, false, true, true]);
        let named = op.vjp(&kept(&op, &renamed, &wanted, &context()), dy, &wanted, &context());
        for i in [0, 5, 6] {
            assert_eq!(bits(gradients[i].clone()), bits(named[i].clone()));
        }
    }

    #[test]
    fn a_frozen_scale_keeps_no_activation() {
        let op = BatchNorm { epsilon: 1e-5 };
        let only_x = [true, false, false, false, false, false, false];
        assert_eq!(op.keeps(&only_x, false), Keeps::inputs(&[false, false, false, false, true, true, false]));
        let only_beta = [false, false, false, false, false, false, true];
        assert_eq!(op.keeps(&only_beta, true), Keeps::inputs(&[false; 7]));
    }

    /// The gradient of x through the three ops, against burn's tape over the plain formula.
    #[test]
    fn statistics_and_normalisation_together() {
        let epsilon = 1e-5;
        let [x, _, _, _, _, gamma, beta] = inputs(&[4, 3, 2, 3]);
        let dy = random("dy", &[4, 3, 2, 3]);
        let op = BatchNorm { epsilon };
        let context = context();

        let mean = ChannelMean.forward(std::slice::from_ref(&x), &context);
        let variance = ChannelVariance.forward(&[x.clone(), mean.clone()], &context);
        let inputs = [
            Some(x.clone()),
            Some(mean.clone()),
            Some(variance.clone()),
            None,
            None,
            Some(gamma.clone()),
            Some(beta.clone()),
        ];
        let y = op.forward_present(&inputs, &context).unwrap();
        let wanted = [true, true, true, false, false, true, true];
        let mut gradients = op.vjp(&kept(&op, &inputs, &wanted, &context), dy.clone(), &wanted, &context);
        let through = ChannelVariance.vjp(
            &kept(&ChannelVariance, &[Some(x.clone()), Some(mean)], &[true, true], &context),
            gradients[2].take().unwrap(),
            &[true, true],
            &context,
        );
        let dmean = gradients[1].take().unwrap().add(through[1].clone().unwrap());
        let further = ChannelMean.vjp(
            &kept(&ChannelMean, &[Some(x.clone())], &[true], &context),
            dmean,
            &[true],
            &context,
        );
        let dx =
            gradients[0].take().unwrap().add(through[0].clone().unwrap()).add(further[0].clone().unwrap());

        let [x, gamma, beta] = [x, gamma, beta].map(Value::tracked);
        let columns = x.clone().permute(&[1, 0, 2, 3]).reshape(&[3, 24]);
        let centred = columns.clone().sub(columns.mean_axis(1));
        let spread = centred.clone().square().mean_axis(1).add_scalar(epsilon).sqrt();
        let plain = centred
            .div(spread)
            .mul(gamma.clone().reshape(&[3, 1]))
            .add(beta.clone().reshape(&[3, 1]))
            .reshape(&[3, 4, 2, 3])
            .permute(&[1, 0, 2, 3]);
        close(&y.to_f64(), &plain.clone().untracked().to_f64(), 1e-12, "output");
        let tape = plain.mul(dy).sum_all().backward();
        close(&dx.to_f64(), &x.gradient(&tape).unwrap().to_f64(), 1e-10, "x");
        for (i, leaf) in [(5, gamma), (6, beta)] {
            let lean = gradients[i].clone().unwrap();
            close(&lean.to_f64(), &leaf.gradient(&tape).unwrap().to_f64(), 1e-10, "gamma or beta");
        }
    }

    /// PyTorch's rule with momentum 0.1: the output by the biased variance, the running one from the unbiased.
    #[test]
    fn running_statistics_as_pytorch_has_them() {
        let device = Device::flex();
        let context = context();
        let vector = |v: &[f64]| Value::from_f64(v.to_vec(), &[v.len()], &device);
        // Channel 0 holds 1, 2, 3, 6: mean 3, biased variance (4+1+0+9)/4 = 3.5, unbiased 14/3.
        // Channel 1 holds 0, 0, 4, 4: mean 2, biased variance 4, unbiased 16/3.
        let x = Value::from_f64(vec![1.0, 2.0, 0.0, 0.0, 3.0, 6.0, 4.0, 4.0], &[2, 2, 2], &device);
        let mean = ChannelMean.forward(std::slice::from_ref(&x), &context);
        let variance = ChannelVariance.forward(&[x.clone(), mean.clone()], &context);
        assert_eq!(mean.to_f64(), [3.0, 2.0]);
        assert_eq!(variance.to_f64(), [3.5, 4.0]);
        let unbiased = Unbias.forward(&[variance.clone(), x.clone()], &context);
        close(&unbiased.to_f64(), &[14.0 / 3.0, 16.0 / 3.0], 1e-15, "unbiased");
        let blend = Blend { share: 0.1 };
        let running_mean = blend.forward(&[vector(&[0.0, 0.0]), mean.clone()], &context);
        let running_variance = blend.forward(&[vector(&[1.0, 1.0]), unbiased], &context);
        close(&running_mean.to_f64(), &[0.3, 0.2], 1e-15, "running mean");
        close(&running_variance.to_f64(), &[0.9 + 1.4 / 3.0, 0.9 + 1.6 / 3.0], 1e-15, "running variance");

        let op = BatchNorm { epsilon: 0.5 };
        let (gamma, beta) = (vector(&[2.0, 1.0]), vector(&[1.0, 0.0]));
        let ends = [Some(gamma), Some(beta)];
        let trained = [vec![Some(x), Some(mean), Some(variance), None, None], ends.to_vec()].concat();
        let y = op.forward_present(&trained, &context).unwrap();
        // Channel 0: 2·(x − 3)/√4 + 1 = x − 2. Channel 1: (x − 2)/√4.5.
        let s = 2.0 / 4.5f64.sqrt();
        close(&y.to_f64(), &[-1.0, 0.0, -s, -s, 1.0, 4.0, s, s], 1e-14, "training output");
    }
}
