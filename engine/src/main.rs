//! `graft`: the engine's command line.

mod cli;

use std::process::ExitCode;

use graft_engine::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    cli::main()
}
