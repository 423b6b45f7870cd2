//! Reports for the tests of these modules.

use jiff::Timestamp;

use crate::check::{FixKind, Severity};
use crate::report::{ApiVersion, Cause, FailOn, Finding, Kind, Object, Remedy, Report, Stats, Tool, Verdict};

/// A finding of this code with these causes, by their places.
pub struct Told<'t>(pub &'t str, pub Severity, pub &'t [usize]);

/// Those without causes are root causes.
pub fn report(told: &[Told<'_>]) -> Report {
    let id = |at: usize| format!("{}/Node/n{at}", told[at].0);
    let finding = |(at, Told(code, severity, causes)): (usize, &Told<'_>)| Finding {
        id: id(at),
        code: (*code).to_owned(),
        name: "name".into(),
        area: code.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(),
        severity: *severity,
        since: None,
        summary: format!("finding {at}"),
        objects: vec![Object {
            api_version: "v1".into(),
            kind: "Node".into(),
            namespace: None,
            name: format!("n{at}"),
        }],
        at: Vec::new(),
        evidence: Vec::new(),
        causes: causes.iter().map(|&cause| Cause { finding: id(cause), because: format!("node n{cause}") }).collect(),
        consequences: (0..told.len()).filter(|&effect| told[effect].2.contains(&at)).map(id).collect(),
        unexplained: false,
        not_ruled_out: Vec::new(),
        remedy: Remedy { summary: "do".into(), commands: Vec::new(), fix: FixKind::Advice },
        suppressed: None,
        expired_suppression: None,
    };
    Report {
        api_version: ApiVersion::V1,
        kind: Kind::Diagnosis,
        generated_at: Timestamp::UNIX_EPOCH,
        observed_at: Timestamp::UNIX_EPOCH,
        tool: Tool { version: "0".into() },
        exit_code: 2,
        fail_on: FailOn::Warning,
        cluster: None,
        context: None,
        recording: None,
        verdict: Verdict::Critical,
        root_causes: (0..told.len()).filter(|&at| told[at].2.is_empty()).map(id).collect(),
        findings: told.iter().enumerate().map(finding).collect(),
        checks: Vec::new(),
        unknowns: Vec::new(),
        suppressions: crate::report::Suppressions::default(),
        overviews: Vec::new(),
        timeline: None,
        stats: Stats { duration_ms: 0, requests: 0, retries: 0, bytes: 0, rounds: 0, exec_rung: None },
        lang: crate::lang::Lang::English,
    }
}
