//! Fixes of the past: what they did, what they left open, and how to take them back.

use std::io::{self, IsTerminal};

use serde::Serialize;

use super::under_way::{Going, answer, apply};
use super::{Session, cluster_id};
use crate::cli::{Cli, Format};
use crate::diagnosis::Diagnosis;
use crate::exit::{Exit, Failed};
use crate::fix::journal::{Begun, Ended, Journal, Run, Stand};
use crate::fix::{Step, undo};
use crate::report::ApiVersion;
use crate::report::clean::{self, clean};
use crate::report::human::{Ink, Page};
use crate::screen::Screen;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'d> {
    api_version: ApiVersion,
    kind: &'static str,
    items: Vec<Item<'d>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'d> {
    id: &'d str,
    at: String,
    finding: &'d str,
    does: String,
    context: &'d str,
    cluster: String,
    user: &'d str,
    state: &'static str,
    why: Option<String>,
    undoes: Option<&'d str>,
    undone_by: Option<&'d str>,
    unfinished: bool,
    steps: Vec<Taken>,
}

#[derive(Serialize)]
struct Taken {
    does: String,
    state: &'static str,
}

/// Lists what the journal holds.
pub(super) fn history(cli: &Cli, screen: &Screen) -> Result<Exit, Failed> {
    let journal = Journal::of_user()?;
    let history = journal.history()?;
    if history.unreadable > 0 {
        let path = journal.path().display();
        screen.complain(&format!("{} lines of {path} could not be read and are left out", history.unreadable));
    }
    let items = history.runs.iter().map(item).collect();
    let document = Document { api_version: ApiVersion::V1, kind: "FixHistory", items };
    super::super::print(screen, cli.output.output, &document, |it| human(it, screen.width))?;
    Ok(Exit::Healthy)
}

fn item(run: &Run) -> Item<'_> {
    let Begun { finding, context, cluster, user, plan, undoes, .. } = &run.begun;
    let why = match &run.ended {
        Some(Ended::Failed { why, .. } | Ended::Refused { why, .. }) => Some(clean(why, clean::SENTENCE)),
        Some(Ended::NotVerified { left }) => Some(clean(&left.join(", "), clean::SENTENCE)),
        _ => None,
    };
    Item {
        id: &run.id,
        at: run.at.to_string(),
        finding,
        does: plan.does.english(),
        context,
        cluster: format!("{}/{}", cluster.namespace, cluster.name),
        user,
        state: run.word(),
        why,
        undoes: undoes.as_deref(),
        undone_by: run.undone_by.as_deref(),
        unfinished: run.is_unfinished(),
        steps: plan.steps.iter().zip(&run.steps).map(|(step, stand)| taken(step, stand)).collect(),
    }
}

fn taken(step: &Step, stand: &Stand) -> Taken {
    let state = match stand {
        Stand::Open => "open",
        Stand::Begun => "perhaps",
        Stand::Done => "done",
        Stand::Already => "was so",
        Stand::Failed(_) => "failed",
    };
    Taken { does: step.does.english(), state }
}

fn human(document: &Document<'_>, width: usize) -> String {
    let mut page = Page::new(width);
    if document.items.is_empty() {
        page.line("", Ink::Plain, "no fix was applied from here so far");
    }
    for item in &document.items {
        let ink = match item.state {
            "verified" | "undone" => Ink::Good,
            "refused" => Ink::Dim,
            _ => Ink::Warning,
        };
        let first = [(Ink::Bold, item.id), (Ink::Plain, "  "), (ink, item.state), (Ink::Plain, "  ")];
        page.hang(&first, Ink::Plain, &clean(item.finding, clean::SENTENCE));
        let whose = format!("{} · {} · by {}", item.context, item.cluster, item.user);
        page.hang(&[(Ink::Plain, "  ")], Ink::Dim, &clean(&whose, clean::SENTENCE));
        if let Some(why) = &item.why {
            page.hang(&[(Ink::Plain, "  ")], Ink::Plain, why);
        }
        if item.unfinished {
            steps(&mut page, &item.steps);
            page.line("  ", Ink::Command, &format!("kubectl rookdoctor fix finish {}", item.id));
            page.line("  ", Ink::Command, &format!("kubectl rookdoctor fix undo {}", item.id));
        }
    }
    page.finish()
}

fn steps(page: &mut Page, steps: &[Taken]) {
    for Taken { does, state } in steps {
        page.hang(
            &[(Ink::Plain, "    "), (Ink::Dim, &format!("{state:8}"))],
            Ink::Plain,
            &clean(does, clean::SENTENCE),
        );
    }
}

