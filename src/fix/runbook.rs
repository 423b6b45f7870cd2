//! What a person does where the tool does not: preconditions, commands, what to expect after each, when to stop.

use schemars::JsonSchema;
use serde::Serialize;

use crate::check::{Finding, Text};
use crate::facts::Cluster;
use crate::report::ApiVersion;
use crate::report::clean::{self, clean};
use crate::report::human::{Ink, Page};
use crate::say;

/// A remedy as steps for a person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Runbook {
    pub api_version: ApiVersion,
    pub kind: RunbookKind,
    pub finding: String,
    pub summary: String,
    /// Why the tool does not do it itself, where it could elsewhere.
    pub why_by_hand: Option<Text>,
    pub remedy: Text,
    /// What to look at first.
    pub before: Vec<Text>,
    pub steps: Vec<Instruction>,
    pub stop_when: Vec<Text>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub enum RunbookKind {
    Runbook,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Instruction {
    pub command: String,
    pub expect: Text,
}

/// The runbook of a finding, from its remedy. Without a cluster there is nothing to look at in it first.
pub fn runbook(id: &str, finding: &Finding, cluster: Option<&Cluster>, why_by_hand: Option<Text>) -> Runbook {
    let changes = finding.remedy.commands.iter().any(|command| verb(command).changes());
    let changed = cluster.filter(|_| changes);
    let code = id.split('/').next().unwrap_or_default();
    let mut before = vec![say!("read the page: kubectl rookdoctor explain {}", code)];
    if let Some(cluster) = changed {
        before.push(say!("nobody else works on this cluster: kubectl -n {} get deployments -o name, without a name that ends in -maintenance", cluster.ns));
        before.push(say!(
            "the ground holds: kubectl rookdoctor diagnose -n {} --only MON001,MON002,CEPH003 -q says what is lost already",
            cluster.ns
        ));
    }
    let mut stop_when = vec![say!("a command fails, or its answer is not what is expected here")];
    if let Some(cluster) = changed {
        stop_when.push(say!("monitors leave the quorum, or PGs become inactive, that were not so before"));
        stop_when.push(say!(
            "all is done and the finding stays: kubectl rookdoctor diagnose -n {} --only {}",
            cluster.ns,
            code
        ));
    }
    let step = |command: &String| Instruction { command: command.clone(), expect: verb(command).expect() };
    Runbook {
        api_version: ApiVersion::V1,
        kind: RunbookKind::Runbook,
        finding: id.to_owned(),
        summary: finding.summary.english(),
        why_by_hand,
        remedy: finding.remedy.summary.clone(),
        before,
        steps: finding.remedy.commands.iter().map(step).collect(),
        stop_when,
    }
}

/// What a command of a remedy does, by its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Look,
    Wait,
    Restart,
    DeletePod,
    DeleteObject,
    Edit,
    Scale,
    Node,
    CephChange,
    Host,
}

fn verb(command: &str) -> Verb {
    let words: Vec<&str> = command.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    if words.first() != Some(&"kubectl") && words.first() != Some(&"ceph") {
        return Verb::Host;
    }
    if has("exec") || words.first() == Some(&"ceph") {
        let changing = [
            "set",
            "unset",
            "rm",
            "create",
            "enable",
            "disable",
            "fail",
            "purge",
            "out",
            "in",
            "repair",
            "archive",
            "archive-all",
            "unset-group",
            "set-group",
            "destroy",
            "reweight",
            "add",
            "delete",
            "mute",
            "apply",
        ];
        let ceph =
            words.iter().position(|word| word.ends_with("ceph") || ["rbd", "rados", "radosgw-admin"].contains(word));
        let after = ceph.map_or(&words[..], |at| &words[at..]);
        let reads = after.iter().any(|word| ["ls", "get", "dump", "status", "stat", "tree", "df"].contains(word));
        return if after.iter().any(|word| changing.contains(word)) && !reads { Verb::CephChange } else { Verb::Look };
    }
    match () {
        () if has("debug") && has("rm") => Verb::Host,
        () if has("delete") && (has("pod") || has("pods") || command.contains("pod/")) => Verb::DeletePod,
        () if has("delete") => Verb::DeleteObject,
        () if has("wait") || has("status") => Verb::Wait,
        () if has("restart") => Verb::Restart,
        () if has("scale") => Verb::Scale,
        () if has("cordon") || has("uncordon") || has("drain") || has("taint") => Verb::Node,
        () if ["edit", "patch", "apply", "label", "annotate", "set", "create", "replace"].iter().any(|it| has(it)) => {
            Verb::Edit
        }
        () => Verb::Look,
    }
}

