//! The report as metrics in the text format that Prometheus and the textfile collector of its node exporter read.

use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};

use super::{CheckStatus, Document, Report};
use crate::check::Severity;

/// What names the cluster in every metric.
const CLUSTER: [&str; 2] = ["ceph_namespace", "ceph_cluster"];
/// What names the Kubernetes cluster, where there are several.
const CONTEXT: &str = "context";

/// The whole document.
pub fn prometheus(document: &Document) -> anyhow::Result<String> {
    let registry = Registry::new();
    let several = document.is_of_contexts();
    let context: &[&str] = if several { &[CONTEXT] } else { &[] };
    let gauge = |name: &str, help: &str, labels: &[&str]| -> anyhow::Result<GaugeVec> {
        let gauge =
            GaugeVec::new(Opts::new(format!("rookdoctor_{name}"), help), &[context, &CLUSTER, labels].concat())?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    };
    let metrics = Metrics {
        exit: gauge("exit_code", "Exit status: 0 healthy, 1 warning, 2 critical, 3 unknown.", &[])?,
        observed: gauge("observed_timestamp_seconds", "When the cluster was seen, as Unix time.", &[])?,
        duration: gauge("duration_seconds", "How long the diagnosis took.", &[])?,
        findings: gauge(
            "findings",
            "Findings by severity, root causes and consequences, without those that are suppressed.",
            &["severity"],
        )?,
        suppressed: gauge("suppressed_findings", "Findings that are suppressed, by severity.", &["severity"])?,
        checks: gauge("checks", "Checks by how they ended.", &["status"])?,
        roots: gauge(
            "root_cause",
            "1 for each root cause; the label finding is the same from run to run.",
            &["code", "name", "severity", "finding"],
        )?,
    };
    for report in document.reports() {
        let context: Vec<&str> = report.context.as_deref().or(Some("")).filter(|_| several).into_iter().collect();
        metrics.set(report, &context);
    }
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(String::from_utf8(text)?)
}

struct Metrics {
    exit: GaugeVec,
    observed: GaugeVec,
    duration: GaugeVec,
    findings: GaugeVec,
    suppressed: GaugeVec,
    checks: GaugeVec,
    roots: GaugeVec,
}

impl Metrics {
    /// Every severity and status has its line, also with 0: an alert on an absent metric never fires.
    fn set(&self, report: &Report, context: &[&str]) {
        let (ns, name) = report.cluster.as_ref().map_or(("", ""), |it| (it.namespace.as_str(), it.name.as_str()));
        let set = |gauge: &GaugeVec, labels: &[&str], value: f64| {
            gauge.with_label_values(&[context, &[ns, name], labels].concat()).set(value);
        };
        set(&self.exit, &[], report.exit_code.into());
        set(&self.observed, &[], report.observed_at.as_second() as f64);
        set(&self.duration, &[], report.stats.duration_ms as f64 / 1000.0);
        for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
            let all = || report.findings.iter().filter(|finding| finding.severity == severity);
            let suppressed = all().filter(|finding| finding.suppressed.is_some()).count();
            set(&self.findings, &[severity.word()], (all().count() - suppressed) as f64);
            set(&self.suppressed, &[severity.word()], suppressed as f64);
        }
        for (status, word) in [
            (CheckStatus::Found, "found"),
            (CheckStatus::Passed, "passed"),
            (CheckStatus::Unknown, "unknown"),
            (CheckStatus::NotApplicable, "not-applicable"),
        ] {
            let count = report.checks.iter().filter(|check| check.status == status).count();
            set(&self.checks, &[word], count as f64);
        }
        for root in report.root_causes.iter().filter_map(|id| report.finding(id)) {
            set(&self.roots, &[&root.code, &root.name, root.severity.word(), &root.id], 1.0);
        }
    }
}
