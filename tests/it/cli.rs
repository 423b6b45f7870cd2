//! The report for people and programs, and the command line, as a user meets them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rookdoctor::check::{Check, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use rookdoctor::checks::{ALL, access, csi, ext, mon, net, node, osd, ovn};
use rookdoctor::diagnosis::{Diagnosis, Outcome, Placed, Status};
use rookdoctor::exit::Exit;
use rookdoctor::facts::{Cluster, Cost, Fact, Unknown, Why, kinds};
use rookdoctor::lang::phrase;
use rookdoctor::overview::{Listing, devices};
use rookdoctor::report::human::{Look, ascii, render};
use rookdoctor::report::json::schema;
use rookdoctor::report::{Document, FailOn, Report, Run, SourceKind, Verdict};
use rookdoctor::say;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-rookdoctor");
const NOW: &str = "2025-06-30T10:42:00Z";

/// The checks of the hand-made diagnosis: a new check changes no snapshot.
static CHECKS: &[&Check] = &[
    &access::api_unreachable::CHECK,
    &node::node_not_ready::CHECK,
    &node::node_rebooted::CHECK,
    &net::multus_init_crash::CHECK,
    &net::nad_default_route::CHECK,
    &net::sandbox_failing::CHECK,
    &ovn::kube_ovn_cni_unhealthy::CHECK,
    &ovn::stale_after_reboot::CHECK,
    &mon::quorum_lost::CHECK,
    &mon::mon_out_of_quorum::CHECK,
    &osd::osd_down::CHECK,
    &csi::controller_unhealthy::CHECK,
    &csi::csi_addons_port_conflict::CHECK,
    &csi::provisioning_failing::CHECK,
    &ext::external_unreachable::CHECK,
];

/// The program in an environment of its own.
pub fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("LANG", "C.UTF-8").env("COLUMNS", "80").env("HOME", "/nonexistent");
    command
}

pub fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn a_run() -> Run {
    Run {
        generated_at: NOW.parse().unwrap(),
        observed_at: NOW.parse().unwrap(),
        fail_on: FailOn::Warning,
        source: SourceKind::Live,
        context: Some("prod".into()),
        kubernetes_version: Some("v1.31.9".into()),
        cost: Cost { requests: 34, retries: 0, bytes: 1_234_567, exec_rung: Some("operator".into()) },
        duration: Duration::from_millis(1840),
    }
}

fn ago(minutes: i64) -> Option<Timestamp> {
    let now: Timestamp = NOW.parse().unwrap();
    Some(Timestamp::from_second(now.as_second() - 60 * minutes).unwrap())
}

fn pod(ns: &str, name: &str) -> ObjectRef {
    ObjectRef::new(kinds::POD, ns, name)
}

fn placed(check: &'static Check, finding: Finding, causes: &[(usize, &str)], consequences: &[usize]) -> Placed {
    let object = &finding.objects[0];
    Placed {
        id: format!("{}/{}/{}/{}", check.code, object.kind, object.namespace, object.name),
        check,
        finding,
        causes: causes.iter().map(|(at, because)| (*at, phrase(because))).collect(),
        consequences: consequences.to_vec(),
        not_ruled_out: Vec::new(),
    }
}

fn diagnosis(findings: Vec<Placed>, roots: Vec<usize>, blind: &[(&str, Unknown)]) -> Diagnosis {
    let found: BTreeSet<&str> = findings.iter().map(|placed| placed.check.code).collect();
    let outcome = |check: &&'static Check| {
        let blind: Vec<Unknown> =
            blind.iter().filter(|(code, _)| *code == check.code).map(|(_, unknown)| unknown.clone()).collect();
        let status = match check.code {
            code if found.contains(code) => Status::Found,
            _ if !blind.is_empty() => Status::Unknown,
            code if code.starts_with("EXT") => Status::NotApplicable,
            _ => Status::Passed,
        };
        let reason = if status == Status::NotApplicable { "not an external cluster" } else { "" };
        Outcome {
            check,
            status,
            reason: Some(reason).filter(|it| !it.is_empty()).map(phrase),
            blind,
            touched: BTreeSet::new(),
        }
    };
    Diagnosis {
        left_out: Vec::new(),
        cluster: Some(Cluster {
            ns: "rook-ceph".into(),
            name: "rook-ceph".into(),
            operator_ns: "rook-ceph".into(),
            external: false,
        }),
        object: None,
        operator_version: Some("v1.17.4".into()),
        outcomes: CHECKS.iter().map(outcome).collect(),
        findings,
        roots,
        overviews: Vec::new(),
        story: None,
        rounds: 3,
        suppressions: Ok(None),
    }
}

