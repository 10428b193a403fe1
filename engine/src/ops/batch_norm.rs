use super::channel_statistics::{by_channel, sum_by_channel};
use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// `(x − mean)/√(variance + epsilon)·gamma + beta`, channel by channel. Inputs: `x [batch, channels, …]`, then
/// six of `[channels]`: the batch's mean and variance, the running mean and variance, gamma and beta. The batch's
/// statistics are read in training mode and the running ones in inference mode; the others lie unread, and what
/// computes them is not run. The statistics' own gradients go back through their own nodes.
#[derive(Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f64,
}

const X: usize = 0;
const GAMMA: usize = 5;
const BETA: usize = 6;

/// Places of the mean and variance that are read.
const fn statistics(training: bool) -> [usize; 2] {
    if training { [1, 2] } else { [3, 4] }
}

impl BatchNorm {
    /// `1/√(variance + epsilon)`, broadcast over `x`.
    fn scale(&self, variance: Value, x: &[usize]) -> Value {
        let root = variance.add_scalar(self.epsilon).sqrt();
        let one = Value::full(&root.shape(), 1.0, root.dtype().into(), &root.device());
        by_channel(one.div(root), x)
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 7
            && inputs[X].len() >= 2
            && inputs[1..].iter().all(|shape| *shape == [inputs[X][1]]);
        require(fits, self.name(), inputs, || {
            "needs x [batch, channels, …] and six of [channels]: means, variances, running ones, gamma, beta"
                .to_owned()
        })?;
        Ok(inputs[X].clone())
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        super::count(&[crate::tensor::elements(&inputs[X])])
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        let inputs: Vec<Option<Value>> = inputs.iter().cloned().map(Some).collect();
        match self.forward_present(&inputs, context) {
            Some(value) => value,
            None => unreachable!("everything is there"),
        }
    }

    fn forward_present(&self, inputs: &[Option<Value>], context: &Context) -> Option<Value> {
        let [mean, variance] = statistics(context.training).map(|place| inputs[place].clone());
        let x = inputs[X].clone()?;
        let shape = x.shape();
        let scale = self.scale(variance?, &shape);
        let centred = x.sub(by_channel(mean?, &shape));
        let scaled = centred.mul(scale).mul(by_channel(inputs[GAMMA].clone()?, &shape));
        Some(scaled.add(by_channel(inputs[BETA].clone()?, &shape)))
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn reads(&self, input: usize, training: bool) -> Reads {
        let unread = statistics(!training).contains(&input);
        if unread { Reads::Nothing } else { Reads::Value }
    }

    fn keeps(&self, wanted: &[bool], training: bool) -> Keeps {
        let [mean, variance] = statistics(training);
        let mut inputs = vec![false; 7];
        inputs[X] = wanted[variance] || wanted[GAMMA];
        inputs[mean] = inputs[X];
        inputs[variance] = wanted[X] || wanted[mean] || inputs[X];
        inputs[GAMMA] = wanted[X] || wanted[mean] || wanted[variance];
        Keeps::inputs(&inputs)
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], context: &Context) -> Vec<Option<Value>> {
        let [mean, variance] = statistics(context.training);
        let shape = &kept.input_shapes[X];
        let mut gradients: Vec<Option<Value>> = vec![None; 7];
        gradients[BETA] = wanted[BETA].then(|| sum_by_channel(dy.clone()));
        if wanted[variance] || wanted[GAMMA] {
            let centred = kept.input(X).sub(by_channel(kept.input(mean), shape));
            let scale = self.scale(kept.input(variance), shape);
            // Σ dy·(x − mean)/√(variance + epsilon)
            let product = sum_by_channel(dy.clone().mul(centred).mul(scale.clone()));
            gradients[GAMMA] = wanted[GAMMA].then(|| product.clone());
            gradients[variance] = wanted[variance].then(|| {
                let square = scale.square().reshape(&[shape[1]]);
                product.mul(kept.input(GAMMA)).mul(square).mul_scalar(-0.5)
            });
        }
        if wanted[X] || wanted[mean] {
            let scale = self.scale(kept.input(variance), shape);
            let towards_x = dy.mul(scale).mul(by_channel(kept.input(GAMMA), shape));
            gradients[mean] = wanted[mean].then(|| sum_by_channel(towards_x.clone()).neg());
            gradients[X] = wanted[X].then_some(towards_x);
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, close};
    use super::super::{Blend, ChannelMean, ChannelVariance, Unbias};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        // Drawn variances may be negative: epsilon keeps their roots real.
        check_op(&BatchNorm { epsilon: 9.0 }, &[&[3, 2, 2], &[2], &[2], &[2], &[2], &[2], &[2]]);
    }

