use std::collections::BTreeMap;

use super::{daemon_of, restarted_lately, rook_pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Log, LogLine, OPEN_AT_MOST};
use crate::lang::Words;
use crate::say;

check! {
    /// # What it looks at
    /// The logs of Ceph daemons that crash or restarted within two days, and of OSD prepare jobs that failed, for what
    /// they say when the host refuses them something: `io_setup(2) failed with EAGAIN` (fs.aio-max-nr),
    /// `Too many open files` (open files), `pthread_create failed` (threads and process ids). That containerd runs with
    /// LimitNOFILE=infinity, with which monitors burn a CPU for minutes at each start, no log says: on the host run
    /// `systemctl show containerd -p LimitNOFILE`.
    ///
    /// # Why it matters
    /// Such a limit is met when a node has many OSDs: the last ones never start, while those before run well, so it
    /// looks like a fault of the disk.
    ///
    /// # Confirm by hand
    /// On the host `sysctl fs.aio-nr fs.aio-max-nr fs.file-nr kernel.pid_max`, and
    /// `systemctl show containerd -p LimitNOFILE -p TasksMax`.
    ///
    /// # Fix
    /// Raise the limit on that host, for ever (`/etc/sysctl.d`, or a drop-in for containerd), then restart the pod.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-common-issues, "OSD prepare job fails due to low aio-max-nr setting" and "The cluster
    /// is in an unhealthy state or fails to configure when LimitNOFILE=infinity in containerd"; issue 6279.
    "NODE012" "host-limits" Node,
    needs: [MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, Logs],
    explained_by: [],
}

/// What a log says, what is short, and how to raise it on the host.
struct Limit {
    texts: &'static [&'static str],
    name: &'static str,
    what: Words,
    command: &'static str,
}

const LIMITS: &[Limit] = &[
    Limit {
        texts: &["io_setup(2) failed with EAGAIN", "increasing /proc/sys/fs/aio-max-nr"],
        name: "fs.aio-max-nr",
        what: || say!("requests of asynchronous I/O (fs.aio-max-nr)"),
        command: "echo 'fs.aio-max-nr = 1048576' | sudo tee /etc/sysctl.d/90-ceph-aio.conf && sudo sysctl --system",
    },
    Limit {
        texts: &["Too many open files"],
        name: "open-files",
        what: || say!("open files"),
        command: "sudo mkdir -p /etc/systemd/system/containerd.service.d && printf '[Service]\\nLimitNOFILE=1048576\\n' | sudo tee /etc/systemd/system/containerd.service.d/limits.conf && sudo systemctl daemon-reload && sudo systemctl restart containerd",
    },
    Limit {
        texts: &["pthread_create failed"],
        name: "threads",
        what: || say!("threads or process ids"),
        command: "sysctl kernel.pid_max kernel.threads-max; systemctl show containerd kubelet -p TasksMax",
    },
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let rook = rook_pods(facts)?;
    // Sorted so that those that do not run come first: only so many are opened.
    let mut suspects: Vec<(&PodRow, &str)> =
        rook.rows.iter().filter_map(|row| Some((*row, container(row)?))).filter(|(row, _)| is_suspect(row)).collect();
    suspects.sort_by_key(|(row, _)| row.is_well());
    suspects.truncate(OPEN_AT_MOST);
    let logs = facts.each(suspects, |facts, (row, container)| log(facts, row, container))?;
    let mut found: BTreeMap<(&str, &str), Vec<Told<'_>>> = BTreeMap::new();
    for ((row, container), log) in &logs.seen {
        if let Some((limit, line)) = told(log) {
            let evidence = Evidence::log(&row.ns, &row.name, container, line);
            found.entry((&row.node, limit.name)).or_default().push(Told { row, limit, evidence });
        }
    }
    let findings = found.into_iter().filter_map(|((node, _), told)| finding(node, told)).collect();
    Ok(Answered::judged(findings).blind(rook.blind).blind(logs.blind))
}

/// A pod, and what its log says is short.
struct Told<'s> {
    row: &'s PodRow,
    limit: &'static Limit,
    evidence: Evidence,
}

/// The container of a Ceph daemon, or of a prepare job.
fn container(row: &PodRow) -> Option<&'static str> {
    if row.name.starts_with("rook-ceph-osd-prepare-") {
        return Some("provision");
    }
    let daemon = daemon_of(row)?;
    ["mon", "mgr", "osd", "mds"].into_iter().find(|kind| daemon.to_string().starts_with(&format!("daemon:{kind}.")))
}

fn is_suspect(row: &PodRow) -> bool {
    let crashed = row.status.ends_with("CrashLoopBackOff") || row.status.ends_with("Error");
    !row.node.is_empty() && !row.is_done() && (crashed || restarted_lately(row))
}

/// The last words of the container that ended: of a pod that ended for good, and of one that never restarted,
/// the log of the present one.
fn log<'s>(facts: &Facts<'s>, row: &PodRow, container: &str) -> Result<&'s Log, Gap> {
    if row.restarts > 0 {
        facts.previous_log(&row.ns, &row.name, container)
    } else {
        facts.log(&row.ns, &row.name, container)
    }
}

fn told(log: &Log) -> Option<(&'static Limit, &LogLine)> {
    LIMITS.iter().find_map(|limit| Some((limit, log.last_of(limit.texts)?)))
}

fn finding(node: &str, told: Vec<Told<'_>>) -> Option<Finding> {
    let limit = told.first()?.limit;
    let object = ObjectRef::node(node);
    let pods: Vec<&str> = told.iter().map(|told| told.row.name.as_str()).collect();
    let summary = say!("the host {} has no more {}: {} failed", node, (limit.what)(), pods.join(", "));
    let remedy = Remedy::guided(say!("raise the limit on the host {}, then delete the pods that failed", node))
        .command(limit.command)
        .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node}"));
    let severity = if told.iter().all(|told| told.row.is_well()) { Severity::Warning } else { Severity::Critical };
    let since = told.iter().filter_map(|told| told.evidence.at).min();
    Some(
        Finding::new(severity, object, summary, remedy)
            .detail(limit.name)
            .at([Place::node(node)])
            .at(told.iter().filter_map(|told| daemon_of(told.row)))
            .since(since)
            .evidence(told.into_iter().map(|told| told.evidence)),
    )
}
