//! Parameter values by logical path.

use std::collections::BTreeMap;

use burn::tensor::Device;

use super::Tensor;
use crate::tensor::Value;

/// Values of parameters on one device, by logical path. Cloning shares the storage.
#[derive(Clone, Debug, Default)]
pub struct Params {
    values: BTreeMap<String, Value>,
}

impl Params {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A parameter's value.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.values.get(path)
    }

    /// Takes a value out, so that it can be changed in place.
    pub fn take(&mut self, path: &str) -> Option<Value> {
        self.values.remove(path)
    }

    /// Sets a value.
    pub fn set(&mut self, path: &str, value: Value) {
        self.values.insert(path.to_owned(), value);
    }

    /// All values in order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(path, value)| (path.as_str(), value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Bytes of all values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.values.values().map(Value::bytes).sum()
    }

    /// Copies of all values on the host.
    #[must_use]
    pub fn to_host(&self) -> BTreeMap<String, Tensor> {
        self.iter()
            .map(|(path, value)| (path.to_owned(), Tensor { shape: value.shape(), data: value.to_f32() }))
            .collect()
    }

    /// Puts host tensors on a device.
    #[must_use]
    pub fn from_host(tensors: impl IntoIterator<Item = (String, Tensor)>, device: &Device) -> Self {
        let values = tensors
            .into_iter()
            .map(|(path, tensor)| (path, Value::from_f32(tensor.data, &tensor.shape, device)))
            .collect();
        Self { values }
    }
}
