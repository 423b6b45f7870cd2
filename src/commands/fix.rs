//! `fix`: from a finding to a plan, and with the user's word to a changed cluster.

mod listing;
mod past;
mod under_way;

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use self::under_way::{Going, apply};
use super::opening::{Opened, is_there, open, or_interrupt, scope, target};
use super::progress::Progress;
use crate::checks;
use crate::cli::{Cli, DryRun, Fix, FixAction, Format};
use crate::diagnosis::{Diagnosis, Placed, Status, ask, diagnose};
use crate::exit::{Exit, Failed};
use crate::facts::live::Permission;
use crate::facts::{Cluster, Source};
use crate::fix::apply::{dry_run, permissions, refusals, unseen};
use crate::fix::journal::{Begun, ClusterId, Journal, What};
use crate::fix::preview::{self, PlanKind, Shown, ShownPermission, ShownStep};
use crate::fix::runbook::{self, runbook};
use crate::fix::script::script;
use crate::fix::{Case, Condition, Plan, Proposal, Risk};
use crate::lang::Lang;
use crate::lookup;
use crate::report::ApiVersion;
use crate::report::clean::{self, clean};
use crate::say;
use crate::screen::Screen;

pub(super) fn run(cli: &Cli, flags: &Fix, screen: &Screen) -> Result<Exit, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        match &flags.action {
            Some(FixAction::History) => past::history(cli, screen),
            Some(FixAction::Undo { id, yes }) => past::undo(cli, screen, id, *yes).await,
            Some(FixAction::Finish { id, yes }) => past::finish(cli, screen, id, *yes).await,
            None => fix(cli, flags, screen).await,
        }
    });
    runtime.shutdown_background();
    ended
}

/// What every command about fixes works with: the cluster, what was found in it, and the journal.
pub(super) struct Session<'s> {
    pub cli: &'s Cli,
    pub screen: &'s Screen,
    pub opened: Opened,
    pub diagnoses: Vec<Diagnosis>,
    pub journal: Journal,
    /// Documents that are printed as one list in the end; none where each is printed by itself.
    collected: Mutex<Option<Vec<Value>>>,
}

impl<'s> Session<'s> {
    async fn open(cli: &'s Cli, screen: &'s Screen, with_checks: bool) -> Result<Self, Failed> {
        let progress = Progress::start(screen);
        let session = or_interrupt(async {
            let opened = open(target(cli)?, cli.source.timeout).await?;
            let mut scope = scope(&cli.source);
            if let Some(namespace) = &opened.namespace {
                scope.fallback_namespace.clone_from(namespace);
            }
            let checks = if with_checks { checks::ALL } else { &[] };
            let tell = |round, facts| progress.round(round, facts);
            let diagnoses = diagnose(opened.source(), checks, &scope, &tell).await;
            is_there(&scope, &diagnoses)?;
            Ok(Self { cli, screen, opened, diagnoses, journal: Journal::of_user()?, collected: Mutex::default() })
        });
        let session = session.await;
        progress.clear();
        session
    }

    /// Prints for a person at once. A program reads one document: of several, a list in the end.
    fn print<T: Serialize>(&self, document: &T, human: impl FnOnce(&T) -> String) -> Result<(), Failed> {
        match self.collected.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(collected) => collected.push(serde_json::to_value(document)?),
            None => super::print(self.screen, self.cli.output.output, document, human)?,
        }
        Ok(())
    }

    /// From now on, what a program reads is kept for [`Self::print_collected`].
    fn collect(&self) {
        if self.cli.output.output != Format::Human {
            *self.collected.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        }
    }

    fn print_collected(&self) -> Result<(), Failed> {
        let collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(items) = collected else { return Ok(()) };
        let list = json!({"apiVersion": ApiVersion::V1, "kind": "List", "items": items});
        Ok(super::print(self.screen, self.cli.output.output, &list, ToString::to_string)?)
    }

    /// The source, with nothing remembered from the diagnosis.
    fn fresh(&self) -> Box<dyn Source + '_> {
        match self.opened.live() {
            Some(live) => Box::new(live.fresh()),
            None => Box::new(self.opened.source()),
        }
    }

    async fn propose(&self, diagnosis: &Diagnosis, placed: &Placed) -> Result<Proposal, Failed> {
        let (Some(fix), Some(cluster)) = (placed.check.fix, &diagnosis.cluster) else {
            return Ok(Proposal::Guided(say!("this needs a person's judgement")));
        };
        let history = self.journal.history()?;
        let flags_left = history.flags_left(&cluster_id(diagnosis));
        let fresh = self.fresh();
        let sighted = history.sighted(&cluster_id(diagnosis), fresh.now());
        let proposed = ask(fresh.as_ref(), cluster, self.cli.source.timeout, |facts| {
            fix(&Case {
                facts,
                check: placed.check,
                finding: &placed.finding,
                findings: &diagnosis.findings,
                flags_left: &flags_left,
                sighted: &sighted,
            })
        });
        match proposed.await {
            Ok(Proposal::Plan(mut plan)) => {
                let owners = preview::owners(&plan);
                plan.warnings.extend(owners);
                let causes = placed.causes.iter().map(|(at, _)| &diagnosis.findings[*at].id);
                let causes = causes.map(|id| say!("this follows from {}: mend that first, and it may be over", id));
                plan.warnings.extend(causes);
                Ok(Proposal::Plan(plan))
            }
            Ok(other) => Ok(other),
            Err(gap) => Ok(Proposal::Guided(say!("the plan needs what cannot be seen: {}", unseen(&gap)))),
        }
    }
}

