//! `capture`: records a live cluster in a file or a folder.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::opening::{connected, interruptible, options, scope};
use super::progress::Progress;
use crate::capture::pack::{PackError, Place, write_private};
use crate::capture::{Captured, Plan, capture};
use crate::cli::{Capture, Cli};
use crate::exit::{Exit, Failed};
use crate::facts::live::Options;
use crate::redact;
use crate::report::ApiVersion;
use crate::report::clean::clean;
use crate::report::human::bytes;
use crate::screen::Screen;

/// How many missing things one line names.
const NAMED: usize = 6;
/// Longest line of missing things.
const LINE: usize = 300;

/// What was recorded, for people and programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    api_version: ApiVersion,
    kind: &'static str,
    path: String,
    /// The context of the kubeconfig.
    cluster: String,
    capture_time: Option<Timestamp>,
    /// Of the archive.
    bytes: u64,
    /// Of the files in it.
    unpacked_bytes: u64,
    objects: usize,
    logs: usize,
    answers: usize,
    /// Whether names and addresses were replaced; keys and passwords always are.
    anonymized: bool,
    /// The file that says what stands for what.
    replaced: Option<String>,
    exit_code: u8,
    /// What could not be read.
    missing: Vec<Missing>,
}

#[derive(Debug, Serialize)]
struct Missing {
    what: String,
    why: String,
}

pub(super) fn run(cli: &Cli, flags: &Capture, screen: &Screen) -> Result<Exit, Failed> {
    let to_stdout = flags.file.as_ref().is_some_and(|file| file.as_os_str() == "-");
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(Failed::usage(anyhow::anyhow!(
            "an archive is nothing for a terminal: send it to a file or a pipe"
        )));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let progress = Progress::start(screen);
    let done = record(cli, flags, &runtime, &progress);
    // Requests that never end must not hold the end back.
    runtime.shutdown_background();
    progress.clear();
    let (summary, exit) = done?;
    if to_stdout {
        screen.tell(&human(&summary));
    } else if cli.output.quiet {
        screen.show(&format!("{}\n", clean(&summary.path, LINE)))?;
    } else {
        super::print(screen, cli.output.output, &summary, human)?;
    }
    if exit == Exit::Unknown {
        screen.complain(&shortly(&summary.missing));
    }
    Ok(exit)
}

fn record(cli: &Cli, flags: &Capture, runtime: &Runtime, progress: &Progress) -> Result<(Summary, Exit), Failed> {
    // The place is tried before anything is read.
    let unnamed = PathBuf::from(file_name("", Timestamp::now()));
    let path = flags.file.as_deref().unwrap_or(&unnamed);
    let mut place = Place::open(path, flags.overwrite).map_err(Failed::usage)?;
    let plan = Plan { anonymize: flags.anonymize, ..Plan::new(scope(&cli.source), flags.all, flags.since) };
    let (told, options) = (progress.clone(), options(&cli.source));
    let (captured, context) = runtime.block_on(interruptible(read(options, plan, told)))?;
    let at = captured.manifest.capture_time.unwrap_or_else(Timestamp::now);
    let called = if flags.anonymize { "" } else { &context };
    let path = flags.file.clone().unwrap_or_else(|| PathBuf::from(file_name(called, at)));
    place = place.renamed(&path).map_err(Failed::usage)?;
    progress.say("packing");
    let captured = Arc::new(captured);
    let size = runtime.block_on(pack(place, Arc::clone(&captured), at))?;
    let names = (!captured.replaced.is_empty() && path.as_os_str() != "-").then(|| Place::table(&path));
    if let Some(names) = &names {
        keep_names(names, &captured, flags.overwrite)?;
    }
    let missing: Vec<Missing> = captured.missing().map(|(what, why)| missing(what, why)).collect();
    let exit = if missing.is_empty() { Exit::Healthy } else { Exit::Unknown };
    let summary = Summary {
        api_version: ApiVersion::V1,
        kind: "Capture",
        path: path.display().to_string(),
        cluster: context,
        capture_time: captured.manifest.capture_time,
        bytes: size,
        unpacked_bytes: captured.counts.bytes,
        objects: captured.counts.objects,
        logs: captured.counts.logs,
        answers: captured.counts.answers,
        anonymized: flags.anonymize,
        replaced: names.map(|names| names.display().to_string()),
        exit_code: exit.code(),
        missing,
    };
    Ok((summary, exit))
}

/// What stands for what, beside the recording.
fn keep_names(path: &Path, captured: &Captured, overwrite: bool) -> Result<(), Failed> {
    if overwrite && path.is_file() {
        std::fs::remove_file(path)?;
    }
    write_private(path, redact::table(&captured.replaced).as_bytes())
        .map_err(|error| Failed::unseen(anyhow::anyhow!("cannot write {}: {error}", path.display())))
}

async fn read(options: Options, mut plan: Plan, progress: Progress) -> Result<(Captured, String), Failed> {
    let started = Instant::now();
    let live = connected(&options, plan.deadline).await?;
    // Connecting is part of the time that the user gave.
    plan.deadline = plan.deadline.saturating_sub(started.elapsed()).max(Duration::from_secs(1));
    let tell = |what: &str, count: usize, of: usize, bytes: u64| progress.captured(what, count, of, bytes);
    let captured = capture(&live, &plan, &tell).await?;
    Ok((captured, live.context().to_owned()))
}