/// A worker rebooted: one cause, a tree below it, a second cause beside, and something that was not seen.
fn after_a_reboot() -> Diagnosis {
    let remedy = || Remedy::advice(say!("none of its own: it goes with its cause"));
    let ovs = pod("kube-system", "ovs-ovn-kc2tb");
    let stale = Finding::critical(
        ovs.clone(),
        say!("{} rebooted, and its ovs-ovn pod still serves what was true before: nothing on the node gets a pod network", "ash-w2"),
        Remedy::guided(say!("delete the ovs-ovn pod of {} and wait: kube-ovn-cni, Multus, CoreDNS, the gateway, the monitor and the OSDs there come back by themselves", "ash-w2"))
            .command("kubectl -n kube-system delete pod ovs-ovn-kc2tb")
            .command("kubectl -n kube-system get pods -o wide --field-selector spec.nodeName=ash-w2 --watch-only=false"),
    )
    .since(ago(8))
    .at([Place::node("ash-w2")])
    .evidence([
        Evidence::field(&ovs, "metadata.creationTimestamp", "2025-03-01T08:12:44Z"),
        Evidence {
            from: "log of kube-system/ovs-ovn-kc2tb/openvswitch".into(),
            field: String::new(),
            at: ago(1),
            excerpt: "2025-06-30T10:40:58.114Z|00231|rconn|WARN|unix:/var/run/openvswitch/br-int.mgmt: connection failed (No such file or directory)".into(),
        },
    ]);
    let cni = Finding::critical(
        pod("kube-system", "kube-ovn-cni-rbjp2"),
        say!("kube-ovn-cni on ash-w2 is not Ready: no packets received from gateway {}", "100.64.0.1"),
        remedy(),
    );
    let multus = Finding::critical(
        pod("kube-system", "kube-multus-ds-xz9wq"),
        say!("the init container of Multus on ash-w2 crash-loops"),
        remedy(),
    );
    let sandbox = Finding::warning(
        pod("rook-ceph", "rook-ceph-mon-b"),
        say!("sandboxes on ash-w2 fail: kube-ovn-daemon.sock: connect: connection refused"),
        remedy(),
    );
    let mon_b = Finding::warning(pod("rook-ceph", "rook-ceph-mon-b"), say!("mon b is out of quorum (a, c)"), remedy());
    let osds = Finding::critical(pod("rook-ceph", "rook-ceph-osd-1"), say!("osd.1 and osd.4 are down"), remedy());
    let rebooted = Finding::info(
        ObjectRef::node("ash-w2"),
        say!("ash-w2 rebooted 8 minutes ago"),
        Remedy::advice(say!("nothing to do")),
    );
    let stuck = Finding::warning(
        ObjectRef::new(kinds::CLAIM, "shop", "data"),
        say!("volume shop/data cannot be provisioned"),
        Remedy::guided(say!("see the provisioner's log"))
            .command("kubectl -n rook-ceph logs deploy/csi-rbdplugin-provisioner -c csi-provisioner --tail=100"),
    );
    let mut findings = vec![
        placed(&ovn::stale_after_reboot::CHECK, stale, &[], &[1, 2, 3, 4, 5]),
        placed(&ovn::kube_ovn_cni_unhealthy::CHECK, cni, &[(0, "node ash-w2")], &[3]),
        placed(&net::multus_init_crash::CHECK, multus, &[(0, "node ash-w2")], &[]),
        placed(&net::sandbox_failing::CHECK, sandbox, &[(0, "node ash-w2"), (1, "node ash-w2")], &[]),
        placed(&mon::mon_out_of_quorum::CHECK, mon_b, &[(0, "node ash-w2")], &[]),
        placed(&osd::osd_down::CHECK, osds, &[(0, "same cluster")], &[]),
        placed(&node::node_rebooted::CHECK, rebooted, &[], &[]),
        placed(&csi::provisioning_failing::CHECK, stuck, &[], &[]),
    ];
    findings[7].not_ruled_out = vec!["CSI002"];
    let log = |pod: &str| Unknown {
        fact: Fact::Log {
            ns: "rook-ceph".into(),
            pod: pod.into(),
            container: "csi-provisioner".into(),
            previous: false,
        },
        why: Why::Forbidden("pods \"log\" is forbidden: User \"ops\" cannot get resource \"pods/log\"".into()),
    };
    let blind = [("CSI002", log("provisioner-a")), ("CSI002", log("provisioner-b")), ("CSI004", log("provisioner-a"))];
    diagnosis(findings, vec![0, 7], &blind)
}

