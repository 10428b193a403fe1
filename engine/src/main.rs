//! `graft`: the engine's command line.

use std::process::ExitCode;

use graft_engine::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    graft_engine::cli::main()
}