impl Verb {
    fn changes(self) -> bool {
        !matches!(self, Self::Look | Self::Wait)
    }

    fn expect(self) -> Text {
        match self {
            Self::Look => {
                say!("it only shows; compare with the evidence of the finding, and stop if it tells another story")
            }
            Self::Wait => {
                say!("it ends by itself, with \"condition met\" or \"successfully rolled out\"; not so: stop")
            }
            Self::Restart => say!("\"restarted\"; then old pods go and new ones become Ready, one after the other"),
            Self::DeletePod => say!(
                "\"deleted\"; a new pod of the same owner appears within seconds and becomes Ready before the next command"
            ),
            Self::DeleteObject => {
                say!("\"deleted\", within seconds; if it hangs, a finalizer holds it: do not remove that, stop")
            }
            Self::Edit => {
                say!("\"edited\", \"patched\", \"configured\" or the like; \"unchanged\" means that it was so before")
            }
            Self::Scale => say!("\"scaled\"; then the pods appear or go"),
            Self::Node => say!("the node is named with what was done to it; kubectl get nodes shows it"),
            Self::CephChange => say!("no error, and ceph status no worse than before within a minute"),
            Self::Host => say!("it runs on the host that the remedy names; no error"),
        }
    }
}

/// The page of a runbook.
pub fn human(runbook: &Runbook, width: usize) -> String {
    let mut page = Page::new(width);
    page.hang(&[], Ink::Bold, &clean(&runbook.finding, clean::SENTENCE));
    page.hang(&[(Ink::Plain, "  ")], Ink::Plain, &clean(&runbook.summary, clean::SENTENCE));
    if let Some(why) = &runbook.why_by_hand {
        page.label("Why the tool does not do it");
        said(&mut page, "", why);
    }
    page.label("Remedy, by hand");
    said(&mut page, "", &runbook.remedy);
    page.label("First");
    runbook.before.iter().for_each(|text| said(&mut page, "- ", text));
    for (at, step) in runbook.steps.iter().enumerate().filter(|(_, step)| step.command.len() <= clean::COMMAND) {
        page.blank();
        let number = format!("    {}. ", at + 1);
        page.hang_unwrapped(&[(Ink::Plain, &number)], Ink::Command, &clean(&step.command, clean::COMMAND));
        page.hang(&[(Ink::Plain, "       "), (Ink::Dim, "expect: ")], Ink::Plain, &step.expect.english());
    }
    page.label("Stop when");
    runbook.stop_when.iter().for_each(|text| said(&mut page, "- ", text));
    page.finish()
}

fn said(page: &mut Page, mark: &str, text: &Text) {
    page.hang(&[(Ink::Plain, "    "), (Ink::Plain, mark)], Ink::Plain, &clean(&text.english(), clean::SENTENCE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_their_words() {
        for (command, expected) in [
            ("kubectl -n a get pods -o wide", Verb::Look),
            ("kubectl -n a delete pod x", Verb::DeletePod),
            ("kubectl -n a delete job x", Verb::DeleteObject),
            ("kubectl -n a edit net-attach-def x", Verb::Edit),
            ("kubectl -n a rollout restart deployment x", Verb::Restart),
            ("kubectl -n a rollout status deployment x", Verb::Wait),
            ("kubectl -n a exec deploy/rook-ceph-operator -- ceph osd tree --conf=/x", Verb::Look),
            ("kubectl -n a exec deploy/rook-ceph-operator -- ceph osd unset noout --conf=/x", Verb::CephChange),
            ("kubectl -n a exec deploy/rook-ceph-operator -- ceph osd pool ls detail", Verb::Look),
            ("systemctl restart chronyd", Verb::Host),
            ("kubectl debug node/w1 -it --profile=sysadmin --image=busybox -- rm /host/x", Verb::Host),
            ("kubectl debug node/w1 -it --image=busybox -- ls /host/x", Verb::Look),
            ("kubectl uncordon w1", Verb::Node),
        ] {
            assert_eq!(verb(command), expected, "{command}");
        }
    }
}