fn plain(report: &Report, width: usize, verbose: bool) -> String {
    let page = render(report, Look { width, verbose, quiet: false });
    anstream::adapter::strip_str(&page).to_string()
}

#[test]
fn the_screen_of_a_broken_cluster() {
    let report = Report::new(&after_a_reboot(), &a_run());
    insta::assert_snapshot!("screen_80", plain(&report, 80, false));
    insta::assert_snapshot!("screen_120", plain(&report, 120, false));
    insta::assert_snapshot!("screen_ascii", ascii(&plain(&report, 80, false)));
}

#[test]
fn lines_keep_to_the_width_and_commands_stay_whole() {
    let diagnosis = after_a_reboot();
    let report = Report::new(&diagnosis, &a_run());
    let commands: Vec<&String> = diagnosis.findings.iter().flat_map(|placed| &placed.finding.remedy.commands).collect();
    for width in [80, 100, 120] {
        let page = plain(&report, width, true);
        for command in &commands {
            assert!(page.lines().any(|line| line.trim() == command.as_str()), "{command} at {width}");
        }
        let is_command = |line: &str| commands.iter().any(|command| line.trim() == command.as_str());
        for line in page.lines().filter(|line| !is_command(line)) {
            assert!(textwrap::core::display_width(line) <= width, "{line} at {width}");
            assert_eq!(line, line.trim_end(), "trailing space");
        }
    }
}

#[test]
fn ascii_has_nothing_but_ascii_and_loses_no_line() {
    let page = plain(&Report::new(&after_a_reboot(), &a_run()), 80, true);
    assert!(!page.is_ascii());
    assert!(ascii(&page).is_ascii());
    assert_eq!(ascii(&page).lines().count(), page.lines().count());
}

#[test]
fn every_finding_is_on_the_screen_once() {
    let diagnosis = after_a_reboot();
    let page = plain(&Report::new(&diagnosis, &a_run()), 400, false);
    for placed in &diagnosis.findings {
        let summary = placed.finding.summary.english();
        assert_eq!(page.matches(&summary).count(), 1, "{summary}");
    }
}

#[test]
fn a_healthy_cluster_is_told_in_four_lines_at_most() {
    let reboot = Finding::info(ObjectRef::node("w2"), say!("w2 rebooted"), Remedy::advice(say!("nothing to do")));
    let findings = vec![placed(&node::node_rebooted::CHECK, reboot, &[], &[])];
    let report = Report::new(&diagnosis(findings, vec![], &[]), &a_run());
    assert_eq!((report.verdict, report.exit()), (Verdict::Healthy, Exit::Healthy));
    assert!(plain(&report, 80, false).lines().count() <= 4);
    insta::assert_snapshot!("healthy", plain(&report, 80, false));
    let quiet = render(&report, Look { width: 80, verbose: false, quiet: true });
    assert_eq!(quiet.lines().count(), 1);
    let all = plain(&report, 80, true);
    assert!(all.contains("w2 rebooted") && all.contains("✔ NET007 nad-default-route"), "{all}");
}

