//! Graft's engine: the model as a graph, adapters as rewrites of it, one executor, one trainer.
//!
//! The rooms, in the order in which they may import each other: each uses only those above it.

#![cfg_attr(
    test,
    expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::float_cmp,
        reason = "tests count small things and compare exact values"
    )
)]

pub mod tensor;

pub mod memory;

pub mod device;

pub mod data;

pub mod ops;

pub mod graph;

pub mod weights;

pub mod models;

pub mod adapters;

pub mod plan;

pub mod exec;

pub mod cache;

pub mod train;

pub mod project;

pub mod runs;

pub mod bench;

pub mod export;

pub mod worker;

pub mod cli;
