//! The report as SARIF 2.1.0, which code-scanning views read: one run for each cluster, one rule for each check.

use serde_json::{Value, json};

use super::{Check, Document, Finding, Object, Report};
use crate::check::Severity;

/// The whole document.
pub fn sarif(document: &Document) -> Value {
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": document.reports().iter().map(run).collect::<Vec<_>>(),
    })
}

fn run(report: &Report) -> Value {
    let results: Vec<Value> = report.findings.iter().map(|finding| result(report, finding)).collect();
    let notes: Vec<Value> = report
        .unknowns
        .iter()
        .map(|unseen| {
            let text = format!("{}: {}; needed: {}", unseen.fact, unseen.message, unseen.need);
            json!({"level": "warning", "message": {"text": text}})
        })
        .collect();
    let cluster = report.cluster.as_ref().map(|it| format!("{}/{}", it.namespace, it.name)).unwrap_or_default();
    let context = report.context.as_ref().map(|context| format!("{}/", escaped(context))).unwrap_or_default();
    json!({
        "tool": {"driver": {
            "name": "kubectl-rookdoctor",
            "semanticVersion": report.tool.version,
            "rules": report.checks.iter().map(rule).collect::<Vec<_>>(),
        }},
        "automationDetails": {"id": format!("rookdoctor/{context}{cluster}")},
        "invocations": [{
            "executionSuccessful": report.unknowns.is_empty(),
            "exitCode": report.exit_code,
            "toolExecutionNotifications": notes,
        }],
        "results": results,
    })
}

fn rule(check: &Check) -> Value {
    let help = format!("kubectl rookdoctor explain {}", check.code);
    json!({"id": check.code, "name": check.name, "shortDescription": {"text": check.name.replace('-', " ")},
        "help": {"text": help}})
}

fn result(report: &Report, finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Critical => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let rule = report.checks.iter().position(|check| check.code == finding.code);
    let root = report.root_causes.contains(&finding.id);
    let causes: Vec<&str> = finding.causes.iter().map(|cause| cause.finding.as_str()).collect();
    let mut result = json!({
        "ruleId": finding.code,
        "level": level,
        "message": {"text": message(finding)},
        "locations": finding.objects.iter().map(location).collect::<Vec<_>>(),
        // What is the same from run to run, so that a view tells new from known.
        "partialFingerprints": {"finding/v1": finding.id},
        "properties": {"rootCause": root, "causes": causes, "at": finding.at},
    });
    if let Some(suppression) = &finding.suppressed {
        let justification = suppression.told().english();
        result["suppressions"] = json!([{"kind": "external", "status": "accepted", "justification": justification}]);
    }
    if let Some(rule) = rule {
        result["ruleIndex"] = rule.into();
    }
    result
}

fn message(finding: &Finding) -> String {
    let mut lines = vec![finding.summary.clone()];
    lines.extend(finding.evidence.iter().map(|evidence| format!("{}: {}", evidence.from, evidence.excerpt)));
    lines.extend(finding.expired_note().map(|note| note.english()));
    lines.push(format!("Remedy: {}", finding.remedy.summary));
    lines.extend(finding.remedy.commands.iter().cloned());
    lines.join("\n")
}

/// The path of an object as a bundle has it: views want files.
fn location(object: &Object) -> Value {
    let group = object.api_version.split_once('/').map_or("core", |(group, _)| group);
    let scope = match &object.namespace {
        Some(ns) => format!("namespaces/{ns}"),
        None => "cluster-scoped-resources".to_owned(),
    };
    let name = match &object.namespace {
        Some(ns) => format!("{} {ns}/{}", object.kind, object.name),
        None => format!("{} {}", object.kind, object.name),
    };
    let path: Vec<String> =
        [&scope, group, &object.kind.to_lowercase(), &object.name].iter().map(|part| escaped(part)).collect();
    json!({
        "physicalLocation": {"artifactLocation": {"uri": format!("{}.yaml", path.join("/"))}},
        "logicalLocations": [{"fullyQualifiedName": name, "kind": "object"}],
    })
}

/// A part of a URI. The slash stays.
fn escaped(part: &str) -> String {
    let mut safe = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) => safe.push(char::from(byte)),
            byte => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    safe
}
