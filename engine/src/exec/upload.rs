//! From a batch on the host to what a walk is handed.

use burn::tensor::Device;

use super::{Inputs, rows};
use crate::data::{Batch, Field, FieldValues};
use crate::graph::{Graph, NodeId};
use crate::tensor::Value;

/// The columns of a batch that the graph reads, on a device, and the rows that the graph sends to its branches by one
/// of them.
pub fn upload(batch: Batch, graph: &Graph, device: &Device) -> Inputs {
    upload_given(batch, graph, &[], device)
}

/// The same, and the values of `given` nodes, which the batch holds as columns under the nodes' paths.
pub fn upload_given(batch: Batch, graph: &Graph, given: &[NodeId], device: &Device) -> Inputs {
    let mut inputs = Inputs::new();
    for leaf in graph.columns() {
        let Some(value) = leaf.rows_where else { continue };
        let column = batch.columns.get(&leaf.column).and_then(|field| field.as_integers());
        if let Some(rows) = column.and_then(|column| rows(column, value)) {
            let count = rows.len();
            inputs.insert(leaf.key(), Value::from_i64(rows, &[count], device));
        }
    }
    let read = |name: &str| {
        graph.columns().any(|leaf| leaf.column == name) || given.iter().any(|id| graph.node(*id).path == name)
    };
    let folded = batch.folded;
    for (name, Field { mut shape, values }) in batch.columns.into_iter().filter(|(name, _)| read(name)) {
        if folded.contains(&name) && shape.len() > 1 {
            let rows = shape.remove(1);
            shape[0] *= rows;
        }
        let value = match values {
            FieldValues::Floats(values) => Value::from_f32(values, &shape, device),
            FieldValues::Integers(values) => Value::from_i64(values, &shape, device),
        };
        inputs.insert(name, value);
    }
    inputs
}
