//! [`Value`]: burn's rank-free dispatch tensor with the operations that graph ops are written in.

use burn::backend::ops::{
    ActivationOps as _, BoolTensorOps as _, FloatTensorOps as _, IntTensorOps as _, ModuleOps as _,
};
use burn::backend::{
    AutodiffBackend, BoolDType, DType, Dispatch, DispatchTensor, FloatDType, Scalar, Slice, TensorData,
    TensorMetadata as _, read_sync,
};
use burn::tensor::Device;

use super::{Shape, elements};

mod conv;
mod index;
mod pool;
mod softmax;

pub use conv::ConvStep;
pub use pool::PoolStep;

/// A tensor of any rank on any device. Cloning shares the storage.
#[derive(Clone, Debug)]
pub struct Value(DispatchTensor);

/// Gradients of one backward pass over burn's tape (see [`Value::backward`]).
pub struct Gradients(<Dispatch as AutodiffBackend>::Gradients);

#[expect(clippy::should_implement_trait, reason = "ops are chained, and take their operands by value")]
impl Value {
    /// Wraps a burn tensor.
    #[must_use]
    pub const fn new(tensor: DispatchTensor) -> Self {
        Self(tensor)
    }

    /// The burn tensor inside.
    #[must_use]
    pub fn into_inner(self) -> DispatchTensor {
        self.0
    }

    /// The burn tensor inside, borrowed.
    #[must_use]
    pub const fn inner(&self) -> &DispatchTensor {
        &self.0
    }

    // ---- making and reading -------------------------------------------------------------------

    /// An f32 tensor of `shape` from `data` in row-major order.
    ///
    /// # Panics
    /// When `data` does not hold as many elements as `shape` says.
    #[must_use]
    pub fn from_f32(data: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        assert_eq!(data.len(), elements(shape), "data against shape {shape:?}");
        Self::from_data(TensorData::new(data, shape.to_vec()), device)
    }

    /// An f64 tensor, for gradient checks.
    ///
    /// # Panics
    /// When `data` does not hold as many elements as `shape` says.
    #[must_use]
    pub fn from_f64(data: Vec<f64>, shape: &[usize], device: &Device) -> Self {
        assert_eq!(data.len(), elements(shape), "data against shape {shape:?}");
        Self::from_data(TensorData::new(data, shape.to_vec()), device)
    }

    /// An i64 tensor (labels, tokens).
    ///
    /// # Panics
    /// When `data` does not hold as many elements as `shape` says.
    #[must_use]
    pub fn from_i64(data: Vec<i64>, shape: &[usize], device: &Device) -> Self {
        assert_eq!(data.len(), elements(shape), "data against shape {shape:?}");
        Self(Dispatch::int_from_data(TensorData::new(data, shape.to_vec()), device.as_dispatch()))
    }

    /// A float tensor from burn's host data, in its dtype.
    #[must_use]
    pub fn from_data(data: TensorData, device: &Device) -> Self {
        Self(Dispatch::float_from_data(data, device.as_dispatch()))
    }

    /// A tensor filled with `value`.
    #[must_use]
    pub fn full(shape: &[usize], value: f64, dtype: FloatDType, device: &Device) -> Self {
        Self(Dispatch::float_full(shape.to_vec().into(), value.into(), device.as_dispatch(), dtype))
    }

