//! The test that every op gets: its hand-written vjp against burn's tape and against finite differences, in f64,
//! and the same in f32.

use burn::backend::{DType, FloatDType};
use burn::tensor::Device;

use super::{Context, Kept, Op, Reads, vjp_by_tape};
use crate::tensor::{Shape, Stream, Value, elements};

/// Checks an op whose inputs are all floats of these shapes.
pub(crate) fn check_op(op: &dyn Op, shapes: &[&[usize]]) {
    check_op_on(op, shapes, &[]);
}

/// Checks an op with random float inputs of `shapes`, followed by `others` that never get a gradient.
pub(crate) fn check_op_on(op: &dyn Op, shapes: &[&[usize]], others: &[Value]) {
    let floats = shapes.iter().enumerate().map(|(i, s)| Given::Float(random(&format!("input {i}"), s)));
    let others = others.iter().cloned().map(Given::Fixed);
    check_op_given(op, &floats.chain(others).collect::<Vec<_>>());
}

/// One input of an op under test.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    /// Gets a gradient if the op reads its values.
    Float(Value),
    /// Never gets a gradient.
    Fixed(Value),
}

/// Standard normal numbers in f64, the same for the same name.
pub(crate) fn random(name: &str, shape: &[usize]) -> Value {
    let mut draws = Stream::new(11, name).at(0);
    let data = (0..elements(shape)).map(|_| f64::from(draws.normal())).collect();
    Value::from_f64(data, shape, &Device::flex())
}

/// The context that ops are checked in.
pub(crate) fn context() -> Context {
    Context { stream: Stream::new(3, "check"), step: 2, training: true }
}

/// What a walk would keep for the vjp of an op: what `keeps` names, and no trace of what the op does not read.
pub(crate) fn kept(op: &dyn Op, inputs: &[Option<Value>], wanted: &[bool], context: &Context) -> Kept {
    let keeps = op.keeps(wanted, context.training);
    for i in 0..inputs.len() {
        let reads = op.reads(i, context.training);
        assert!(
            !keeps.input(i) || reads == Reads::Value,
            "{} keeps input {i}, but reads {reads:?}",
            op.name()
        );
    }
    let (output, extras) = match inputs.iter().cloned().collect::<Option<Vec<_>>>() {
        Some(all) => {
            let (output, extras) = op.forward_keeping(&all, context);
            (Some(output), extras)
        }
        None => (op.forward_present(inputs, context), Vec::new()),
    };
    let shape = |i: usize, input: &Option<Value>| match (op.reads(i, context.training), input) {
        (Reads::Value | Reads::Shape, Some(value)) => value.shape(),
        _ => Shape::new(),
    };
    Kept {
        inputs: inputs.iter().enumerate().map(|(i, v)| v.clone().filter(|_| keeps.input(i))).collect(),
        output: output.filter(|_| keeps.output),
        extras: if keeps.extras { extras } else { Vec::new() },
        input_shapes: inputs.iter().enumerate().map(|(i, v)| shape(i, v)).collect(),
    }
}