#[test]
fn the_verdict_and_the_exit_status_follow_from_what_was_seen() {
    let finding = |severity| {
        let finding = Finding::new(severity, pod("rook-ceph", "x"), say!("x"), Remedy::advice(say!("y")));
        placed(&osd::osd_down::CHECK, finding, &[], &[])
    };
    let sight = |severity| {
        let finding = Finding::new(severity, pod("rook-ceph", "x"), say!("x"), Remedy::advice(say!("y")));
        let about_sight: &'static Check =
            Box::leak(Box::new(Check { about_sight: true, ..access::api_unreachable::CHECK }));
        placed(about_sight, finding, &[], &[])
    };
    let lost = || Unknown { fact: Fact::Discovery, why: Why::Timeout };
    let blind = [("MON001", lost())];
    let (critical, warning, info) = (Severity::Critical, Severity::Warning, Severity::Info);
    for (findings, blind, fail_on, verdict, exit) in [
        (vec![], &blind[..0], FailOn::Warning, Verdict::Healthy, 0),
        (vec![finding(info)], &blind[..0], FailOn::Warning, Verdict::Healthy, 0),
        (vec![finding(warning)], &blind[..0], FailOn::Warning, Verdict::Warning, 1),
        (vec![finding(warning)], &blind[..], FailOn::Warning, Verdict::Warning, 1),
        (vec![finding(warning)], &blind[..0], FailOn::Critical, Verdict::Warning, 0),
        (vec![finding(warning)], &blind[..], FailOn::Critical, Verdict::Warning, 3),
        (vec![finding(critical)], &blind[..], FailOn::Critical, Verdict::Critical, 2),
        (vec![finding(critical)], &blind[..], FailOn::Never, Verdict::Critical, 0),
        (vec![], &blind[..], FailOn::Warning, Verdict::Unknown, 3),
        (vec![], &blind[..], FailOn::Never, Verdict::Unknown, 0),
        (vec![sight(warning)], &blind[..0], FailOn::Warning, Verdict::Unknown, 3),
        (vec![sight(info)], &blind[..0], FailOn::Warning, Verdict::Healthy, 0),
    ] {
        let report = Report::new(&diagnosis(findings, vec![], blind), &Run { fail_on, ..a_run() });
        assert_eq!((report.verdict, report.exit_code), (verdict, exit));
    }
    let nothing = Diagnosis { cluster: None, ..diagnosis(vec![], vec![], &[]) };
    assert_eq!(Report::new(&nothing, &a_run()).verdict, Verdict::Unknown, "no cluster is not a healthy cluster");
}

#[test]
fn the_json_keeps_to_its_schema() {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let broken = || Report::new(&after_a_reboot(), &a_run());
    let nothing = Diagnosis { cluster: None, ..diagnosis(vec![], vec![], &[]) };
    let several = Document::new(vec![broken(), Report::new(&nothing, &a_run())]);
    assert_eq!(several.exit(), Exit::Critical);
    for document in [Document::new(vec![broken()]), several] {
        let value = serde_json::to_value(&document).unwrap();
        assert!(schema.is_valid(&value), "{:?}", schema.iter_errors(&value).map(|e| e.to_string()).collect::<Vec<_>>());
    }
    assert!(!schema.is_valid(&serde_json::json!({"kind": "Diagnosis"})));
    let printed: Value = serde_json::from_slice(&run(&["schema"]).stdout).unwrap();
    assert_eq!(printed, rookdoctor::report::json::schema());
    // The version changes with every release.
    let mut report = broken();
    report.tool.version = "0.0.0".into();
    insta::assert_json_snapshot!("report", report);
}

