//! `rbac --check`: asks the server what the user may do.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::{asked_for, list_of, reach};
use crate::cli::{Cli, Rbac};
use crate::commands::opening::{connected, is_there, options, or_interrupt, scope};
use crate::commands::progress::Progress;
use crate::diagnosis::diagnose;
use crate::exit::{Exit, Failed};
use crate::facts::live::{Live, Permission};
use crate::facts::{Answer, Fact, Reading, Source, Why};
use crate::rbac::blind::{self, Blind};
use crate::rbac::{Places, Reach, Role, permissions, table};
use crate::report::ApiVersion;
use crate::report::clean::{SENTENCE, clean};
use crate::report::human::{Ink, Page};
use crate::screen::Screen;

/// Questions under way at once.
const AT_ONCE: usize = 16;
/// More codes than these are counted, not named.
const NAMED: usize = 12;

/// What the user may do of what this tool needs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    api_version: ApiVersion,
    kind: &'static str,
    /// As the server knows the user; none if it does not tell.
    user: Option<String>,
    exit_code: u8,
    /// Prints the roles that allow all this.
    command: String,
    /// Of the clusters that were found, or that were asked for.
    namespaces: Vec<String>,
    rules: Vec<Asked>,
}

/// One permission, and what came of asking for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    role: Role,
    /// `list pods in rook-ceph`
    rule: String,
    verb: &'static str,
    group: String,
    /// `pods/log`
    resource: String,
    /// None for all.
    namespace: Option<String>,
    #[serde(skip)]
    is_namespaced: bool,
    /// None if it could not be asked.
    allowed: Option<bool>,
    /// Why not, as far as the server tells.
    reason: String,
    #[serde(flatten)]
    blind: Blind,
}

/// What the server said: yes, or no and why; or why it could not be asked.
type Answers = BTreeMap<Permission, Result<Result<(), String>, String>>;

pub(super) fn run(cli: &Cli, flags: &Rbac, screen: &Screen) -> Result<Exit, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let progress = Progress::start(screen);
    let checked = runtime.block_on(or_interrupt(check(cli, flags)));
    // Requests that never end must not hold the end back.
    runtime.shutdown_background();
    progress.clear();
    let checked = checked?;
    crate::commands::print(screen, cli.output.output, &checked, |checked| {
        human(checked, screen.width, cli.output.verbose)
    })?;
    Ok(if checked.lacking().next().is_none() { Exit::Healthy } else { Exit::Unknown })
}

async fn check(cli: &Cli, flags: &Rbac) -> Result<Checked, Failed> {
    let end = Instant::now() + cli.source.timeout;
    let live = connected(&options(&cli.source), cli.source.timeout).await?;
    let places = places(cli, flags, &live).await?;
    let served = served(&live, end).await;
    let wanted: BTreeSet<(Role, Permission)> =
        places.iter().flat_map(|places| wanted(flags, places)).filter(|(_, one)| is_served(one, &served)).collect();
    // Who may not read everywhere may still read where it is needed.
    let narrow = places
        .iter()
        .flat_map(|places| blind::needs_of_rows(places, reach(flags)))
        .filter(|one| is_served(one, &served));
    let questions = wanted.iter().map(|(_, one)| one.clone()).chain(narrow).collect();
    let answers = ask(&live, questions, end).await;
    let rules =
        wanted.iter().map(|(role, permission)| asked(*role, permission, &places, reach(flags), &answers)).collect();
    let user = tokio::time::timeout_at(end, live.user()).await.ok().flatten();
    let namespaces = places.iter().flat_map(Places::own).map(str::to_owned).collect::<BTreeSet<String>>();
    let mut checked = Checked {
        api_version: ApiVersion::V1,
        kind: "PermissionCheck",
        user: user.map(|user| clean(&user, SENTENCE)),
        exit_code: Exit::Healthy.code(),
        command: places.first().map(|places| command(flags, places)).unwrap_or_default(),
        namespaces: namespaces.into_iter().collect(),
        rules,
    };
    if checked.lacking().next().is_some() {
        checked.exit_code = Exit::Unknown.code();
    }
    Ok(checked)
}

/// The namespaces of the CephClusters that are there; where none is seen, those that the command line means.
async fn places(cli: &Cli, flags: &Rbac, live: &Live) -> Result<Vec<Places>, Failed> {
    let mut scope = scope(&cli.source);
    live.default_namespace().clone_into(&mut scope.fallback_namespace);
    let found = diagnose(live, &[], &scope, &|_, _| {}).await;
    is_there(&scope, &found)?;
    let clusters = found.iter().filter_map(|diagnosis| diagnosis.cluster.as_ref());
    let places: Vec<Places> =
        clusters.map(|cluster| Places::new(&cluster.ns, &cluster.operator_ns, &flags.also)).collect();
    Ok(if places.is_empty() { vec![asked_for(cli, flags)] } else { places })
}

/// Commands in pods are asked for in any case: a diagnosis would run them.
fn wanted(flags: &Rbac, places: &Places) -> Vec<(Role, Permission)> {
    let roles = [Role::Read, Role::Exec].into_iter().chain(flags.fix.then_some(Role::Fix));
    let of = |role| permissions(role, places, reach(flags)).into_iter().map(move |permission| (role, permission));
    roles.flat_map(of).collect()
}