/// Checks an op on these inputs.
pub(crate) fn check_op_given(op: &dyn Op, given: &[Given]) {
    let context = context();
    let inputs: Vec<Value> = given.iter().map(|(Given::Float(v) | Given::Fixed(v))| v.clone()).collect();
    let present: Vec<Option<Value>> = inputs.iter().cloned().map(Some).collect();
    let candidates: Vec<usize> = (0..inputs.len())
        .filter(|&i| matches!(given[i], Given::Float(_)))
        .filter(|&i| op.passes_gradient() && op.reads(i, true) == Reads::Value)
        .collect();
    let shapes: Vec<Shape> = inputs.iter().map(Value::shape).collect();
    let declared = op.shape(&shapes).expect("the shape rule takes the test's shapes");
    let output = op.forward(&inputs, &context);
    assert_eq!(output.shape(), declared, "shape rule of {}", op.name());
    let (kept_output, extras) = op.forward_keeping(&inputs, &context);
    assert_eq!(kept_output.to_f64(), output.to_f64(), "keeping extras changes no bit");
    if op.keeps(&vec![true; inputs.len()], true).extras {
        let extras: Vec<_> = extras.iter().map(Value::shape).collect();
        assert_eq!(extras, op.extras(&shapes, &declared), "extras of {}", op.name());
    }
    check_absent(op, &present, &output, &context);
    let dy = random("dy", &declared);

    // Every subset of wanted inputs: what `keeps` names must suffice.
    let all = Kept { inputs: present.clone(), input_shapes: shapes, ..Kept::default() };
    for mask in 1..(1usize << candidates.len()) {
        let wanted: Vec<bool> = (0..inputs.len())
            .map(|i| candidates.iter().position(|&c| c == i).is_some_and(|bit| mask & (1 << bit) != 0))
            .collect();
        let lean = op.vjp(&kept(op, &present, &wanted, &context), dy.clone(), &wanted, &context);
        let tape = vjp_by_tape(op, &all, dy.clone(), &wanted, &context);
        assert_eq!(lean.len(), inputs.len(), "gradients of {}", op.name());
        for i in 0..inputs.len() {
            assert_eq!(lean[i].is_some(), wanted[i], "input {i} of {} with {wanted:?}", op.name());
            let (Some(lean), Some(tape)) = (&lean[i], &tape[i]) else { continue };
            assert_eq!(lean.shape(), inputs[i].shape());
            close(&lean.to_f64(), &tape.to_f64(), 1e-9, &format!("{} input {i} against the tape", op.name()));
        }
    }

    // Finite differences along three random directions per input.
    let wanted: Vec<bool> = (0..inputs.len()).map(|i| candidates.contains(&i)).collect();
    let gradients = op.vjp(&kept(op, &present, &wanted, &context), dy.clone(), &wanted, &context);
    for &i in &candidates {
        for direction in 0..3 {
            let towards = random(&format!("direction {direction} {i}"), &inputs[i].shape());
            let step = 1e-5;
            let objective = |sign: f64| {
                let mut moved = inputs.clone();
                moved[i] = inputs[i].clone().add(towards.clone().mul_scalar(sign * step));
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

    check_f32(op, &inputs, &output, &dy, &wanted, &gradients);
}

/// An op that takes absent inputs gives the same bits without those that it does not read, and the same bits by
/// either way when all are there.
fn check_absent(op: &dyn Op, present: &[Option<Value>], output: &Value, context: &Context) {
    let bits = |value: Option<Value>| {
        value.expect("all that is read is there").to_f64().into_iter().map(f64::to_bits).collect::<Vec<_>>()
    };
    let expected = bits(Some(output.clone()));
    assert_eq!(bits(op.forward_present(present, context)), expected, "{}: all present", op.name());
    if op.takes_absent() {
        let mut read = present.to_vec();
        for (i, input) in read.iter_mut().enumerate() {
            if op.reads(i, context.training) == Reads::Nothing {
                *input = None;
            }
        }
        assert_eq!(bits(op.forward_present(&read, context)), expected, "{}: all that is read", op.name());
    } else {
        let reads_all = (0..present.len()).all(|i| op.reads(i, context.training) != Reads::Nothing);
        assert!(reads_all, "{} leaves an input out, and so has to take absent ones", op.name());
    }
}

/// In f32 an op gives, to its rounding, what it gives in f64, in f32, and the same bits again.
fn check_f32(
    op: &dyn Op,
    inputs: &[Value],
    output: &Value,
    dy: &Value,
    wanted: &[bool],
    gradients: &[Option<Value>],
) {
    let context = context();
    let single =
        |v: &Value| if v.dtype() == DType::F64 { v.clone().cast(FloatDType::F32) } else { v.clone() };
    let inputs: Vec<Option<Value>> = inputs.iter().map(|v| Some(single(v))).collect();
    let run = || {
        let y = op.forward_present(&inputs, &context).expect("all present");
        let kept = kept(op, &inputs, wanted, &context);
        let mut values = vec![Some(y)];
        values.extend(op.vjp(&kept, single(dy), wanted, &context));
        values
    };
    let (once, again) = (run(), run());
    for (i, expected) in std::iter::once(&Some(output.clone())).chain(gradients).enumerate() {
        let (Some(once), Some(again), Some(expected)) = (&once[i], &again[i], expected) else { continue };
        assert_eq!(once.dtype(), DType::F32, "{}: result {i} in f32", op.name());
        let bits = |v: &Value| v.to_f32().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(once), bits(again), "{}: result {i} run again", op.name());
        close(&once.to_f64(), &expected.to_f64(), 1e-4, &format!("{}: result {i} in f32", op.name()));
    }
}

/// Asserts closeness relative to the largest value.
pub(crate) fn close(a: &[f64], b: &[f64], tolerance: f64, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    let scale = b.iter().fold(1e-12f64, |m, x| m.max(x.abs()));
    // What is no number stays, and no comparison with it is true.
    let apart = a.iter().zip(b).map(|(x, y)| (x - y).abs());
    let worst = apart.fold(0f64, |m, apart| if apart <= m || m.is_nan() { m } else { apart });
    assert!(worst <= tolerance * scale, "{what}: {worst:e} on a scale of {scale:e}");
}
