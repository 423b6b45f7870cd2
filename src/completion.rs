//! Completion: what may stand in the place of the word that is being typed.
//!
//! `clap_complete` knows the commands, the flags and their fixed values, and the scripts of the shells, which ask this
//! program. What only we know is added here: checks, examples, fixes of the past, and what the kubeconfig and the
//! cluster hold. Whatever cannot be had in time is left out without a word: an error would land in the line that is
//! being typed.

mod man;
mod scripts;
mod values;

use std::env;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use clap_complete::env::CompleteEnv;

use crate::cli::{self, Cli};
use crate::report::clean::clean;

pub use man::man;
pub use scripts::Shell;

/// Set by the scripts of the shells. A name of our own: the usual one, `COMPLETE`, may be set for others.
const VARIABLE: &str = "KUBECTL_ROOKDOCTOR_COMPLETE";
/// Longest description beside a candidate.
const DESCRIPTION: usize = 120;

/// What kubectl does with the candidates: a bit for each, as its completion library has them.
const FILES_TOO: u8 = 0;
const NO_FILES: u8 = 4;

/// Answers the script of a shell, if that is who asks.
pub fn answered_shell() -> bool {
    let words: Vec<OsString> = env::args_os().collect();
    let typed = words.iter().position(|word| word == "--").map(|at| words[at + 1..].to_vec()).unwrap_or_default();
    let factory = || completing(&typed);
    let here = env::current_dir().ok();
    let asked = CompleteEnv::with_factory(factory).var(VARIABLE).try_complete(words, here.as_deref());
    // Nothing to complete is no error that a person should read in the middle of a line.
    asked.unwrap_or(true)
}

/// Answers `kubectl_complete-rookdoctor`: a line for each candidate, then what to do with them.
pub fn answer(words: &[OsString]) -> anyhow::Result<String> {
    let mut typed = vec![OsString::from(env!("CARGO_PKG_NAME"))];
    typed.extend_from_slice(words);
    if words.is_empty() {
        typed.push(OsString::new());
    }
    let last = typed.len() - 1;
    let is_flag = typed[last].to_string_lossy().starts_with('-');
    let wants_file = Arc::new(AtomicBool::new(false));
    let mut command = without_paths(completing(&typed), &wants_file);
    // What makes no sense has no candidates.
    let mut candidates = complete(&mut command, typed, last, None).unwrap_or_default();
    candidates.retain(|candidate| is_flag || !candidate.get_value().to_string_lossy().starts_with('-'));
    let wants_file = candidates.is_empty() && wants_file.load(Ordering::Relaxed);
    let mut answer: String = candidates.iter().map(line).collect();
    answer.push_str(&format!(":{}\n", if wants_file { FILES_TOO } else { NO_FILES }));
    Ok(answer)
}

/// A candidate and, behind a tab, what it is.
fn line(candidate: &CompletionCandidate) -> String {
    let value = candidate.get_value().to_string_lossy();
    match candidate.get_help().map(ToString::to_string).unwrap_or_default().lines().next() {
        Some(help) => format!("{value}\t{}\n", clean(help, DESCRIPTION)),
        None => format!("{value}\n"),
    }
}

/// The command line, with what may stand in each place of the line that has been typed so far.
fn completing(typed: &[OsString]) -> Command {
    let (source, command) = cli::so_far(typed);
    values::added(Cli::command(), Arc::new(source), command)
}

/// Leaves paths to the shell, which knows `~` and variables; whether one is wanted is noted.
fn without_paths(command: Command, wanted: &Arc<AtomicBool>) -> Command {
    let leave = |arg: Arg| {
        if !matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath) {
            return arg;
        }
        let wanted = Arc::clone(wanted);
        arg.add(ArgValueCompleter::new(move |_: &std::ffi::OsStr| {
            wanted.store(true, Ordering::Relaxed);
            Vec::new()
        }))
    };
    command.mut_args(leave).mut_subcommands(|sub| without_paths(sub, wanted))
}
