//! Entry of `terway`. Whatever happens, a runtime that waits for one JSON document gets one.

use std::{io::Write as _, process::ExitCode};

use terway_cni::{
    error::Failure,
    result::Version,
    run::{Output, run},
};
use terway_dataplane::linux::direct::remover;

fn main() -> ExitCode {
    // A hook rather than an unwinding: the shipped profile aborts on panic, and the hook runs before.
    std::panic::set_hook(Box::new(|panic| {
        let failure = Failure::internal(format!("a bug in this plugin: {panic}"));
        emit(&Output::failed(&failure, Version::LATEST));
        std::process::exit(1);
    }));
    // Not a runtime's call but our own, from a DEL: see there.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == remover::ARGUMENT) {
        return match remover::help(&mut std::io::stdin().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let output = run(&|name| std::env::var_os(name), &mut std::io::stdin().lock());
    emit(&output);
    ExitCode::from(output.code)
}

/// A reader that has gone away is no reason to fail: nobody is left to be told.
fn emit(output: &Output) {
    let _ = std::io::stderr().write_all(output.stderr.as_bytes());
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(output.stdout.as_bytes());
    let _ = stdout.flush();
}
