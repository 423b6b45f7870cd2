//! A plan as a person and a program see it: each step in words, as the command that does the same, and as a diff of
//! the object.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use super::{Act, Condition, Object, Plan, Risk, Step};
use crate::check::Text;
use crate::checks::ceph::{ceph_command, quoted};
use crate::facts::Cluster;
use crate::lang::{Lang, Told};
use crate::report::ApiVersion;
use crate::report::clean::{self, clean};
use crate::report::human::{Ink, Page};

/// A plan and what was seen when it was made: `-o json`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    pub api_version: ApiVersion,
    pub kind: PlanKind,
    /// The finding that it mends.
    pub finding: String,
    pub code: String,
    pub name: String,
    /// What is wrong.
    pub summary: String,
    pub does: Text,
    pub risk: Risk,
    pub interrupts: Vec<Text>,
    pub warnings: Vec<Text>,
    pub steps: Vec<ShownStep>,
    /// What must hold before each step that changes something.
    pub guards: Vec<Text>,
    /// What the user must be allowed to do.
    pub permissions: Vec<ShownPermission>,
    /// Guards that do not hold now; the plan is not applied while there is one.
    pub refusals: Vec<String>,
    /// What to do where this does not help.
    pub next: Vec<Text>,
}

/// What a dry run says of a change that the server would make.
pub const ACCEPTED: &str = "accepted";

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub enum PlanKind {
    Plan,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownStep {
    pub does: Text,
    /// `patch`, `delete`, `evict`, `create`, `ceph`, `wait`
    pub act: &'static str,
    /// The object that it changes.
    pub object: Option<Object>,
    /// What must hold before it, beside the guards of the plan.
    pub guards: Vec<Text>,
    /// What a patch does, as JSON Patch (RFC 6902).
    pub changes: Option<Value>,
    /// What a wait waits for, and for how long at most.
    pub until: Option<Text>,
    pub at_most_seconds: Option<u64>,
    /// The commands that do the same.
    pub commands: Vec<String>,
    pub diff: Option<String>,
    /// What the server said to a dry run; null if it was not asked, or cannot be.
    pub dry_run: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShownPermission {
    pub rule: String,
    /// Null if it is not known.
    pub allowed: Option<bool>,
}

impl ShownStep {
    pub fn new(step: &Step, cluster: &Cluster) -> Self {
        let (act, object) = match &step.act {
            Act::Patch { object, .. } => ("patch", Some(object)),
            Act::Delete { object, .. } => ("delete", Some(object)),
            Act::Evict { object } => ("evict", Some(object)),
            Act::Create { object, .. } => ("create", Some(object)),
            Act::Ceph { .. } => ("ceph", None),
            Act::Wait { .. } => ("wait", None),
        };
        let (until, at_most_seconds) = match &step.act {
            Act::Wait { until, at_most_seconds } => (Some(until.text()), Some(*at_most_seconds)),
            _ => (None, None),
        };
        let changes = match &step.act {
            Act::Patch { before, after, .. } => serde_json::to_value(json_patch::diff(before, after)).ok(),
            _ => None,
        };
        Self {
            does: step.does.clone(),
            act,
            object: object.cloned(),
            guards: step.guards.iter().map(Condition::text).collect(),
            changes,
            until,
            at_most_seconds,
            commands: commands(&step.act, cluster),
            diff: diff(&step.act),
            dry_run: None,
        }
    }
}

/// The commands that do the same as a step, to be pasted.
pub fn commands(act: &Act, cluster: &Cluster) -> Vec<String> {
    match act {
        Act::Patch { object, before, after } => {
            let operations = serde_json::to_string(&json_patch::diff(before, after)).unwrap_or_default();
            let target = format!("kubectl {}patch {}", object.in_namespace(), object.kubectl_name());
            vec![format!("{target} --type=json -p {}", quoted(&operations))]
        }
        Act::Delete { object, .. } => {
            vec![format!("kubectl {}delete {}", object.in_namespace(), object.kubectl_name())]
        }
        Act::Evict { object: Object { namespace, name, .. } } => {
            let eviction = format!(
                r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{name}","namespace":"{namespace}"}}}}"#
            );
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
            vec![format!("echo '{eviction}' | kubectl create --raw {path} -f -")]
        }
        Act::Create { whole, .. } => vec![format!("echo {} | kubectl create -f -", quoted(&whole.to_string()))],
        Act::Ceph { words, .. } => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            vec![ceph_command(cluster, &words.join(" "))]
        }
        Act::Wait { until, .. } => until.command(cluster).into_iter().collect(),
    }
}

/// What changes in an object, as a unified diff of its YAML.
pub fn diff(act: &Act) -> Option<String> {
    let Act::Patch { before, after, .. } = act else { return None };
    let (before, after) = (yaml(before)?, yaml(after)?);
    let diff = TextDiff::from_lines(&before, &after);
    Some(diff.unified_diff().context_radius(3).to_string())
}

/// Without what the server keeps for itself.
fn yaml(object: &Value) -> Option<String> {
    let mut object = object.clone();
    object.as_object_mut()?.remove("status");
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for own in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"] {
            metadata.remove(own);
        }
    }
    serde_saphyr::to_string(&object).ok()
}