/// Packs beside the runtime, so that an interruption is heard; what is half is gone before this ends.
async fn pack(place: Place, captured: Arc<Captured>, at: Timestamp) -> Result<u64, Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, work, to_stdout) = (Arc::clone(&stop), captured, place.is_stdout());
    let mut packing = tokio::task::spawn_blocking(move || place.fill(&work.tree, at, &seen));
    let packed = tokio::select! {
        packed = &mut packing => packed,
        Ok(()) = tokio::signal::ctrl_c() => {
            stop.store(true, Ordering::Relaxed);
            if to_stdout {
                // Whoever should read it may not, and nothing is left behind.
                return Err(Failed::interrupted());
            }
            packing.await
        }
    };
    match packed.context("packing ended early")? {
        Ok(size) => Ok(size),
        Err(PackError::Stopped) => Err(Failed::interrupted()),
        Err(error @ PackError::Exists(_)) => Err(Failed::usage(error)),
        Err(error) => Err(Failed::unseen(error)),
    }
}

/// `prod-20250304T140258Z.tar.gz`; what a file cannot be called is replaced.
fn file_name(context: &str, at: Timestamp) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = context.chars().map(plain).take(100).collect();
    let name = name.trim_matches(['-', '.']);
    let name = if name.is_empty() { "rookdoctor" } else { name };
    format!("{name}-{}.tar.gz", at.strftime("%Y%m%dT%H%M%SZ"))
}

/// An entry of the book in words.
fn missing(what: &str, why: &str) -> Missing {
    let what = match what.split_once('/') {
        Some((kind, "*")) => format!("{kind} in all namespaces"),
        Some(("log", log)) => format!("log of {log}"),
        Some(("previous log", log)) => format!("log of {log} (previous)"),
        Some(("socket", socket)) => format!("admin socket of {}", socket.rsplit('/').next().unwrap_or(socket)),
        Some((what, place)) => match place.rsplit_once('/') {
            Some(("", name)) => format!("{what} {name}"),
            Some((ns, name)) => format!("{what} {name} in {ns}"),
            None => format!("{what} in {place}"),
        },
        None => what.to_owned(),
    };
    Missing { what: clean(&what, LINE), why: clean(why, LINE) }
}

fn human(summary: &Summary) -> String {
    let Summary { path, bytes: size, unpacked_bytes, objects, logs, answers, missing, replaced, .. } = summary;
    let counted = |count: &usize, one: &str| if *count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let mut text = format!(
        "captured {} in {}\n  {}, {} unpacked: {}, {}, {} of Ceph\n",
        clean(&summary.cluster, LINE),
        clean(path, LINE),
        bytes(*size),
        bytes(*unpacked_bytes),
        counted(objects, "object"),
        counted(logs, "log"),
        counted(answers, "answer"),
    );
    text += if summary.anonymized {
        "  keys, passwords, names and addresses are replaced\n"
    } else {
        "  keys and passwords are replaced, names and addresses are not (--anonymize)\n"
    };
    if let Some(replaced) = replaced {
        text += &format!("  what stands for what, for you alone: {}\n", clean(replaced, LINE));
    }
    if !missing.is_empty() {
        text += &format!("  not captured: {}\n", missing.len());
        for (why, what) in by_reason(missing) {
            text += &format!("    {why}: {}\n", named(&what));
        }
    }
    text
}

/// What is missing for one reason, in one line for each reason.
fn by_reason(missing: &[Missing]) -> BTreeMap<&str, Vec<&str>> {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Missing { what, why } in missing {
        let word = why.split(':').next().unwrap_or(why);
        let reason = if word == "error" { why.as_str() } else { word };
        reasons.entry(reason).or_default().push(what);
    }
    reasons
}

fn named(what: &[&str]) -> String {
    let more = what.len().saturating_sub(NAMED);
    let names = what.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

fn shortly(missing: &[Missing]) -> String {
    let what: Vec<&str> = missing.iter().map(|missing| missing.what.as_str()).collect();
    format!("not everything could be captured: {}", clean(&named(&what), LINE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_cluster_and_time() {
        let at = "2025-03-04T14:02:58Z".parse().unwrap();
        for (context, name) in [
            ("prod", "prod-20250304T140258Z.tar.gz"),
            ("admin@cluster/../x", "admin-cluster-..-x-20250304T140258Z.tar.gz"),
            ("../..", "rookdoctor-20250304T140258Z.tar.gz"),
            ("", "rookdoctor-20250304T140258Z.tar.gz"),
        ] {
            assert_eq!(file_name(context, at), name);
        }
    }

    #[test]
    fn the_book_is_told_in_words() {
        let all: Vec<Missing> = [
            ("nodes", "forbidden: no"),
            ("pods/*", "forbidden"),
            ("pods/kube-system", "forbidden"),
            ("configmaps/a/one", "timeout"),
            ("nodes//w1", "timeout"),
            ("log/a/p/c", "error: 500: no route"),
            ("ceph osd tree/a", "timeout"),
            ("socket/a/p/mon/mon.a mon_status", "timeout"),
        ]
        .iter()
        .map(|(what, why)| missing(what, why))
        .collect();
        let told: Vec<String> = by_reason(&all).iter().map(|(why, what)| format!("{why}: {}", named(what))).collect();
        assert_eq!(
            told,
            [
                "error: 500: no route: log of a/p/c",
                "forbidden: nodes, pods in all namespaces, pods in kube-system",
                "timeout: configmaps one in a, nodes w1, ceph osd tree in a, admin socket of mon.a mon_status",
            ]
        );
        assert!(named(&["x"; 9]).ends_with("x and 3 more"));
    }
}
