//! What each node of one step takes and holds, measured while it is walked.

use std::time::Instant;

use burn::tensor::Device;

use super::Watcher;
use crate::device;
use crate::graph::{Graph, Move, NodeId, Thing};
use crate::memory::{heap, thread_bytes};

/// What one node took and held in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeCost {
    /// Seconds of its forward, over all micro-batches.
    pub forward_secs: f64,
    /// Seconds of backward: its vjp, and what was computed or unpacked again for it.
    pub backward_secs: f64,
    /// Bytes that its value and extras hold between forward and backward, in the first micro-batch; `None` where the
    /// allocator does not see the device's memory. What a view looks into is its owner's.
    pub bytes: Option<u64>,
}

/// Times each move of a step and follows the allocator around it.
///
/// Bytes are those of the walking thread alone: the loader's threads read ahead meanwhile.
#[derive(Debug)]
pub struct Profiler<'a> {
    graph: &'a Graph,
    device: &'a Device,
    /// Whether work is queued, so that its end must be waited for.
    queued: bool,
    counted: bool,
    costs: Vec<NodeCost>,
    /// Per node: bytes that it brought and that are not freed yet.
    charges: Vec<i64>,
    /// Whether the charges may still change: until the first walk turns back.
    charging: bool,
    begun: Instant,
    bytes_before: i64,
}

impl<'a> Profiler<'a> {
    /// For the walks of one step over `graph`.
    #[must_use]
    pub fn new(graph: &'a Graph, device: &'a Device) -> Self {
        let on_heap = device::open(device::CPU).is_ok_and(|cpu| cpu == *device);
        let count = graph.nodes().len();
        Self {
            graph,
            device,
            queued: !on_heap,
            counted: on_heap && heap().live_bytes > 0,
            costs: vec![NodeCost::default(); count],
            charges: vec![0; count],
            charging: true,
            begun: Instant::now(),
            bytes_before: 0,
        }
    }

    /// Costs by [`NodeId::index`]; nodes that did not run have none.
    #[must_use]
    pub fn costs(mut self) -> Vec<NodeCost> {
        if self.counted {
            for (cost, &charge) in self.costs.iter_mut().zip(&self.charges) {
                cost.bytes = Some(u64::try_from(charge).unwrap_or(0));
            }
        }
        self.costs
    }

    fn wait(&self) {
        if self.queued {
            // A failure shows in the next move.
            drop(self.device.sync());
        }
    }

    /// Takes freed bytes off the node that brought them. A view that goes last frees what its inputs brought.
    fn release(&mut self, node: NodeId, mut bytes: i64) {
        let mut near = vec![node];
        let mut next = 0;
        while bytes > 0 && next < near.len() {
            let here = near[next];
            next += 1;
            let charge = &mut self.charges[here.index()];
            let taken = bytes.min((*charge).max(0));
            *charge -= taken;
            bytes -= taken;
            if taken == 0 || bytes > 0 {
                for &input in &self.graph.node(here).inputs {
                    if !near.contains(&input) && near.len() < FAR {
                        near.push(input);
                    }
                }
            }
        }
    }

    fn charge(&mut self, step: Move, grown: i64) {
        match step {
            Move::Run { node, .. } | Move::Pack(node) if grown >= 0 => {
                self.charges[node.index()] += grown;
            }
            Move::Run { node, .. }
            | Move::Pack(node)
            | Move::Drop(Thing::Value(node) | Thing::Extras(node)) => self.release(node, -grown),
            _ => {}
        }
    }
}

/// Nodes that are looked at for what a view freed.
const FAR: usize = 32;

impl Watcher for Profiler<'_> {
    fn begin(&mut self, step: Move) {
        if matches!(step, Move::Vjp(_) | Move::Recompute { .. } | Move::Unpack(_)) {
            self.charging = false;
        }
        self.bytes_before = thread_bytes();
        self.begun = Instant::now();
    }

    fn end(&mut self, step: Move) {
        self.wait();
        let secs = self.begun.elapsed().as_secs_f64();
        match step {
            Move::Run { node, .. } => self.costs[node.index()].forward_secs += secs,
            Move::Vjp(node) | Move::Recompute { node, .. } | Move::Unpack(node) => {
                self.costs[node.index()].backward_secs += secs;
            }
            _ => {}
        }
        if self.charging && self.counted {
            self.charge(step, thread_bytes() - self.bytes_before);
        }
    }

    fn walked(&mut self) {
        self.charging = false;
    }
}