/// The page of a plan.
pub fn human(shown: &Shown, width: usize) -> String {
    let mut page = Page::new(width);
    let title = format!("{} {} · {}", shown.code, shown.name, shown.risk.word());
    page.hang(&[], Ink::Bold, &title);
    page.hang(&[(Ink::Plain, "  ")], Ink::Plain, &clean(&shown.summary, clean::SENTENCE));
    page.label("Plan");
    said(&mut page, "", &shown.does);
    for (at, step) in shown.steps.iter().enumerate() {
        self::step(&mut page, at, step);
    }
    section(&mut page, "Interrupted meanwhile", &shown.interrupts);
    section(&mut page, "Know before you say yes", &shown.warnings);
    page.label("Asked again before each step");
    for guard in &shown.guards {
        said(&mut page, "- ", guard);
    }
    let refused = shown.permissions.iter().filter(|it| it.allowed == Some(false));
    let refused: Vec<String> = refused.map(|it| format!("you may not {}", it.rule)).collect();
    section(&mut page, "Does not hold now", &[shown.refusals.clone(), refused].concat());
    section(&mut page, "If it does not help", &shown.next);
    page.finish()
}

fn step(page: &mut Page, at: usize, shown: &ShownStep) {
    page.blank();
    said(page, &format!("{}. ", at + 1), &shown.does);
    for guard in &shown.guards {
        page.hang(
            &[(Ink::Plain, "       "), (Ink::Dim, "only if ")],
            Ink::Dim,
            &clean(&guard.english(), clean::SENTENCE),
        );
    }
    // What takes a shell more than one command to ask is for scripts.
    let told = |command: &&String| command.len() <= clean::COMMAND && (shown.act != "wait" || !command.contains('|'));
    for command in shown.commands.iter().filter(told) {
        page.line("       ", Ink::Command, &clean(command, clean::COMMAND));
    }
    for line in shown.diff.iter().flat_map(|diff| diff.lines()).skip(2) {
        let ink = match line.chars().next() {
            Some('+') => Ink::Good,
            Some('-') => Ink::Critical,
            _ => Ink::Dim,
        };
        // A clean line loses the blanks that it begins with, which mean something in YAML.
        let (mark, rest) = line.split_at(line.chars().next().map_or(0, char::len_utf8));
        let text = rest.trim_start_matches(' ');
        let indent = " ".repeat((rest.len() - text.len()).min(40));
        page.line("       ", ink, &format!("{mark}{indent}{}", clean(text, clean::SENTENCE)));
    }
    if let Some(said) = &shown.dry_run {
        page.hang(&[(Ink::Plain, "       "), (Ink::Dim, "dry run: ")], Ink::Plain, &clean(said, clean::SENTENCE));
    }
}

fn section<T: Told>(page: &mut Page, title: &str, items: &[T]) {
    if items.is_empty() {
        return;
    }
    page.label(title);
    for item in items {
        said(page, "- ", item);
    }
}

fn said(page: &mut Page, mark: &str, text: &impl Told) {
    page.hang(
        &[(Ink::Plain, "    "), (Ink::Plain, mark)],
        Ink::Plain,
        &clean(&text.told_in(Lang::English), clean::SENTENCE),
    );
}

/// Plans say which object they change, and who will put it back.
pub fn owners(plan: &Plan) -> Vec<Text> {
    let mut owners: Vec<Text> = Vec::new();
    for step in &plan.steps {
        let (object, whole) = match &step.act {
            Act::Patch { object, before, .. } => (object, before),
            Act::Delete { object, saved: Some(saved) } => (object, saved),
            _ => continue,
        };
        let Some(owner) = Object::owner_outside(whole) else { continue };
        let warning = crate::say!(
            "{} belongs to {}, which will put it back: make the same change there, or it comes undone at the next sync",
            object,
            owner
        );
        if !owners.contains(&warning) {
            owners.push(warning);
        }
    }
    owners
}