/// Every string that can come from a cluster, hostile.
#[test]
fn hostile_text_does_not_pass_the_report() {
    let evil = "\u{1b}[31mx\u{1b}]0;t\u{7}\u{202e}\n\u{9b}2Jy\u{0}";
    let mut diagnosis = after_a_reboot();
    let cluster = diagnosis.cluster.as_mut().unwrap();
    (cluster.ns, cluster.name, cluster.operator_ns) = (evil.into(), evil.into(), evil.into());
    diagnosis.operator_version = Some(evil.into());
    for placed in &mut diagnosis.findings {
        placed.id.push_str(evil);
        let finding = &mut placed.finding;
        finding.summary = say!("{}", evil);
        finding.remedy = Remedy::guided(say!("{}", evil)).command(evil);
        finding.evidence =
            vec![Evidence { from: evil.into(), field: evil.into(), at: None, excerpt: evil.repeat(1000) }];
        finding.objects = vec![ObjectRef { api_version: evil.into(), kind: evil.into(), ..pod(evil, evil) }];
        finding.at = BTreeSet::from([Place::node(evil)]);
        placed.causes.iter_mut().for_each(|(_, because)| *because = phrase(evil));
    }
    for outcome in &mut diagnosis.outcomes {
        outcome.reason = Some(phrase(evil));
        let fact = Fact::Rows { kind: kinds::POD, ns: evil.into(), label: evil.into() };
        outcome.blind = vec![Unknown { fact, why: Why::Unreachable(evil.repeat(1000)) }];
    }
    let row =
        [evil.to_owned(), evil.repeat(1000), String::new(), evil.to_owned()].map(|cell| say!("{}", cell)).to_vec();
    let fact = Fact::Rows { kind: kinds::POD, ns: evil.into(), label: evil.into() };
    let blind = vec![Unknown { fact, why: Why::Malformed(evil.repeat(1000)) }];
    diagnosis.overviews = vec![(&devices::OVERVIEW, Listing { rows: vec![row], blind })];
    let run = Run { context: Some(evil.into()), kubernetes_version: Some(evil.into()), ..a_run() };
    let report = Report::new(&diagnosis, &run);
    strings(&serde_json::to_value(&report).unwrap(), &mut |text| {
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
        assert!(text.chars().count() <= 1001, "{} characters", text.chars().count());
    });
    let page = plain(&report, 80, true);
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'));
}

fn strings(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, visit)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, visit)),
        _ => {}
    }
}

#[test]
fn help_is_an_answer() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    insta::assert_snapshot!("help", stdout(&help));
    assert_eq!(stdout(&run(&["-h"])), stdout(&help));
    insta::assert_snapshot!("help_explain", stdout(&run(&["explain", "--help"])));
    assert!(stdout(&run(&["--version"])).starts_with("kubectl-rookdoctor 0."));
}

