//! A fix that is being applied, as a person or a program watches it.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

use super::Session;
use crate::exit::{Exit, Failed};
use crate::facts::live::Live;
use crate::facts::{Cluster, Source};
use crate::fix::apply::{Applying, News, Pace};
use crate::fix::journal::{Begun, Ended, What};
use crate::fix::undo;
use crate::report::ApiVersion;
use crate::report::clean::{self, clean};
use crate::screen::Screen;

/// What is to be applied: all of a plan, or the rest of one that was broken off.
pub(super) struct Going<'g> {
    pub begun: &'g Begun,
    /// The id under which it began; none for a new one.
    pub id: Option<&'g str>,
    pub from: usize,
}

/// How it ended: `-o json`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Document<'d> {
    api_version: ApiVersion,
    kind: &'static str,
    id: &'d str,
    finding: &'d str,
    ended: &'static str,
    /// Why, where it is not verified.
    why: Option<String>,
    /// Whether something stands that `fix undo` can take back.
    can_be_undone: bool,
    exit_code: u8,
}

pub(super) async fn apply(
    session: &Session<'_>,
    live: &Live,
    cluster: &Cluster,
    going: Going<'_>,
) -> Result<Exit, Failed> {
    let Going { begun, id, from } = going;
    let new = format!("{}-{:x}", live.now().strftime("%Y%m%dT%H%M%SZ"), std::process::id());
    if id.is_none() {
        session.journal.write(&new, live.now(), What::Begun(Box::new(begun.clone())))?;
    }
    let id = id.unwrap_or(&new);
    let stop = Arc::new(AtomicBool::new(false));
    let listening = tokio::spawn(listen(Arc::clone(&stop), *session.screen));
    let screen = session.screen;
    let quiet = session.cli.output.quiet;
    let seen = Mutex::new(String::new());
    let tell = |news: News<'_>| {
        if let Some(line) = line(&news, quiet, &seen) {
            screen.tell(&(line + "\n"));
        }
    };
    let applying = Applying {
        live,
        cluster,
        journal: &session.journal,
        id,
        begun,
        from,
        pace: Pace::default(),
        stop: &stop,
        tell: &tell,
    };
    let ended = applying.run().await;
    listening.abort();
    let ended = ended?;
    if let (Some(undone), Ended::Verified) = (&begun.undoes, &ended) {
        session.journal.write(undone, live.now(), What::Undone { by: id.to_owned() })?;
    }
    show(session, begun, id, from, &ended)
}

/// The first interruption ends the fix after its step; the second ends the program.
async fn listen(stop: Arc<AtomicBool>, screen: Screen) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stop.swap(true, Ordering::Relaxed) {
            screen.complain("interrupted: the journal tells what was done; see `kubectl rookdoctor fix history`");
            std::process::exit(Exit::Interrupted.code().into());
        }
        screen.complain("stopping after this step; interrupt again to leave at once");
    }
}

/// What a person reads of it. A wait that sees the same as before says it once.
fn line(news: &News<'_>, quiet: bool, seen: &Mutex<String>) -> Option<String> {
    let told = |text: &str| clean(text, clean::SENTENCE);
    Some(match news {
        News::Note(text) => format!("note: {}", told(text)),
        _ if quiet => return None,
        News::Step { at, of, step } => format!("[{}/{of}] {}", at + 1, told(&step.does.english())),
        News::Waiting(text) => {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == *text {
                return None;
            }
            (*text).clone_into(&mut seen);
            format!("      … {}", told(text))
        }
        News::Done { already: true } => "      was so already".to_owned(),
        News::Done { already: false } => "      done".to_owned(),
        News::Verifying => "[verify] asking the check and its consequences again".to_owned(),
    })
}

fn show(session: &Session<'_>, begun: &Begun, id: &str, from: usize, ended: &Ended) -> Result<Exit, Failed> {
    let (exit, word, why) = match ended {
        Ended::Verified if begun.undoes.is_some() => (Exit::Healthy, "undone", None),
        Ended::Verified => (Exit::Healthy, "verified", None),
        Ended::NotVerified { left } => {
            (Exit::FixFailed, "notVerified", Some(format!("still found, or not known: {}", left.join(", "))))
        }
        Ended::Failed { step, why } => (Exit::FixFailed, "failed", Some(format!("step {}: {why}", step + 1))),
        Ended::Refused { step, why } if *step == from && from == 0 => {
            (Exit::FixNotApplied, "refused", Some(format!("before step {}: {why}", step + 1)))
        }
        Ended::Refused { step, why } => {
            (Exit::FixFailed, "refused", Some(format!("a guard stopped it before step {}: {why}", step + 1)))
        }
        Ended::Interrupted { step } if *step == begun.plan.steps.len() => {
            (Exit::Interrupted, "interrupted", Some("all steps are taken, and not yet verified".to_owned()))
        }
        Ended::Interrupted { step } => {
            (Exit::Interrupted, "interrupted", Some(format!("before step {} was done", step + 1)))
        }
    };
    let history = session.journal.history()?;
    let run = history.find(id).ok();
    let document = Document {
        api_version: ApiVersion::V1,
        kind: "Fix",
        id,
        finding: &begun.finding,
        ended: word,
        why: why.map(|why| clean(&why, clean::SENTENCE)),
        can_be_undone: begun.undoes.is_none() && run.is_some_and(|run| !undo::plan(run).steps.is_empty()),
        exit_code: exit.code(),
    };
    session.print(&document, |it| human(it, begun, exit))?;
    Ok(exit)
}

fn human(document: &Document<'_>, begun: &Begun, exit: Exit) -> String {
    let Document { id, finding, why, can_be_undone: stands, .. } = document;
    let why = why.as_deref().unwrap_or_default();
    let undo = if *stands { format!("take it back: kubectl rookdoctor fix undo {id}\n") } else { String::new() };
    let finish = format!("go on: kubectl rookdoctor fix finish {id}\n");
    let next: String = begun.plan.next.iter().map(|text| format!("next: {}\n", text.english())).collect();
    match (document.ended, exit) {
        ("verified", _) => format!("fixed and verified: {finding} ({id})\n{undo}"),
        ("undone", _) => format!("taken back ({id})\n"),
        ("notVerified", _) => format!("applied, not yet verified: {why} ({id})\n{next}{undo}"),
        ("refused", Exit::FixNotApplied) => format!("nothing was changed: {why}\n"),
        _ => format!("not finished: {why} ({id})\n{finish}{undo}{next}"),
    }
}

/// A line that a person types.
pub(super) async fn answer(question: &str) -> Result<String, Failed> {
    // A question is not a result: it goes where progress goes.
    write!(io::stderr(), "{}", clean(question, clean::SENTENCE) + " ")?;
    io::stderr().flush()?;
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = super::or_interrupt(async { Ok(read.await??) }).await?;
    Ok(line.trim().to_lowercase())
}
