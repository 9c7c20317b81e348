//! Runs a target: with libFuzzer where it was built by `./x fuzz`, else over given files.

#![cfg_attr(welkin_fuzz, no_main)]

/// Built by `./x fuzz`: libFuzzer has the command line, so that the target's name comes in the environment. Without one,
/// the names of all targets are told.
#[cfg(welkin_fuzz)]
mod fuzzing {
    use std::sync::OnceLock;

    use welkin_fuzz::{CANARY, TARGETS, Target};

    /// The target that is fuzzed.
    static CHOSEN: OnceLock<Target> = OnceLock::new();

    fn choose() {
        let name = std::env::var("WELKIN_FUZZ_TARGET").unwrap_or_default();
        match welkin_fuzz::find(&name) {
            Some(target) => drop(CHOSEN.set(target)),
            None => {
                [CANARY].iter().chain(TARGETS).for_each(|target| println!("{}", target.name));
                std::process::exit(0);
            }
        }
    }

    libfuzzer_sys::fuzz_target!(init: choose(), |data: &[u8]| {
        if let Some(target) = CHOSEN.get() {
            (target.run)(data);
        }
    });
}

#[cfg(not(welkin_fuzz))]
fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(target) = arguments.next().and_then(|name| welkin_fuzz::find(&name)) else {
        eprintln!("usage: welkin-fuzz TARGET FILE…");
        welkin_fuzz::TARGETS.iter().for_each(|target| eprintln!("  {}", target.name));
        return std::process::ExitCode::FAILURE;
    };
    for path in arguments {
        match std::fs::read(&path) {
            Ok(input) => (target.run)(&input),
            Err(error) => {
                eprintln!("error: cannot read {path}: {error}");
                return std::process::ExitCode::FAILURE;
            }
        }
    }
    std::process::ExitCode::SUCCESS
}