#[test]
fn wrong_usage_is_64_and_says_what_is_wrong() {
    for (args, part) in [
        (&["--no-such-flag"][..], "unexpected argument '--no-such-flag'"),
        (&["diagnos"], "'diagnose'"),
        (&["explain", "nad-defualt-route"], "do you mean nad-default-route"),
        (&["explain", "OSD015"], "CEPH006"),
        (&["--only", "NET999,MON"], "no check or area is called \"NET999\""),
        (&["--skip", "nonsense"], "no check or area is called \"nonsense\""),
        (&["--only", "EXT", "--skip", "EXT"], "no check is left"),
        (&["--example", "story5"], "do you mean story5-kubeovn-after-reboot"),
        (&["--example", "zzz"], "see `kubectl rookdoctor examples`"),
        (&["--bundle", "b", "diagnose", "--context", "c"], "--context connects to a live one"),
        (&["--timeout", "soon"], "not a time"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(stderr(&output).contains(part), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn what_cannot_be_opened_is_unknown() {
    let output = run(&["--bundle", "/nonexistent/bundle"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(stderr(&output).matches("No such file").count(), 1, "{}", stderr(&output));

    let output = run(&["--example", "healthy-classic-podnet", "--cluster-name", "rook-cephs"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("there is rook-ceph/rook-ceph"), "{}", stderr(&output));

    let output = run(&["--kubeconfig", "/nonexistent/kubeconfig", "-o", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["exitCode"]), (&"unknown".into(), &3.into()));
}

#[test]
fn an_example_is_diagnosed_in_every_format() {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let example = "healthy-classic-podnet";
    let json = run(&["diagnose", "--example", example, "-o", "json"]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(schema.is_valid(&report));
    assert_eq!(json.status.code(), report["exitCode"].as_i64().map(|code| code as i32));
    assert_eq!(report["cluster"]["source"], "bundle");

    let yaml: Value = serde_saphyr::from_str(&stdout(&run(&["--example", example, "-o", "yaml"]))).unwrap();
    for key in ["verdict", "findings", "checks", "cluster"] {
        assert_eq!(yaml[key], report[key], "{key}");
    }
    let human = run(&["--example", example]);
    assert_eq!(human.status, json.status);
    assert!(stdout(&human).contains("rook-ceph/rook-ceph"));
    assert!(human.stderr.is_empty(), "no progress without a terminal");
    assert_eq!(stdout(&run(&["--example", example, "-q"])).lines().count(), 1);
}

#[test]
fn only_the_chosen_checks_are_asked() {
    let output =
        run(&["--example", "healthy-classic-podnet", "--only", "EXT,NET007", "--skip", "EXT002", "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let codes: Vec<&str> =
        report["checks"].as_array().unwrap().iter().filter_map(|check| check["code"].as_str()).collect();
    assert_eq!(codes, ["NET007", "EXT001", "EXT003", "EXT004", "EXT005"]);
}

#[test]
fn colour_is_for_those_who_want_it() {
    let painted = |args: &[&str], env: &[(&str, &str)]| {
        let output =
            program().args(["--example", "healthy-classic-podnet"]).args(args).envs(env.iter().copied()).output();
        stdout(&output.unwrap()).contains('\u{1b}')
    };
    assert!(!painted(&[], &[]), "not a terminal");
    assert!(painted(&["--color", "always"], &[]));
    assert!(painted(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!painted(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(painted(&["--color", "always"], &[("NO_COLOR", "1")]), "the flag wins");
    assert!(!painted(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]), "the flag wins");
}

#[test]
fn drawings_need_a_locale_that_has_them() {
    let page = |name: &str, value: &str| {
        let args = ["--example", "healthy-classic-podnet"];
        stdout(&program().args(args).env(name, value).output().unwrap())
    };
    assert!(!page("LANG", "de_DE.UTF-8").is_ascii());
    for (name, value) in [("LC_ALL", "C"), ("LANG", "C"), ("TERM", "dumb")] {
        assert!(page(name, value).is_ascii(), "{name}={value}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    for args in [&["schema"][..], &["checks"], &["version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program().args(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
    }
}

/// An API server that accepts connections and never says a word.
fn silent_server() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

fn kubeconfig(server: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn the_time_limit_holds_against_a_silent_server() {
    let (_listener, server) = silent_server();
    let kubeconfig = kubeconfig(&server);
    let started = Instant::now();
    let output =
        program().args(["--timeout", "1s", "-o", "json", "--kubeconfig"]).arg(kubeconfig.path()).output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "unknown");
    assert_eq!(report["unknowns"][0]["why"], "timeout");
}

#[cfg(unix)]
#[test]
fn an_interrupt_is_answered_at_once() {
    let (listener, server) = silent_server();
    let kubeconfig = kubeconfig(&server);
    let mut command = program();
    command.arg("--kubeconfig").arg(kubeconfig.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let _connection = listener.accept().unwrap();
    let interrupted = Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(3), "{:?}", interrupted.elapsed());
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(stderr(&output), "error: interrupted\n");
}

#[cfg(unix)]
#[test]
fn the_usage_names_what_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, usage) in [("kubectl-rookdoctor", "kubectl rookdoctor"), ("rookdoctor", "rookdoctor")] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
        for args in [&["--help"][..], &["explain", "--help"]] {
            let output = Command::new(&link).args(args.iter().map(OsStr::new)).output().unwrap();
            assert!(stdout(&output).contains(&format!("Usage: {usage} ")), "{name} {args:?}: {}", stdout(&output));
        }
    }
}

#[test]
fn the_catalogue_and_each_page_can_be_read() {
    let checks: Value = serde_json::from_slice(&run(&["checks", "-o", "json"]).stdout).unwrap();
    assert_eq!(checks.as_array().unwrap().len(), ALL.len());
    for check in ALL {
        let page = run(&["explain", check.code]);
        assert_eq!(page.status.code(), Some(0), "{}", check.code);
        assert!(stdout(&page).contains(check.name), "{}", check.code);
    }
    assert_eq!(run(&["explain", "NET007"]).stdout, run(&["explain", "nad-default-route"]).stdout);
    let page = stdout(&run(&["explain", "net007"]));
    for part in ["What it looks at", "Confirm by hand", "Reads\n", "It may explain\n", "MON003 mons-start-slowly, at "]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
}
