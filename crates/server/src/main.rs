//! The program `suyuan`: hands its arguments to [`suyuan_server::cli`].

use std::process::ExitCode;

/// Threads of the runtime free what others allocated; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    suyuan_server::cli::main()
}