/// What the server serves, as `group/plural`; none if it does not tell.
async fn served(live: &Live, end: Instant) -> Option<BTreeSet<String>> {
    match tokio::time::timeout_at(end, live.fetch(&Fact::Discovery)).await {
        Ok(Ok(Reading { answer: Answer::Kinds(kinds), .. })) => Some(kinds),
        _ => None,
    }
}

/// Nobody lacks what is not installed.
fn is_served(permission: &Permission, served: &Option<BTreeSet<String>>) -> bool {
    let Permission { group, plural, .. } = permission;
    let is_custom = table::kind(permission).is_some_and(|kind| kind.is_custom());
    !is_custom || served.as_ref().is_none_or(|served| served.contains(&format!("{group}/{plural}")))
}

async fn ask(live: &Live, questions: BTreeSet<Permission>, end: Instant) -> Answers {
    let ask = |permission: Permission| async move {
        let answer = match tokio::time::timeout_at(end, live.may(&permission)).await {
            Ok(answer) => answer.map_err(|why| why.to_string()),
            Err(_) => Err(Why::Deadline.to_string()),
        };
        (permission, answer)
    };
    stream::iter(questions).map(ask).buffer_unordered(AT_ONCE).collect().await
}

fn asked(role: Role, permission: &Permission, places: &[Places], reach: Reach, answers: &Answers) -> Asked {
    let may = |permission: &Permission| matches!(answers.get(permission), Some(Ok(Ok(()))));
    let (allowed, reason) = match answers.get(permission) {
        Some(Ok(Ok(()))) => (Some(true), ""),
        Some(Ok(Err(reason))) => (Some(false), reason.as_str()),
        Some(Err(why)) => (None, why.as_str()),
        None => (None, ""),
    };
    let Permission { verb, group, plural, part, ns } = permission;
    Asked {
        role,
        rule: permission.to_string(),
        verb,
        group: group.clone(),
        resource: if part.is_empty() { plural.clone() } else { format!("{plural}/{part}") },
        namespace: (!ns.is_empty()).then(|| ns.clone()),
        is_namespaced: table::kind(permission).is_some_and(|kind| kind.namespaced),
        allowed,
        reason: clean(reason, SENTENCE),
        blind: if allowed == Some(true) { Blind::default() } else { blind::without(permission, places, reach, &may) },
    }
}

/// What prints the roles for the first of these clusters.
fn command(flags: &Rbac, places: &Places) -> String {
    let Places { cluster, operator, .. } = places;
    let mut command = "kubectl rookdoctor rbac".to_owned();
    for (given, flag) in [(!flags.fix, "--exec"), (flags.fix, "--fix"), (flags.namespace_only, "--namespace-only")] {
        if given {
            command += &format!(" {flag}");
        }
    }
    command += &format!(" -n {cluster}");
    if operator != cluster {
        command += &format!(" --operator-namespace {operator}");
    }
    flags.also.iter().for_each(|ns| command += &format!(" --also {ns}"));
    command + " --subject user:NAME"
}

impl Checked {
    /// What is missing, and what could not be asked.
    fn lacking(&self) -> impl Iterator<Item = &Asked> {
        self.rules.iter().filter(|rule| rule.allowed != Some(true))
    }
}

fn human(checked: &Checked, width: usize, all_codes: bool) -> String {
    let mut page = Page::new(width);
    let user = checked.user.as_deref().unwrap_or("the current user");
    let (all, lacking) = (checked.rules.len(), checked.lacking().count());
    let namespaces = checked.namespaces.join(", ");
    if lacking == 0 {
        page.line("", Ink::Bold, &format!("{user} has all {all} permissions that are needed for {namespaces}"));
        return page.finish();
    }
    page.line("", Ink::Bold, &format!("{user} lacks {lacking} of {all} permissions for {namespaces}"));
    for role in [Role::Read, Role::Exec, Role::Fix] {
        let mut lacking = checked.lacking().filter(|rule| rule.role == role).peekable();
        if lacking.peek().is_some() {
            page.heading(title(role));
        }
        lacking.for_each(|rule| line(&mut page, rule, all_codes));
    }
    page.blank();
    page.line("", Ink::Dim, "the roles that allow all this:");
    page.line("  ", Ink::Command, &checked.command);
    page.finish()
}

fn title(role: Role) -> &'static str {
    match role {
        Role::Read => "TO READ",
        Role::Exec => "TO ASK CEPH (OPTIONAL: IT REACHES KEYRINGS)",
        Role::Fix => "TO FIX",
    }
}

fn line(page: &mut Page, rule: &Asked, all_codes: bool) {
    let Asked { namespace, allowed, reason, blind, .. } = rule;
    let everywhere = if namespace.is_none() && rule.is_namespaced { " in all namespaces" } else { "" };
    let mut said = format!("{}{everywhere}", rule.rule);
    if allowed.is_none() {
        said += " could not be asked";
    }
    if !reason.is_empty() {
        said += &format!(" ({reason})");
    }
    if !blind.blinds.is_empty() {
        said += &format!(": blinds {}", named(&blind.blinds, all_codes));
    }
    if !blind.may_blind.is_empty() {
        let and = if blind.blinds.is_empty() { ":" } else { ", and" };
        said += &format!("{and} may blind {}", named(&blind.may_blind, all_codes));
    }
    page.hang(&[(Ink::Plain, "  ")], Ink::Plain, &said);
}

/// Some by name, many by number.
fn named(codes: &[&str], all: bool) -> String {
    if all || codes.len() <= NAMED { list_of(codes) } else { format!("{} checks", codes.len()) }
}