    /// The three nodes of a graph together, against the plain formula under burn's tape.
    #[test]
    fn the_statistics_gradients_add_up_to_the_whole_one() {
        let device = Device::flex();
        let x = Value::from_f64(vec![0.3, -1.2, 0.8, 2.0, -0.5, 0.1, 1.7, -0.9], &[4, 2], &device);
        let gamma = Value::from_f64(vec![1.3, 0.7], &[2], &device);
        let beta = Value::from_f64(vec![0.1, -0.2], &[2], &device);
        let dy = Value::from_f64(vec![0.5, -0.3, 0.2, 0.9, -1.1, 0.4, 0.6, -0.8], &[4, 2], &device);
        let context = Context { training: true, ..Context::inference() };
        let op = BatchNorm { epsilon: 1e-5 };

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
        let kept = Kept {
            input_shapes: inputs.iter().map(|v| v.as_ref().map_or_else(Vec::new, Value::shape)).collect(),
            inputs: inputs.to_vec(),
            ..Kept::default()
        };
        let wanted = [true, true, true, false, false, true, true];
        let own = op.vjp(&kept, dy.clone(), &wanted, &context);
        let of_variance = ChannelVariance.vjp(
            &Kept {
                inputs: vec![Some(x.clone()), Some(mean)],
                input_shapes: vec![vec![4, 2], vec![2]],
                ..Kept::default()
            },
            own[2].clone().unwrap(),
            &[true, true],
            &context,
        );
        let to_mean = own[1].clone().unwrap().add(of_variance[1].clone().unwrap());
        let of_mean = ChannelMean.vjp(
            &Kept { inputs: vec![None], input_shapes: vec![vec![4, 2]], ..Kept::default() },
            to_mean,
            &[true],
            &context,
        );
        let total =
            own[0].clone().unwrap().add(of_variance[0].clone().unwrap()).add(of_mean[0].clone().unwrap());

        let leaf = x.tracked();
        let centred = leaf.clone().sub(leaf.clone().mean_axis(0));
        let root = centred.clone().square().mean_axis(0).add_scalar(1e-5).sqrt();
        let y = centred.div(root).mul(gamma.reshape(&[1, 2])).add(beta.reshape(&[1, 2]));
        let gradients = y.clone().mul(dy).sum_all().backward();
        close(&total.to_f64(), &leaf.gradient(&gradients).unwrap().to_f64(), 1e-9, "x");
        let forward = op.forward_present(&inputs, &context).unwrap();
        close(&forward.to_f64(), &y.untracked().to_f64(), 1e-12, "y");
    }

    /// PyTorch's rule with momentum 0.1: mean 2, unbiased variance 2 of (1, 3) after running values 0 and 1.
    #[test]
    fn running_statistics_golden() {
        let device = Device::flex();
        let x = Value::from_f64(vec![1.0, 3.0], &[2, 1], &device);
        let context = Context { training: true, ..Context::inference() };
        let mean = ChannelMean.forward(std::slice::from_ref(&x), &context);
        let variance = ChannelVariance.forward(&[x.clone(), mean.clone()], &context);
        let unbiased = Unbias.forward(&[variance, x], &context);
        let blend = Blend { share: 0.1 };
        let running = |old: f64, new: Value| {
            blend.forward(&[Value::from_f64(vec![old], &[1], &device), new], &context).to_f64()[0]
        };
        assert!((running(0.0, mean) - 0.2).abs() < 1e-12);
        assert!((running(1.0, unbiased) - 1.1).abs() < 1e-12);
    }
}