impl Session<'_> {
    /// Writes down what was seen, for the next time. What a recording shows proves nothing later.
    fn remember(&self, diagnosis: &Diagnosis, seen: Vec<String>) -> Result<(), Failed> {
        let Some(live) = self.opened.live() else { return Ok(()) };
        let sighted = What::Sighted { cluster: cluster_id(diagnosis), seen };
        Ok(self.journal.write("seen", live.now(), sighted)?)
    }
}

pub(super) fn cluster_id(diagnosis: &Diagnosis) -> ClusterId {
    let uid = diagnosis.object.as_ref().map(|object| object.metadata.uid.clone()).unwrap_or_default();
    let (namespace, name) =
        diagnosis.cluster.as_ref().map(|cluster| (cluster.ns.clone(), cluster.name.clone())).unwrap_or_default();
    ClusterId { namespace, name, uid }
}

async fn fix(cli: &Cli, flags: &Fix, screen: &Screen) -> Result<Exit, Failed> {
    // A finding's id begins with the code of its check.
    let asked = flags.check.as_deref();
    let code = asked.map(|asked| asked.split('/').next().unwrap_or(asked));
    let check = code.map(lookup::check).transpose().map_err(Failed::usage)?;
    let id = asked.filter(|asked| asked.contains('/'));
    let session = Session::open(cli, screen, true).await?;
    let Some(check) = check else { return listing::list(&session).await };
    let mut wanted = Vec::new();
    for diagnosis in &session.diagnoses {
        let of_check = diagnosis.findings.iter().filter(|placed| placed.check == check);
        let chosen = of_check.filter(|placed| {
            let object = flags.object.as_deref();
            id.is_none_or(|id| placed.id == id) && object.is_none_or(|object| is_about(placed, object))
        });
        wanted.extend(chosen.map(|placed| (diagnosis, placed)));
    }
    let Some((first, _)) = wanted.first() else {
        return nothing_found(&session, check.code, id.or(flags.object.as_deref()));
    };
    if wanted.iter().any(|(diagnosis, _)| !std::ptr::eq(*diagnosis, *first)) {
        let error = anyhow::anyhow!("several CephClusters have findings of {}: choose one with -n", check.code);
        return Err(Failed::usage(error));
    }
    if wanted.len() > 1 {
        session.collect();
    }
    let ended = each(&session, flags, wanted).await;
    session.print_collected()?;
    ended
}

/// One after the other: the second is planned when the first is well. Where a person must act, the others go on.
async fn each(session: &Session<'_>, flags: &Fix, wanted: Vec<(&Diagnosis, &Placed)>) -> Result<Exit, Failed> {
    let mut ended = Exit::Healthy;
    for (diagnosis, placed) in wanted {
        match one(session, flags, diagnosis, placed).await? {
            Went::Fixed => {}
            Went::ByHand if flags.script || flags.dry_run.is_some() => {}
            Went::ByHand => ended = Exit::FixNotApplied,
            Went::Stopped(exit) => return Ok(exit),
        }
    }
    Ok(ended)
}

/// How it went with one finding.
enum Went {
    /// It is mended, or all that was asked for is shown.
    Fixed,
    /// A person must act, and the runbook is shown.
    ByHand,
    Stopped(Exit),
}