/// An earlier fix of this cluster that was broken off: nothing new begins before it is finished or taken back.
pub(super) async fn unfinished(session: &Session<'_>, diagnosis: &Diagnosis) -> Result<Option<Exit>, Failed> {
    let history = session.journal.history()?;
    let ours = cluster_id(diagnosis);
    let Some(run) = history.runs.iter().rfind(|run| run.begun.cluster == ours && run.is_unfinished()) else {
        return Ok(None);
    };
    let mut page = Page::new(session.screen.width);
    let title = format!("an earlier fix is not finished: {} ({})", run.begun.finding, run.word());
    page.hang(&[], Ink::Warning, &clean(&title, clean::SENTENCE));
    let taken: Vec<Taken> =
        run.begun.plan.steps.iter().zip(&run.steps).map(|(step, stand)| taken(step, stand)).collect();
    steps(&mut page, &taken);
    page.line("  ", Ink::Command, &format!("kubectl rookdoctor fix finish {}", run.id));
    page.line("  ", Ink::Command, &format!("kubectl rookdoctor fix undo {}", run.id));
    session.screen.tell(&page.finish());
    if !io::stdin().is_terminal() || session.cli.output.output != Format::Human {
        session.screen.complain("nothing was changed: finish or undo the earlier fix first");
        return Ok(Some(Exit::FixNotApplied));
    }
    let answer = answer("[f]inish it / [u]ndo it / [l]eave: ").await?;
    match answer.as_str() {
        "f" | "finish" => resume(session, diagnosis, run).await.map(Some),
        "u" | "undo" => take_back(session, diagnosis, run).await.map(Some),
        _ => Ok(Some(Exit::FixNotApplied)),
    }
}

pub(super) async fn finish(cli: &Cli, screen: &Screen, id: &str, yes: bool) -> Result<Exit, Failed> {
    let session = Session::open(cli, screen, false).await?;
    let history = session.journal.history()?;
    let run = history.find(id).map_err(|error| Failed::usage(anyhow::anyhow!(error)))?;
    let diagnosis = theirs(&session, run)?;
    if run.ended == Some(Ended::Verified) || run.undone_by.is_some() {
        screen.show(&format!("{} is {}: no step is left to take\n", run.id, run.word()))?;
        return Ok(Exit::Healthy);
    }
    if !said_yes(&session, yes, "Go on with this fix? [y]es / [n]o: ", &run.begun.plan.steps[run.next()..]).await? {
        return Ok(Exit::FixNotApplied);
    }
    resume(&session, diagnosis, run).await
}

pub(super) async fn undo(cli: &Cli, screen: &Screen, id: &str, yes: bool) -> Result<Exit, Failed> {
    let session = Session::open(cli, screen, false).await?;
    let history = session.journal.history()?;
    let run = history.find(id).map_err(|error| Failed::usage(anyhow::anyhow!(error)))?;
    let diagnosis = theirs(&session, run)?;
    if let Some(by) = &run.undone_by {
        screen.show(&format!("{} was taken back before, by {by}\n", run.id))?;
        return Ok(Exit::Healthy);
    }
    let plan = undo::plan(run);
    if plan.steps.is_empty() {
        screen.show(&format!("{} changed nothing that could be taken back\n", run.id))?;
        return Ok(Exit::Healthy);
    }
    if !said_yes(&session, yes, "Take this back? [y]es / [n]o: ", &plan.steps).await? {
        return Ok(Exit::FixNotApplied);
    }
    take_back(&session, diagnosis, run).await
}

/// The diagnosis of the cluster in which that fix was made.
fn theirs<'d>(session: &'d Session<'_>, run: &Run) -> Result<&'d Diagnosis, Failed> {
    let is_it = |diagnosis: &&Diagnosis| cluster_id(diagnosis) == run.begun.cluster;
    session.diagnoses.iter().find(is_it).ok_or_else(|| {
        let cluster = &run.begun.cluster;
        Failed::usage(anyhow::anyhow!(
            "{} was made in {}/{} of context {:?}, and that is not the cluster at hand: name it with --context",
            run.id,
            cluster.namespace,
            cluster.name,
            run.begun.context
        ))
    })
}

async fn said_yes(session: &Session<'_>, yes: bool, question: &str, steps: &[Step]) -> Result<bool, Failed> {
    for (at, step) in steps.iter().enumerate() {
        session.screen.complain(&format!("{}. {}", at + 1, step.does.english()));
    }
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        session.screen.complain("nothing was changed: add --yes, or answer on a terminal");
        return Ok(false);
    }
    let answer = answer(question).await?;
    Ok(answer == "y" || answer == "yes")
}

async fn resume(session: &Session<'_>, diagnosis: &Diagnosis, run: &Run) -> Result<Exit, Failed> {
    let (Some(live), Some(cluster)) = (session.opened.live(), &diagnosis.cluster) else {
        return Err(Failed::usage(anyhow::anyhow!("a recorded cluster cannot be changed")));
    };
    apply(session, live, cluster, Going { begun: &run.begun, id: Some(&run.id), from: run.next() }).await
}

async fn take_back(session: &Session<'_>, diagnosis: &Diagnosis, run: &Run) -> Result<Exit, Failed> {
    let (Some(live), Some(cluster)) = (session.opened.live(), &diagnosis.cluster) else {
        return Err(Failed::usage(anyhow::anyhow!("a recorded cluster cannot be changed")));
    };
    let user = live.user().await.unwrap_or_else(|| run.begun.user.clone());
    let begun = Begun {
        consequences: Vec::new(),
        user,
        plan: undo::plan(run),
        undoes: Some(run.id.clone()),
        ..run.begun.clone()
    };
    apply(session, live, cluster, Going { begun: &begun, id: None, from: 0 }).await
}
