//! The fixes at hand: which finding, what it does, how far it reaches, what it needs.

use serde::Serialize;

use super::super::opening::or_interrupt;
use super::Session;
use crate::check::{FixKind, Severity};
use crate::checks::ceph::quoted;
use crate::diagnosis::{Diagnosis, Placed};
use crate::exit::{Exit, Failed};
use crate::fix::apply::permissions;
use crate::fix::{Proposal, Risk};
use crate::report::ApiVersion;
use crate::report::clean::{self, clean};
use crate::report::human::{Ink, Page};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: ApiVersion,
    kind: &'static str,
    items: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    finding: String,
    code: &'static str,
    name: &'static str,
    summary: String,
    /// Findings that explain this one: mend those first.
    explained_by: Vec<String>,
    fix: FixKind,
    does: String,
    /// Null where a person acts.
    risk: Option<Risk>,
    /// What the tool must be allowed to do.
    needs: Vec<String>,
    command: String,
}

pub(super) async fn list(session: &Session<'_>) -> Result<Exit, Failed> {
    let mut items = Vec::new();
    for diagnosis in &session.diagnoses {
        let roots = diagnosis.roots.iter().copied();
        let others = (0..diagnosis.findings.len()).filter(|at| !diagnosis.is_root(*at));
        for at in roots.chain(others) {
            let placed = &diagnosis.findings[at];
            // Advice, and what only follows from another fault and needs a person, are no fixes at hand.
            let by_hand = placed.finding.remedy.fix == FixKind::Guided && diagnosis.is_root(at);
            if placed.finding.remedy.fix == FixKind::Auto || by_hand {
                items.push(or_interrupt(item(session, diagnosis, placed)).await?);
            }
        }
    }
    let document = Document { api_version: ApiVersion::V1, kind: "FixList", items };
    super::super::print(session.screen, session.cli.output.output, &document, |it| human(it, session.screen.width))?;
    let seen = session.diagnoses.iter().any(|diagnosis| diagnosis.cluster.is_some());
    Ok(if seen { Exit::Healthy } else { Exit::Unknown })
}

async fn item(session: &Session<'_>, diagnosis: &Diagnosis, placed: &Placed) -> Result<Item, Failed> {
    let proposal = session.propose(diagnosis, placed).await?;
    let (fix, does, risk, needs) = match (&proposal, &diagnosis.cluster) {
        (Proposal::Plan(plan), Some(cluster)) => {
            let needs = permissions(plan, cluster).iter().map(ToString::to_string).collect();
            (FixKind::Auto, plan.does.english(), Some(plan.risk), needs)
        }
        _ => (FixKind::Guided, placed.finding.remedy.summary.english(), None, Vec::new()),
    };
    let several = diagnosis.findings.iter().filter(|it| it.check == placed.check).count() > 1;
    let which = if several { quoted(&placed.id) } else { placed.check.code.to_owned() };
    Ok(Item {
        finding: placed.id.clone(),
        code: placed.check.code,
        name: placed.check.name,
        summary: clean(&placed.finding.summary.english(), clean::SENTENCE),
        explained_by: placed
            .causes
            .iter()
            .map(|(at, _)| &diagnosis.findings[*at])
            .filter(|cause| cause.finding.severity > Severity::Info)
            .map(|cause| cause.id.clone())
            .collect(),
        fix,
        does: clean(&does, clean::SENTENCE),
        risk,
        needs,
        command: format!("kubectl rookdoctor fix {which}"),
    })
}

fn human(document: &Document, width: usize) -> String {
    let mut page = Page::new(width);
    let (tool, hand): (Vec<&Item>, Vec<&Item>) = document.items.iter().partition(|item| item.fix == FixKind::Auto);
    if document.items.is_empty() {
        page.line("", Ink::Plain, "there is nothing to fix");
    }
    for (title, items) in [("The tool can do", tool), ("By hand", hand)] {
        if !items.is_empty() && !page.is_empty() {
            page.blank();
        }
        if !items.is_empty() {
            page.line("", Ink::Bold, title);
        }
        for item in items {
            self::item_lines(&mut page, item);
        }
    }
    page.finish()
}

fn item_lines(page: &mut Page, item: &Item) {
    let risk = item.risk.map(|risk| format!(" · {}", risk.word())).unwrap_or_default();
    let title = format!("{} {}{risk}", item.code, item.name);
    page.blank();
    page.hang(
        &[(Ink::Plain, "  "), (Ink::Bold, &title), (Ink::Plain, "  ")],
        Ink::Dim,
        &clean(&item.finding, clean::SENTENCE),
    );
    page.hang(&[(Ink::Plain, "    ")], Ink::Plain, &item.summary);
    page.hang(&[(Ink::Plain, "    → ")], Ink::Plain, &item.does);
    if let Some(cause) = item.explained_by.first() {
        page.hang(
            &[(Ink::Plain, "    ")],
            Ink::Dim,
            &clean(&format!("follows from {cause}: mend that first"), clean::SENTENCE),
        );
    }
    page.hang_unwrapped(&[(Ink::Plain, "    ")], Ink::Command, &clean(&item.command, clean::COMMAND));
}
