//! The test that every op gets: its hand-written vjp against burn's tape and against finite differences, in f64.

use burn::tensor::Device;

use super::{Context, Kept, Op, Reads, vjp_by_tape};
use crate::tensor::{Stream, Value, elements};

/// Checks an op whose inputs are all floats of these shapes.
pub(crate) fn check_op(op: &dyn Op, shapes: &[&[usize]]) {
    check_op_on(op, shapes, &[]);
}

/// Checks an op with random float inputs of `shapes`, followed by `others` that never get a gradient.
pub(crate) fn check_op_on(op: &dyn Op, shapes: &[&[usize]], others: &[Value]) {
    let device = Device::flex();
    let context = Context { stream: Stream::new(3, "check"), step: 2, training: true };
    let random = |name: &str, shape: &[usize]| {
        let mut draws = Stream::new(11, name).at(0);
        let data = (0..elements(shape)).map(|_| f64::from(draws.normal())).collect();
        Value::from_f64(data, shape, &device)
    };
    let floats: Vec<Value> =
        shapes.iter().enumerate().map(|(i, s)| random(&format!("input {i}"), s)).collect();
    let inputs: Vec<Value> = floats.iter().chain(others).cloned().collect();
    let declared = op
        .shape(&inputs.iter().map(Value::shape).collect::<Vec<_>>())
        .expect("the shape rule takes the test's shapes");
    let output = op.forward(&inputs, &context);
    assert_eq!(output.shape(), declared, "shape rule of {}", op.name());
    let (kept_output, extras) = op.forward_keeping(&inputs, &context);
    assert_eq!(kept_output.to_f64(), output.to_f64(), "keeping extras changes no bit");
    if op.keeps(&vec![true; inputs.len()], true).extras {
        let shapes: Vec<_> = inputs.iter().map(Value::shape).collect();
        let extras: Vec<_> = extras.iter().map(Value::shape).collect();
        assert_eq!(extras, op.extras(&shapes, &declared), "extras of {}", op.name());
    }
    if op.takes_absent() {
        let present: Vec<Option<Value>> = inputs.iter().cloned().map(Some).collect();
        let found = op.forward_present(&present, &context).expect("everything is present");
        assert_eq!(found.to_f64(), output.to_f64(), "{} with everything present", op.name());
    }
    let dy = random("dy", &declared);
    // An input that is read for its extents, or not at all, wants no gradient.
    let reads = |i: usize| i < floats.len() && op.reads(i, true) == Reads::Value;

    // Every subset of wanted inputs: what `keeps` names must suffice.
    for mask in 1..(1usize << floats.len()) {
        let wanted: Vec<bool> = (0..inputs.len()).map(|i| reads(i) && mask & (1 << i) != 0).collect();
        if !wanted.contains(&true) {
            continue;
        }
        let keeps = op.keeps(&wanted, true);
        let kept = Kept {
            inputs: (0..inputs.len()).map(|i| keeps.input(i).then(|| inputs[i].clone())).collect(),
            output: keeps.output.then(|| output.clone()),
            extras: if keeps.extras { extras.clone() } else { Vec::new() },
            input_shapes: inputs.iter().map(Value::shape).collect(),
        };
        let all = Kept {
            inputs: inputs.iter().cloned().map(Some).collect(),
            output: None,
            extras: Vec::new(),
            input_shapes: kept.input_shapes.clone(),
        };
        let lean = op.vjp(&kept, dy.clone(), &wanted, &context);
        let tape = vjp_by_tape(op, &all, dy.clone(), &wanted, &context);
        for i in 0..inputs.len() {
            assert_eq!(lean[i].is_some(), wanted[i], "input {i} of {} with {wanted:?}", op.name());
            let (Some(lean), Some(tape)) = (&lean[i], &tape[i]) else { continue };
            assert_eq!(lean.shape(), inputs[i].shape());
            close(&lean.to_f64(), &tape.to_f64(), 1e-9, &format!("{} input {i} against the tape", op.name()));
        }
    }

    // Finite differences along three random directions per input.
    let wanted: Vec<bool> = (0..inputs.len()).map(reads).collect();
    let keeps = op.keeps(&wanted, true);
    let kept = Kept {
        inputs: (0..inputs.len()).map(|i| keeps.input(i).then(|| inputs[i].clone())).collect(),
        output: keeps.output.then(|| output.clone()),
        extras,
        input_shapes: inputs.iter().map(Value::shape).collect(),
    };
    let gradients = op.vjp(&kept, dy.clone(), &wanted, &context);
    for (i, float) in floats.iter().enumerate().filter(|(i, _)| reads(*i)) {
        for direction in 0..3 {
            let towards = random(&format!("direction {direction} {i}"), &float.shape());
            let step = 1e-5;
            let objective = |sign: f64| {
                let mut moved = inputs.clone();
                moved[i] = float.clone().add(towards.clone().mul_scalar(sign * step));
                op.forward(&moved, &context).mul(dy.clone()).sum_all().to_scalar()
            };
            let numeric = (objective(1.0) - objective(-1.0)) / (2.0 * step);
            let analytic = gradients[i].clone().expect("wanted").mul(towards).sum_all().to_scalar();
            let scale = numeric.abs().max(1.0);
            assert!(
                (numeric - analytic).abs() < 1e-6 * scale,
                "{} input {i}: finite difference {numeric}, vjp {analytic}",
                op.name()
            );
        }
    }
}

/// Asserts closeness relative to the largest value.
pub(crate) fn close(a: &[f64], b: &[f64], tolerance: f64, what: &str) {
    let scale = b.iter().fold(1e-12f64, |m, x| m.max(x.abs()));
    // What is no number stays, and no comparison with it is true.
    let apart = a.iter().zip(b).map(|(x, y)| (x - y).abs());
    let worst = apart.fold(0f64, |m, apart| if apart <= m || m.is_nan() { m } else { apart });
    assert!(worst <= tolerance * scale, "{what}: {worst:e} on a scale of {scale:e}");
}