impl From<Exit> for Went {
    fn from(exit: Exit) -> Self {
        if exit == Exit::Healthy { Self::Fixed } else { Self::Stopped(exit) }
    }
}

/// `KIND/NAME`, where the name is that of an object, or what stands for it in the finding's id.
fn is_about(placed: &Placed, object: &str) -> bool {
    let Some((kind, name)) = object.split_once('/') else { return false };
    placed.finding.objects.iter().any(|it| {
        let named =
            it.name == name || it.stable.as_deref() == Some(name) || format!("{}/{}", it.namespace, it.name) == name;
        it.kind.eq_ignore_ascii_case(kind) && named
    })
}

fn nothing_found(session: &Session<'_>, code: &str, object: Option<&str>) -> Result<Exit, Failed> {
    let about = object.map(|object| format!(" about {object}")).unwrap_or_default();
    let outcomes = session.diagnoses.iter().flat_map(|it| &it.outcomes).filter(|it| it.check.code == code);
    let mut said = String::new();
    for outcome in outcomes {
        match outcome.status {
            Status::Unknown => {
                let error = anyhow::anyhow!("{code} could not look: {}", outcome.why());
                return Err(Failed::unseen(error));
            }
            Status::Found => {
                let found = session.diagnoses.iter().flat_map(|it| &it.findings).filter(|it| it.check.code == code);
                let ids: Vec<&str> = found.map(|placed| placed.id.as_str()).collect();
                return Err(Failed::usage(anyhow::anyhow!("{code} finds nothing{about}; there is {}", ids.join(", "))));
            }
            // Without a CephCluster nothing was asked.
            Status::NotApplicable if session.diagnoses.iter().all(|it| it.cluster.is_none()) => {
                return Err(Failed::unseen(anyhow::anyhow!("{code} was not asked: {}", outcome.why())));
            }
            Status::NotApplicable => {
                said += &format!("{code} does not apply here: {}\n", clean(&outcome.why(), clean::SENTENCE));
            }
            Status::Passed => said += &format!("{code} finds nothing: there is nothing to fix\n"),
        }
    }
    // A program reads a list without items.
    session.collect();
    match session.cli.output.output {
        Format::Human => session.screen.show(&said)?,
        _ => session.print_collected()?,
    }
    Ok(Exit::Healthy)
}

/// Plans, shows and, if the user wants it so, applies one fix.
async fn one(session: &Session<'_>, flags: &Fix, diagnosis: &Diagnosis, placed: &Placed) -> Result<Went, Failed> {
    let (plan, why) = match or_interrupt(session.propose(diagnosis, placed)).await? {
        Proposal::Plan(plan) => (Some(plan), None),
        Proposal::Guided(why) => (None, placed.check.fix.map(|_| why)),
        Proposal::Later { seen, why } => {
            session.remember(diagnosis, seen)?;
            (None, Some(why))
        }
    };
    let Some(plan) = plan else {
        let runbook = runbook(&placed.id, &placed.finding, diagnosis.cluster.as_ref(), why);
        session.print(&runbook, |it| runbook::human(it, session.screen.width))?;
        return Ok(Went::ByHand);
    };
    let Some(cluster) = &diagnosis.cluster else { return Ok(Went::ByHand) };
    if flags.script {
        session.screen.write(&script(&placed.id, &plan, cluster))?;
        return Ok(Went::Fixed);
    }
    let shown = or_interrupt(shown(session, flags, cluster, placed, &plan)).await?;
    let holds = shown.refusals.is_empty() && shown.permissions.iter().all(|it| it.allowed != Some(false));
    let format = session.cli.output.output;
    // A program that applies wants one document: how it ended.
    if !(flags.yes && holds && format != Format::Human && flags.dry_run.is_none()) {
        session.print(&shown, |it| preview::human(it, session.screen.width))?;
    }
    let refused = |why: &str| {
        session.screen.complain(&format!("nothing was changed: {why}"));
        Ok(Went::Stopped(Exit::FixNotApplied))
    };
    if !holds {
        return refused("see what does not hold now");
    }
    if flags.dry_run.is_some() {
        let failed = shown.steps.iter().any(|step| step.dry_run.as_ref().is_some_and(|said| said != preview::ACCEPTED));
        return Ok(if failed { Went::Stopped(Exit::FixNotApplied) } else { Went::Fixed });
    }
    let Some(live) = session.opened.live() else { return refused("this is a recorded cluster") };
    if let Some(exit) = past::unfinished(session, diagnosis).await? {
        return Ok(exit.into());
    }
    match confirmed(session, flags.yes, plan.risk, placed).await? {
        true => {}
        false => return refused("add --yes, or answer on a terminal"),
    }
    let below = diagnosis.findings.iter().position(|it| it.id == placed.id).map(|at| diagnosis.below(at));
    let consequences = below.into_iter().flatten().map(|at| diagnosis.findings[at].id.clone()).collect();
    let user = live.user().await.unwrap_or_else(|| "an unknown user".to_owned());
    let begun = Begun {
        finding: placed.id.clone(),
        consequences,
        context: session.opened.context.clone().unwrap_or_default(),
        cluster: cluster_id(diagnosis),
        user,
        plan,
        undoes: None,
    };
    let exit = apply(session, live, cluster, Going { begun: &begun, id: None, from: 0 }).await?;
    Ok(exit.into())
}

