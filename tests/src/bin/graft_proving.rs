//! `graft` with the proving graph registered: the ordinary command line on a model that it does not have.

use std::process::ExitCode;

use graft_engine::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    graft_tests::proving::make_known();
    graft_engine::cli::main()
}
