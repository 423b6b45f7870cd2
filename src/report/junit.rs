//! The report as JUnit XML: one suite for each area of a cluster, one case for each check. What CI systems show.
//!
//! A finding at or above `--fail-on` is a failure, an unknown an error, a question that does not arise is skipped:
//! a build fails exactly where the exit status is not 0.

use quick_junit::{NonSuccessKind, Report as Suites, TestCase, TestCaseStatus, TestSuite};

use super::{Check, CheckStatus, Document, FailOn, Finding, Report};
use crate::check::{Area, Severity};
use crate::lookup;

/// The whole document.
pub fn junit(document: &Document) -> anyhow::Result<String> {
    let mut suites = Suites::new("kubectl-rookdoctor");
    for report in document.reports() {
        suites.add_test_suites(Area::ALL.iter().map(|area| suite(report, *area)));
    }
    Ok(suites.to_string()?)
}

fn suite(report: &Report, area: Area) -> TestSuite {
    let of_area = |check: &&Check| check.code.trim_end_matches(|c: char| c.is_ascii_digit()) == area.prefix();
    let cluster = report.cluster.as_ref().map(|it| format!("{}/{} ", it.namespace, it.name)).unwrap_or_default();
    let context = report.context.as_ref().map(|context| format!("{context} · ")).unwrap_or_default();
    let mut suite = TestSuite::new(format!("{context}{cluster}{}: {}", area.prefix(), area.title()));
    suite.add_test_cases(report.checks.iter().filter(of_area).map(|check| case(report, check)));
    suite
}

fn case(report: &Report, check: &Check) -> TestCase {
    let found: Vec<&Finding> = report.findings.iter().filter(|finding| finding.code == check.code).collect();
    let failing: Vec<&Finding> = found.iter().copied().filter(|finding| fails(finding, report.fail_on)).collect();
    let suppressed: Vec<&Finding> = found.iter().copied().filter(|finding| finding.suppressed.is_some()).collect();
    let reason = check.reason.as_deref().unwrap_or_default();
    let status = match check.status {
        _ if !failing.is_empty() => {
            let summaries: Vec<&str> = failing.iter().map(|finding| finding.summary.as_str()).collect();
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(summaries.join("; ")).set_type(kind(report, &failing));
            status.set_description(failing.iter().map(|finding| told(finding)).collect::<Vec<_>>().join("\n"));
            status
        }
        // Not to have seen is no less so because somebody knows of it.
        CheckStatus::Found if is_blind(check, &suppressed) && report.fail_on != FailOn::Never => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(decisions(&suppressed)).set_type("unknown");
            status
        }
        CheckStatus::Found if suppressed.len() == found.len() => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(decisions(&suppressed));
            status
        }
        // `--fail-on never` asks for a build that does not fail.
        CheckStatus::Unknown if report.fail_on != FailOn::Never => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(format!("unknown: {reason}")).set_type("unknown");
            status
        }
        CheckStatus::Unknown | CheckStatus::NotApplicable => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason);
            status
        }
        CheckStatus::Passed | CheckStatus::Found => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(format!("{} {}", check.code, check.name), status);
    case.set_classname(format!("rookdoctor.{}", check.code));
    if failing.is_empty() && !found.is_empty() {
        case.set_system_out(found.iter().map(|finding| told(finding)).collect::<Vec<_>>().join("\n"));
    }
    case
}

/// Why each of these is suppressed.
fn decisions(suppressed: &[&Finding]) -> String {
    let told = suppressed.iter().filter_map(|finding| {
        let suppression = finding.suppressed.as_ref()?;
        Some(format!("suppressed: {} {}: {}", finding.code, finding.object(), suppression.told().english()))
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Whether the check tells of a loss of sight that is suppressed.
fn is_blind(check: &Check, suppressed: &[&Finding]) -> bool {
    let about_sight = lookup::check(&check.code).is_ok_and(|check| check.about_sight);
    about_sight && suppressed.iter().any(|finding| finding.severity > Severity::Info)
}

fn fails(finding: &Finding, fail_on: FailOn) -> bool {
    if finding.suppressed.is_some() {
        return false;
    }
    match fail_on {
        FailOn::Warning => finding.severity >= Severity::Warning,
        FailOn::Critical => finding.severity >= Severity::Critical,
        FailOn::Never => false,
    }
}

fn kind(report: &Report, failing: &[&Finding]) -> &'static str {
    let root = failing.iter().any(|finding| report.root_causes.contains(&finding.id));
    if root { "root cause" } else { "consequence" }
}

/// The finding with its evidence, its causes and its remedy, as plain lines.
fn told(finding: &Finding) -> String {
    let mut lines = vec![format!("{} {}: {}", finding.code, finding.severity.word(), finding.summary)];
    lines.extend(finding.expired_note().map(|note| format!("  {}", note.english())));
    lines.extend(finding.suppressed.as_ref().map(|it| format!("  suppressed: {}", it.told().english())));
    for evidence in &finding.evidence {
        let field = evidence.field.as_ref().map(|field| format!(" {field}")).unwrap_or_default();
        lines.push(format!("  {}{field}: {}", evidence.from, evidence.excerpt));
    }
    lines.extend(finding.causes.iter().map(|cause| format!("  follows from {} ({})", cause.finding, cause.because)));
    if !finding.remedy.summary.is_empty() {
        lines.push(format!("  remedy: {}", finding.remedy.summary));
    }
    lines.extend(finding.remedy.commands.iter().map(|command| format!("    {command}")));
    lines.join("\n")
}
