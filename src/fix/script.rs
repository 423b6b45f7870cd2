//! A plan as a shell script that a person can review and run.

use super::preview::commands;
use super::{Act, Condition, Plan};
use crate::facts::Cluster;
use crate::report::clean::{self, clean};

/// Every command of the plan, each after the guards that a shell can ask; those that it cannot stand as comments.
pub fn script(finding: &str, plan: &Plan, cluster: &Cluster) -> String {
    let mut lines: Vec<String> = vec!["#!/usr/bin/env bash".into()];
    let comment = |lines: &mut Vec<String>, text: &str| lines.push(format!("# {}", clean(text, clean::SENTENCE)));
    comment(&mut lines, &format!("{finding}: {}", plan.does.english()));
    comment(
        &mut lines,
        "Made by `kubectl rookdoctor fix --script` from the cluster as it was then. Read it before you run it.",
    );
    for text in plan.interrupts.iter().chain(&plan.warnings) {
        comment(&mut lines, &format!("! {}", text.english()));
    }
    lines.push("set -euo pipefail".into());
    for (at, step) in plan.steps.iter().enumerate() {
        lines.push(String::new());
        comment(&mut lines, &format!("{}. {}", at + 1, step.does.english()));
        if step.act.writes() {
            for guard in plan.guards.iter().chain(&step.guards) {
                guarded(&mut lines, guard, cluster);
            }
        }
        let commands = commands(&step.act, cluster);
        match &step.act {
            Act::Wait { until, at_most_seconds } => match commands.first() {
                // `kubectl wait` fails at once while there is nothing to wait for.
                Some(command) => lines.push(format!(
                    "SECONDS=0; until {command}; do [ $SECONDS -lt {at_most_seconds} ] || exit 1; sleep 5; done"
                )),
                None => lines.push(format!("read -rp {:?}", format!("wait until {until}, then press Enter "))),
            },
            _ => lines.extend(commands),
        }
    }
    lines.push(String::new());
    let code = finding.split('/').next().unwrap_or_default();
    lines.push(format!("kubectl rookdoctor diagnose -n {} --only {code} --quiet", cluster.ns));
    lines.join("\n") + "\n"
}

fn guarded(lines: &mut Vec<String>, guard: &Condition, cluster: &Cluster) {
    let text = clean(&guard.to_string(), clean::SENTENCE);
    match guard.command(cluster) {
        Some(command) => lines
            .push(format!("{command} >/dev/null || {{ echo >&2 {:?}; exit 1; }}", format!("stopped: not so: {text}"))),
        None => lines.push(format!("# Look yourself: {text}")),
    }
}
