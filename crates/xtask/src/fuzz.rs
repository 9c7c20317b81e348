//! Fuzzing: builds the targets with coverage counters and has libFuzzer drive each for a while.
//!
//! The canary goes first: a target that must be found failing. Inputs that reach something new are kept beside the
//! build, so that the next run begins where this one ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use clap::Args;

use crate::run::{self, ChoreError};

/// The targets' package, its binary, and its profile.
const PACKAGE: &str = "welkin-fuzz";
/// The environment variable that names the target.
const TARGET: &str = "WELKIN_FUZZ_TARGET";
/// The target that must be found failing, and how long that takes at most.
const CANARY: (&str, u32) = ("canary", 60);
/// In place of a target's name.
const ALL: &str = "all";
/// Coverage as libFuzzer reads it, on the stable toolchain: what `cargo fuzz` asks of the compiler, without a sanitizer.
const FLAGS: &str = "--cfg welkin_fuzz -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// With a target named, build scripts and macros are built without these flags.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// One input takes this long at most, in seconds.
const INPUT_S_MAX: u32 = 25;
/// One process takes this much memory at most.
const MEMORY_MIB_MAX: u32 = 2048;

/// What to fuzz, and for how long.
#[derive(Args)]
pub struct Fuzz {
    /// The folder for the build and for what is found.
    #[arg(long)]
    out: PathBuf,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// The seed of what is tried, so that a short run tries the same again; 0 is another each time.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Targets that run at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// The target, or all of them.
    #[arg(default_value = ALL)]
    target: String,
    /// Inputs to run again, in place of fuzzing.
    inputs: Vec<PathBuf>,
}

/// Builds the targets, and fuzzes.
pub fn run(fuzz: &Fuzz) -> Result<(), ChoreError> {
    let known = build(fuzz)?;
    let is_chosen = |name: &&String| match fuzz.target.as_str() {
        ALL => *name != CANARY.0,
        target => *name == target,
    };
    let chosen: Vec<&String> = known.names.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(ChoreError::Wrong(format!(
            "there is no such target; there are: {}",
            known.names.join(" ")
        )));
    }
    if !fuzz.inputs.is_empty() {
        return chosen.iter().try_for_each(|name| known.again(name, &fuzz.inputs));
    }
    known.check_canary()?;
    let failures = each(&chosen, fuzz.jobs, |name| known.fuzz(name, fuzz.seconds, fuzz.seed));
    match failures.is_empty() {
        true => Ok(()),
        false => Err(ChoreError::Wrong(failures.join("\n"))),
    }
}

/// Does it for each name, some at a time, and gives what failed.
fn each(names: &[&String], jobs: usize, work: impl Fn(&str) -> Result<(), ChoreError> + Sync) -> Vec<String> {
    let (next, failures) = (Mutex::new(names.iter()), Mutex::new(Vec::new()));
    let take = || next.lock().ok().and_then(|mut names| names.next());
    let worker = || {
        while let Some(name) = take() {
            if let (Err(error), Ok(mut failures)) = (work(name), failures.lock()) {
                failures.push(error.to_string());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(worker);
        }
    });
    failures.into_inner().unwrap_or_default()
}

/// The built targets.
struct Built {
    program: PathBuf,
    names: Vec<String>,
    /// Committed inputs, a folder for each target.
    kept: PathBuf,
    out: PathBuf,
}

fn build(fuzz: &Fuzz) -> Result<Built, ChoreError> {
    let root = run::repository()?;
    let out = std::path::absolute(&fuzz.out).map_err(|e| run::io("find", &fuzz.out, e))?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&root).args(["build", "--quiet", "--locked", "--profile", "fuzz"]);
    command.args(["--package", PACKAGE, "--target", TRIPLE]);
    command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &out);
    run::output("cargo", &mut command)?;
    let program = out.join(TRIPLE).join("fuzz").join(PACKAGE);
    // Without a target, it tells the names of all.
    let names = run::text(PACKAGE, Command::new(&program).env_remove(TARGET))?;
    let names = names.lines().map(str::to_owned).collect();
    Ok(Built { program, names, kept: root.join("crates/fuzz/corpus"), out })
}

impl Built {
    /// Whether the fuzzer finds anything at all.
    fn check_canary(&self) -> Result<(), ChoreError> {
        let (name, seconds) = CANARY;
        let found = self.out.join("canary-");
        let output = self.drive(name, (seconds, 0), &found, &[])?;
        match output.status.success() {
            true => {
                Err(ChoreError::Wrong("the fuzzer does not find the canary: it sees no coverage".to_owned()))
            }
            false if said(&output).contains("the canary sings") => Ok(()),
            false => Err(failed(name, &output)),
        }
    }

    fn fuzz(&self, name: &str, seconds: u32, seed: u32) -> Result<(), ChoreError> {
        let (new, found) = (self.out.join("corpus").join(name), self.out.join("found"));
        for folder in [&new, &found] {
            fs::create_dir_all(folder).map_err(|e| run::io("make", folder, e))?;
        }
        let output = self.drive(
            name,
            (seconds, seed),
            &found.join(format!("{name}-")),
            &[&new, &self.kept.join(name)],
        )?;
        if !output.status.success() {
            return Err(failed(name, &output));
        }
        let said = said(&output);
        let count = |label: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(label));
            line.map_or("?", str::trim).to_owned()
        };
        let runs = count("stat::number_of_executed_units:");
        println!("  {name:<20} {runs:>9} inputs, {:>6} a second", count("stat::average_exec_per_sec:"));
        Ok(())
    }

    fn drive(
        &self,
        name: &str,
        (seconds, seed): (u32, u32),
        found: &Path,
        folders: &[&Path],
    ) -> Result<Output, ChoreError> {
        let mut command = Command::new(&self.program);
        command.env(TARGET, name).arg("-print_final_stats=1").arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-seed={seed}"));
        command.arg(format!("-timeout={INPUT_S_MAX}")).arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command.arg(format!("-artifact_prefix={}", found.display())).args(folders);
        command.output().map_err(|e| run::io("start", &self.program, e))
    }

    fn again(&self, name: &str, inputs: &[PathBuf]) -> Result<(), ChoreError> {
        let output = Command::new(&self.program).env(TARGET, name).args(inputs).output();
        let output = output.map_err(|e| run::io("start", &self.program, e))?;
        if output.status.success() { Ok(()) } else { Err(failed(name, &output)) }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What went wrong, where the input lies, and how to run it again.
fn failed(name: &str, output: &Output) -> ChoreError {
    let said = said(output);
    let lines: Vec<&str> = said.lines().collect();
    let begin = lines.iter().position(|line| line.contains("panicked at") || line.contains("ERROR:"));
    let why = lines.iter().skip(begin.unwrap_or_else(|| lines.len().saturating_sub(20))).take(4);
    let why = why.map(|line| format!("    {line}\n")).collect::<String>();
    let input = said.split_once("Test unit written to ").and_then(|(_, rest)| rest.lines().next());
    let again = input.map(|input| format!("    run it again with: ./x fuzz {name} {input}\n"));
    ChoreError::Wrong(format!(
        "the target {name} fails ({}):\n{why}{}",
        output.status,
        again.unwrap_or_default()
    ))
}
