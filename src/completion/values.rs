//! The values that only we know.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Command, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::check::Area;
use crate::checks;
use crate::cli::{self, Source as Flags};
use crate::commands::opening;
use crate::examples;
use crate::facts::live::{Known, Options, connect, known};
use crate::facts::{Answer, Fact, Kind, Source, Table, kinds};
use crate::fix::journal::{Journal, Run};
use crate::report::clean::clean;

/// Nobody waits longer for a word to be completed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest name of anything.
const NAME: usize = 300;

/// What may stand there, and what it is in a few words.
type Names = Vec<(String, String)>;

/// The command line with values for its flags; `source` is what was typed of the cluster.
pub(super) fn added(command: Command, source: Arc<Option<Flags>>, name: Option<String>) -> Command {
    let kubeconfig = |choose: fn(Known) -> Vec<String>| {
        let source = Arc::clone(&source);
        completer(move |_| unnamed(choose(names(source.as_ref().as_ref()))))
    };
    let live = |kind: Kind| {
        let source = Arc::clone(&source);
        completer(move |_| unnamed(read(source.as_ref().as_ref(), kind).unwrap_or_default()))
    };
    let add = |command: Command, id: &str, values: ArgValueCompleter| command.mut_arg(id, |arg| arg.add(values));
    let command = add(command, "context", kubeconfig(|known| known.contexts));
    let command = add(command, "cluster", kubeconfig(|known| known.clusters));
    let command = add(command, "contexts", kubeconfig(|known| known.contexts));
    let command = add(command, "user", kubeconfig(|known| known.users));
    let command = add(command, "namespace", live(kinds::NAMESPACE));
    let command = add(command, "operator_namespace", live(kinds::NAMESPACE));
    let command = add(command, "cluster_name", live(kinds::CEPH_CLUSTER));
    let command = add(command, "example", completer(|_| recorded()));
    let command = add(command, "only", completer(checks_and_areas));
    let command = add(command, "skip", completer(checks_and_areas));
    let command = add(command, "output", completer(move |_| formats(name.as_deref())));
    command
        .mut_subcommand("explain", |explain| add(explain, "check", completer(checks)))
        .mut_subcommand("suppress", |suppress| add(suppress, "finding", completer(checks)))
        .mut_subcommand("fix", |fix| add(fix, "check", completer(checks)).mut_subcommands(past))
}

/// `fix undo` and `fix finish` take the fixes that were made from here.
fn past(action: Command) -> Command {
    let may = match action.get_name() {
        "undo" => |run: &Run| run.undone_by.is_none(),
        "finish" => |run: &Run| run.is_unfinished(),
        _ => return action,
    };
    action.mut_arg("id", |arg| arg.add(completer(move |_| fixes(may))))
}

/// A completer of the names that begin with what was typed, in any case.
fn completer(names: impl Fn(&str) -> Names + Send + Sync + 'static) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_string_lossy();
        let begins =
            |name: &str| name.get(..typed.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(&typed));
        let names = names(&typed).into_iter();
        // A name that cannot be shown as it is would not be what is meant.
        let names = names.filter(|(name, _)| begins(name) && *name == clean(name, NAME));
        names.map(|(name, about)| CompletionCandidate::new(name).help(described(about))).collect()
    })
}

fn described(about: String) -> Option<clap::builder::StyledStr> {
    (!about.is_empty()).then(|| about.into())
}

fn unnamed(names: Vec<String>) -> Names {
    names.into_iter().map(|name| (name, String::new())).collect()
}

/// The codes, and once something is typed, the names as well: nobody chooses among three hundred.
fn checks(typed: &str) -> Names {
    let codes = checks::ALL.iter().map(|check| (check.code, check.name));
    let names = checks::ALL.iter().map(|check| (check.name, check.code)).filter(|_| !typed.is_empty());
    codes.chain(names).map(|(name, about)| (name.to_owned(), about.to_owned())).collect()
}

fn checks_and_areas(typed: &str) -> Names {
    let areas = Area::ALL.iter().map(|area| (area.prefix().to_owned(), area.title().to_owned()));
    areas.chain(checks(typed)).collect()
}

fn recorded() -> Names {
    examples::ALL.iter().map(|example| (example.name.to_owned(), example.about.to_owned())).collect()
}

fn formats(command: Option<&str>) -> Names {
    let values = cli::formats(command).iter().filter_map(ValueEnum::to_possible_value);
    let about = |value: &clap::builder::PossibleValue| value.get_help().map(ToString::to_string).unwrap_or_default();
    values.map(|value| (value.get_name().to_owned(), about(&value))).collect()
}

fn fixes(may: impl Fn(&Run) -> bool) -> Names {
    let history = Journal::of_user().and_then(|journal| journal.history());
    let runs = history.map(|history| history.runs).unwrap_or_default();
    runs.into_iter().rev().filter(may).map(|run| (run.id, run.begun.finding)).collect()
}

fn names(flags: Option<&Flags>) -> Known {
    known(flags.and_then(|flags| flags.connection.kubeconfig.as_deref())).unwrap_or_default()
}

/// The names of all objects of a kind in the cluster that is meant; none if it does not answer at once.
fn read(flags: Option<&Flags>, kind: Kind) -> Option<Vec<String>> {
    let options = Options {
        request_timeout: Some(PATIENCE),
        timeout: Some(PATIENCE),
        namespace: None,
        never_ask: true,
        ..flags.map(opening::options)?
    };
    let all = Fact::Rows { kind, ns: String::new(), label: String::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().ok()?;
    let asked = async {
        let live = connect(&options).await.ok()?;
        live.fetch(&all).await.ok()
    };
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    // A credentials plugin or a server that never answers must not hold the line back.
    runtime.shutdown_background();
    match answer.ok()??.answer {
        Answer::Rows(table) => Some(first_column(&table)),
        _ => None,
    }
}

fn first_column(table: &Table) -> Vec<String> {
    let at = table.columns.iter().position(|column| column == "Name");
    let names = at.into_iter().flat_map(|at| table.cells.iter().filter_map(move |cells| cells.get(at)?.as_str()));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}
