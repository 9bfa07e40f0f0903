//! The `quorate` binary. Everything is in the library beside it.

fn main() -> std::process::ExitCode {
    quorate_node::cli::main().into()
}
