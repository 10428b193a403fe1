//! Getting at the numbers inside a [`Value`] on `flex`, and making one from numbers.
#![expect(unsafe_code, reason = "outputs are built in memory that nobody zeroed first")]
#![expect(clippy::result_large_err, reason = "a refusal gives the value back, and is not rare")]

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use burn::backend::{
    BackendTensor, DType, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, TensorData,
};
use rayon::prelude::*;

use crate::tensor::{Shape, Value, elements};

/// Elements that one task handles: 64 KiB of f32, which stays in the second-level cache.
pub(super) const CHUNK: usize = 16 * 1024;

/// An untracked, contiguous f32 tensor on `flex`, sharing the value's storage where it can.
pub(super) struct Plain(FlexTensor);

impl Plain {
    /// The value's numbers, or `None` when it is not an untracked, non-empty f32 value on `flex`.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let DispatchTensor {
            kind: DispatchTensorKind::Flex(BackendTensor::Float(tensor)),
            autodiff: DispatchAutodiffContext::Disabled,
        } = value.inner()
        else {
            return None;
        };
        if tensor.dtype() != DType::F32 || tensor.layout().num_elements() == 0 {
            return None;
        }
        let contiguous = if tensor.is_contiguous() { tensor.clone() } else { tensor.to_contiguous() };
        contiguous.as_slice::<f32>().is_some().then_some(Self(contiguous))
    }

    /// All elements in row-major order.
    pub(super) fn data(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_default()
    }

    /// Extents, outermost first.
    pub(super) fn shape(&self) -> Shape {
        self.0.layout().shape().to_vec()
    }

    /// Extent of the last axis, 1 for a scalar.
    pub(super) fn width(&self) -> usize {
        self.0.layout().shape().to_vec().last().copied().unwrap_or(1)
    }
}

/// An untracked f32 tensor `[batch, tokens, width]` on `flex` whose tokens lie at one distance from each other, as they
/// do in a slice of the last axis: nothing is copied for those.
pub(super) struct Rows {
    tensor: FlexTensor,
    start: usize,
    end: usize,
    /// Elements from one token to the next.
    pub(super) stride: usize,
}

impl Rows {
    /// The value's rows, or `None` when it is not such a value. One that lies otherwise is copied.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let plain = match value.inner() {
            DispatchTensor {
                kind: DispatchTensorKind::Flex(BackendTensor::Float(tensor)),
                autodiff: DispatchAutodiffContext::Disabled,
            } if tensor.dtype() == DType::F32 && tensor.layout().num_elements() > 0 => tensor,
            _ => return None,
        };
        let &[batch, tokens, width] = plain.layout().shape().to_vec().as_slice() else { return None };
        if let &[of_batch, of_token, 1] = plain.layout().strides()
            && let Ok(stride) = usize::try_from(of_token)
            && stride >= width
            && (batch == 1 || usize::try_from(of_batch) == Ok(stride * tokens))
        {
            let start = plain.layout().start_offset();
            let end = start + (batch * tokens - 1) * stride + width;
            let tensor = plain.clone();
            return (end <= tensor.storage::<f32>().len()).then_some(Self { tensor, start, end, stride });
        }
        let Plain(tensor) = Plain::of(value)?;
        let (start, end) = tensor.layout().contiguous_offsets()?;
        Some(Self { tensor, start, end, stride: width })
    }

    /// From the first element of the first token to the last of the last.
    pub(super) fn data(&self) -> &[f32] {
        &self.tensor.storage::<f32>()[self.start..self.end]
    }

    /// Extents, outermost first.
    pub(super) fn shape(&self) -> Shape {
        self.tensor.layout().shape().to_vec()
    }
}

/// An untracked, contiguous f32 tensor on `flex` that a kernel owns and may change in place.
pub(super) struct Owned(FlexTensor);