    /// Zeros of the same shape, dtype and device.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self::full(&self.shape(), 0.0, self.dtype().into(), &self.device())
    }

    /// Reads the values back, as f32 whatever the float dtype. Waits for the device.
    ///
    /// # Panics
    /// When the device fails while reading.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.to_data().iter::<f32>().collect()
    }

    /// Reads the values back as f64. Waits for the device.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        self.to_data().iter::<f64>().collect()
    }

    /// Reads a float tensor back to the host in its own dtype.
    ///
    /// # Panics
    /// When the device fails while reading; the engine thread turns that into a failed run.
    #[must_use]
    pub fn to_data(&self) -> TensorData {
        match read_sync(Dispatch::float_into_data(self.0.clone())) {
            Ok(data) => data,
            Err(error) => panic!("reading a tensor back failed: {error:?}"),
        }
    }

    /// Reads an integer tensor back.
    ///
    /// # Panics
    /// When the device fails while reading.
    #[must_use]
    pub fn to_i64(&self) -> Vec<i64> {
        match read_sync(Dispatch::int_into_data(self.0.clone())) {
            Ok(data) => data.iter::<i64>().collect(),
            Err(error) => panic!("reading a tensor back failed: {error:?}"),
        }
    }

    /// The single element of a one-element tensor.
    ///
    /// # Panics
    /// When the tensor is empty.
    #[must_use]
    pub fn to_scalar(&self) -> f64 {
        self.to_f64()[0]
    }

    /// Extents, outermost first.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.0.shape().to_vec()
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.0.dtype()
    }

    /// Where the tensor lives; the plain device, also for a leaf of burn's tape.
    #[must_use]
    pub fn device(&self) -> Device {
        Device::new(self.0.device()).inner()
    }

    /// Bytes of its elements.
    #[must_use]
    pub fn bytes(&self) -> usize {
        elements(&self.shape()) * self.dtype().size()
    }

    /// Moves to a device.
    #[must_use]
    pub fn to_device(self, device: &Device) -> Self {
        Self(Dispatch::float_to_device(self.0, device.as_dispatch()))
    }

    /// Converts the element type.
    #[must_use]
    pub fn cast(self, dtype: FloatDType) -> Self {
        Self(Dispatch::float_cast(self.0, dtype))
    }

    // ---- elementwise, with broadcasting --------------------------------------------------------

    /// `self + other`.
    #[must_use]
    pub fn add(self, other: Self) -> Self {
        Self(Dispatch::float_add(self.0, other.0))
    }

    /// `self − other`.
    #[must_use]
    pub fn sub(self, other: Self) -> Self {
        Self(Dispatch::float_sub(self.0, other.0))
    }

    /// `self · other`, elementwise.
    #[must_use]
    pub fn mul(self, other: Self) -> Self {
        Self(Dispatch::float_mul(self.0, other.0))
    }

    /// `self / other`, elementwise.
    #[must_use]
    pub fn div(self, other: Self) -> Self {
        Self(Dispatch::float_div(self.0, other.0))
    }

    /// `self + value`.
    #[must_use]
    pub fn add_scalar(self, value: f64) -> Self {
        Self(Dispatch::float_add_scalar(self.0, Scalar::Float(value)))
    }

    /// `self · value`.
    #[must_use]
    pub fn mul_scalar(self, value: f64) -> Self {
        Self(Dispatch::float_mul_scalar(self.0, Scalar::Float(value)))
    }

    /// `−self`.
    #[must_use]
    pub fn neg(self) -> Self {
        Self(Dispatch::float_neg(self.0))
    }

    /// `self²`.
    #[must_use]
    pub fn square(self) -> Self {
        self.clone().mul(self)
    }

    /// `√self`.
    #[must_use]
    pub fn sqrt(self) -> Self {
        Self(Dispatch::float_sqrt(self.0))
    }

    /// `eˢᵉˡᶠ`.
    #[must_use]
    pub fn exp(self) -> Self {
        Self(Dispatch::float_exp(self.0))
    }

    /// Natural logarithm.
    #[must_use]
    pub fn log(self) -> Self {
        Self(Dispatch::float_log(self.0))
    }

    /// Hyperbolic tangent.
    #[must_use]
    pub fn tanh(self) -> Self {
        Self(Dispatch::float_tanh(self.0))
    }

    /// Logistic function.
    #[must_use]
    pub fn sigmoid(self) -> Self {
        Self(Dispatch::sigmoid(self.0))
    }

    /// Error function.
    #[must_use]
    pub fn erf(self) -> Self {
        Self(Dispatch::float_erf(self.0))
    }

    /// `max(self, 0)`.
    #[must_use]
    pub fn relu(self) -> Self {
        Self(Dispatch::relu(self.0))
    }

    /// 1 where `self > 0`, else 0, in the dtype of `self`.
    #[must_use]
    pub fn positive_mask(self) -> Self {
        let dtype = self.dtype();
        let bool_dtype: BoolDType =
            burn::backend::get_device_settings::<Dispatch>(&self.0.device()).bool_dtype;
        let mask = Dispatch::float_greater_elem(self.0, Scalar::Float(0.0), bool_dtype);
        Self(Dispatch::bool_into_float(mask, dtype.into()))
    }

    /// `softmax` over one axis.
    #[must_use]
    pub fn softmax(self, axis: usize) -> Self {
        Self(Dispatch::softmax(self.0, axis))
    }

    /// Layer normalisation over the last axis, by the backend's own routine.
    #[must_use]
    pub fn layer_norm(self, gamma: Self, beta: Self, epsilon: f64) -> Self {
        Self(Dispatch::layer_norm(self.0, gamma.0, Some(beta.0), epsilon))
    }

    // ---- shape ---------------------------------------------------------------------------------

    /// The same elements under another shape.
    #[must_use]
    pub fn reshape(self, shape: &[usize]) -> Self {
        Self(Dispatch::float_reshape(self.0, shape.to_vec().into()))
    }

    /// Exchanges two axes (a view where the device has strides).
    #[must_use]
    pub fn swap_axes(self, a: usize, b: usize) -> Self {
        Self(Dispatch::float_swap_dims(self.0, a, b))
    }

    /// Reorders the axes.
    #[must_use]
    pub fn permute(self, axes: &[usize]) -> Self {
        Self(Dispatch::float_permute(self.0, axes))
    }

    /// `length` indices of `axis` from `start` on.
    #[must_use]
    pub fn narrow(self, axis: usize, start: usize, length: usize) -> Self {
        let slices: Vec<Slice> = self
            .shape()
            .iter()
            .enumerate()
            .map(|(i, &extent)| {
                let (from, to) = if i == axis { (start, start + length) } else { (0, extent) };
                Slice::new(signed(from), Some(signed(to)), 1)
            })
            .collect();
        Self(Dispatch::float_slice(self.0, &slices))
    }

    /// Joins along an axis.
    #[must_use]
    pub fn concat(parts: Vec<Self>, axis: usize) -> Self {
        Self(Dispatch::float_cat(parts.into_iter().map(|v| v.0).collect(), axis))
    }

    /// Repeats along axes of extent 1 (a view where the device has strides).
    #[must_use]
    pub fn expand(self, shape: &[usize]) -> Self {
        Self(Dispatch::float_expand(self.0, shape.to_vec().into()))
    }

    // ---- reductions and products ---------------------------------------------------------------

    /// Sum over one axis, which stays with extent 1.
    #[must_use]
    pub fn sum_axis(self, axis: usize) -> Self {
        Self(Dispatch::float_sum_dim(self.0, axis))
    }

    /// Mean over one axis, which stays with extent 1.
    #[must_use]
    pub fn mean_axis(self, axis: usize) -> Self {
        Self(Dispatch::float_mean_dim(self.0, axis))
    }

    /// Maximum over one axis, which stays with extent 1.
    #[must_use]
    pub fn max_axis(self, axis: usize) -> Self {
        Self(Dispatch::float_max_dim(self.0, axis))
    }

    /// Sum of all elements as a tensor of shape `[1]`, in a fixed order whatever the size.
    #[must_use]
    pub fn sum_all(self) -> Self {
        let count = elements(&self.shape());
        let last = self.shape().last().copied().unwrap_or(1).max(1);
        self.reshape(&[count / last, last]).sum_axis(1).sum_axis(0).reshape(&[1])
    }

    /// `Σ self²` as a tensor of shape `[1]`, in a fixed order.
    #[must_use]
    pub fn sum_of_squares(&self) -> Self {
        super::kernels::sum_of_squares(self).unwrap_or_else(|| self.clone().square().sum_all())
    }

    /// Sums a broadcast gradient back to the shape that was broadcast.
    #[must_use]
    pub fn sum_to(self, shape: &[usize]) -> Self {
        let mut value = self;
        let from = value.shape();
        let extra = from.len() - shape.len();
        if extra > 0 {
            let rest = from[extra..].to_vec();
            let lead = elements(&from[..extra]);
            let mut flat = vec![lead];
            flat.extend(&rest);
            value = value.reshape(&flat).sum_axis(0).reshape(&rest);
        }
        for (axis, &extent) in shape.iter().enumerate() {
            if extent == 1 && value.shape()[axis] != 1 {
                value = value.sum_axis(axis);
            }
        }
        value
    }

    /// Matrix product over the last two axes, leading axes broadcast.
    #[must_use]
    pub fn matmul(self, other: Self) -> Self {
        Self(Dispatch::float_matmul(self.0, other.0))
    }

    /// One row of an integer class index per row as 0/1 floats: `[rows] → [rows, classes]`.
    #[must_use]
    pub fn one_hot(labels: &Self, classes: usize, like: &Self) -> Self {
        let labels = labels.to_i64();
        let mut data = vec![0.0f32; labels.len() * classes];
        for (row, &label) in labels.iter().enumerate() {
            if let Ok(label) = usize::try_from(label)
                && label < classes
            {
                data[row * classes + label] = 1.0;
            }
        }
        Self::from_f32(data, &[labels.len(), classes], &like.device()).cast(like.dtype().into())
    }

    // ---- burn's tape, for one node at a time ---------------------------------------------------

    /// The same value as a leaf of burn's tape that wants a gradient.
    #[must_use]
    pub fn tracked(self) -> Self {
        let leaf = <Dispatch as AutodiffBackend>::from_inner(self.0);
        Self(Dispatch::float_set_require_grad(leaf, true))
    }

    /// Runs burn's backward from this scalar. Consumes the tape.
    #[must_use]
    pub fn backward(self) -> Gradients {
        Gradients(<Dispatch as AutodiffBackend>::backward(self.0))
    }

    /// The gradient of a leaf, absent when the walk did not reach it.
    #[must_use]
    pub fn gradient(&self, gradients: &Gradients) -> Option<Self> {
        <Dispatch as AutodiffBackend>::grad(&self.0, &gradients.0).map(Self)
    }

    /// The plain value of a tracked one.
    #[must_use]
    pub fn untracked(self) -> Self {
        Self(<Dispatch as AutodiffBackend>::inner(self.0))
    }
}

fn signed(extent: usize) -> isize {
    isize::try_from(extent).unwrap_or(isize::MAX)
}