/// The plan with what is seen of it now.
async fn shown(
    session: &Session<'_>,
    flags: &Fix,
    cluster: &Cluster,
    placed: &Placed,
    plan: &Plan,
) -> Result<Shown, Failed> {
    let mut steps: Vec<ShownStep> = plan.steps.iter().map(|step| ShownStep::new(step, cluster)).collect();
    // What stands behind a wait may come to hold by then.
    let at_once = plan.steps.iter().take_while(|step| step.act.writes());
    let guards: Vec<_> = plan.guards.iter().chain(at_once.flat_map(|step| &step.guards)).collect();
    let fresh = session.fresh();
    let mut refusals = refusals(fresh.as_ref(), cluster, &guards).await;
    let needed = permissions(plan, cluster);
    let mut allowed = vec![None; needed.len()];
    if let Some(live) = session.opened.live() {
        let asked = join_all(needed.iter().map(|permission| live.may(permission))).await;
        for (at, may) in asked.into_iter().enumerate() {
            match may {
                Ok(may) => allowed[at] = Some(may.is_ok()),
                Err(why) => refusals.push(format!("whether you may {} could not be asked: {why}", needed[at])),
            }
        }
        if flags.dry_run == Some(DryRun::Server) && refusals.is_empty() {
            for (at, answer) in dry_run(live, plan).await {
                steps[at].dry_run = Some(answer.err().unwrap_or_else(|| preview::ACCEPTED.to_owned()));
            }
        }
    }
    let rule =
        |(permission, allowed): (&Permission, Option<bool>)| ShownPermission { rule: permission.to_string(), allowed };
    Ok(Shown {
        api_version: ApiVersion::V1,
        kind: PlanKind::Plan,
        finding: placed.id.clone(),
        code: placed.check.code.to_owned(),
        name: placed.check.name.to_owned(),
        summary: clean(&placed.finding.summary.english(), clean::SENTENCE),
        does: plan.does.clone(),
        risk: plan.risk,
        interrupts: plan.interrupts.clone(),
        warnings: plan.warnings.clone(),
        steps,
        guards: plan.guards.iter().map(Condition::text).collect(),
        permissions: needed.iter().zip(allowed).map(rule).collect(),
        refusals,
        next: plan.next.clone(),
    })
}

/// Asks on a terminal; a script says so with `--yes`, which does not cover what cannot be taken back.
async fn confirmed(session: &Session<'_>, yes: bool, risk: Risk, placed: &Placed) -> Result<bool, Failed> {
    let terminal = io::stdin().is_terminal() && session.cli.output.output == Format::Human;
    if yes && risk != Risk::Irreversible {
        return Ok(true);
    }
    if !terminal {
        return Ok(false);
    }
    let name = placed.finding.objects.first().map_or("yes", |object| object.name.as_str());
    loop {
        let question = match risk {
            Risk::Irreversible => format!("This cannot be taken back. Type {name} to go on, anything else to stop: "),
            Risk::Safe | Risk::Disruptive => "Apply? [y]es / [n]o / [e]xplain: ".to_owned(),
        };
        let answer = under_way::answer(&question).await?;
        match (risk, answer.as_str()) {
            (Risk::Irreversible, answer) => return Ok(answer == name),
            (_, "y" | "yes") => return Ok(true),
            (_, "e" | "explain") => {
                super::explain::run(placed.check.code, Format::Human, Lang::English, session.screen)?
            }
            (_, "" | "n" | "no") => return Ok(false),
            _ => {}
        }
    }
}
