//! `terway-e2e`: a cluster on this machine's kernel, to play with and to test on.

mod command;

fn main() -> std::process::ExitCode {
    command::main()
}