impl Owned {
    /// Takes the value apart, or gives it back when it is not what [`Plain::of`] accepts.
    pub(super) fn of(value: Value) -> Result<Self, Value> {
        if Plain::of(&value).is_none() {
            return Err(value);
        }
        match value.into_inner() {
            DispatchTensor { kind: DispatchTensorKind::Flex(BackendTensor::Float(tensor)), .. } => {
                Ok(Self(tensor))
            }
            other => Err(Value::new(other)),
        }
    }

    /// Extents, outermost first.
    pub(super) fn shape(&self) -> Shape {
        self.0.layout().shape().to_vec()
    }

    /// The elements for changing in place: `None` when somebody else shares the storage.
    pub(super) fn unique(&mut self) -> Option<&mut [f32]> {
        let (start, end) = self.0.layout().contiguous_offsets()?;
        self.0.try_storage_mut::<f32>().map(|storage| &mut storage[start..end])
    }

    /// The elements for changing; shared storage is copied first.
    pub(super) fn make_unique(&mut self) -> &mut [f32] {
        if self.unique().is_none() {
            let shape = self.shape();
            let copy = match self.0.as_slice::<f32>() {
                Some(data) => data.to_vec(),
                None => self.0.to_contiguous().storage::<f32>().to_vec(),
            };
            self.0 = FlexTensor::from_data(TensorData::new(copy, shape));
        }
        let (start, end) = self.0.layout().contiguous_offsets().unwrap_or_default();
        &mut self.0.storage_mut::<f32>()[start..end]
    }

    /// The value again.
    pub(super) fn into_value(self) -> Value {
        from_flex(self.0)
    }
}

/// A value on `flex` that takes over `data`.
///
/// # Panics
/// When `data` does not hold as many elements as `shape` says.
pub(super) fn value(data: Vec<f32>, shape: &[usize]) -> Value {
    assert_eq!(data.len(), elements(shape), "data against shape {shape:?}");
    from_flex(FlexTensor::from_data(TensorData::new(data, shape.to_vec())))
}

fn from_flex(tensor: FlexTensor) -> Value {
    Value::new(DispatchTensor {
        kind: DispatchTensorKind::Flex(BackendTensor::Float(tensor)),
        autodiff: DispatchAutodiffContext::Disabled,
    })
}

/// Rows of `width` elements that one task handles, so that it has about [`CHUNK`] elements.
pub(super) fn rows_per_task(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// Builds `length` elements in parallel, `chunk` at a time.
///
/// `fill` gets the index of the chunk and the chunk itself, full of zeros; what it returns comes
/// back in the order of the chunks. The zeros are written by the task just before it works, so they
/// cost a pass over the cache and none over memory.
pub(super) fn build<T, F>(length: usize, chunk: usize, fill: F) -> (Vec<f32>, Vec<T>)
where
    T: Send,
    F: Fn(usize, &mut [f32]) -> T + Sync,
{
    let mut data: Vec<f32> = Vec::with_capacity(length);
    let spare = &mut data.spare_capacity_mut()[..length];
    let results = if length <= chunk {
        // One task: waking the thread pool would take longer than the work.
        vec![fill(0, zeroed(spare))]
    } else {
        spare.par_chunks_mut(chunk).enumerate().map(|(index, part)| fill(index, zeroed(part))).collect()
    };
    // SAFETY: the capacity is at least `length`, and the chunks, which cover the first `length`
    // elements without a gap, have all been through `zeroed`.
    unsafe { data.set_len(length) };
    (data, results)
}

/// Writes zeros and gives the slice back as plain numbers.
fn zeroed(part: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    for element in part.iter_mut() {
        element.write(0.0);
    }
    // SAFETY: the loop above initialised every element.
    unsafe { part.assume_init_mut() }
}

/// [`build`] for kernels that return nothing beside the elements.
pub(super) fn build_elements<F>(length: usize, chunk: usize, fill: F) -> Vec<f32>
where
    F: Fn(usize, &mut [f32]) + Sync,
{
    build(length, chunk, fill).0
}
