use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text, quote};
use crate::facts::tables::{JobRow, PodRow};
use crate::facts::{Cluster, Facts, Gap, Log, both, kinds};
use crate::say;

check! {
    /// # What it looks at
    /// The jobs `rook-ceph-osd-prepare-*`: one that failed, or whose pod ends with an error again and again;
    /// then the log of its container `provision`.
    ///
    /// # Why it matters
    /// The job makes the OSDs of a node (or of a claim). While it fails no new OSD comes from there. OSDs that
    /// exist already keep running.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get jobs,pods -l app=rook-ceph-osd-prepare` and
    /// `kubectl -n <ns> logs <pod> -c provision`.
    ///
    /// # Fix
    /// Repair what the log names, then delete the job and restart the operator, which makes a new one.
    ///
    /// # References
    /// Rook: "OSD pods are not created on my devices"; `pkg/daemon/ceph/osd/daemon.go` and `volume.go`.
    "OSD002" "osd-prepare-failed" Osd,
    needs: [PrepareJobs, PreparePods, OsdPods, Logs],
    explained_by: [
        (node::host_limits, Node), (node::memory_limit_too_small, Node), (net::nad_default_route, Cluster),
        (net::nad_overlaps_cluster_network, Cluster), (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster),
    ],
    in_pod,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("no OSD is prepared for an external cluster"));
    }
    let ((jobs, pods), osds) = both(both(facts.prepare_jobs(), facts.prepare_pods()), facts.osd_pods())?;
    let failed: Vec<_> = jobs.iter().filter_map(|job| failure(job, pods)).collect();
    let with_pod = failed.iter().filter_map(|(job, pod)| Some((*job, (*pod)?)));
    let logs = facts.each(with_pod, |facts, (_, pod)| facts.log(&cluster.ns, &pod.name, "provision"))?;
    // A container that has just started again has not come to its fault; the one before it has.
    let silent = logs.seen.iter().filter(|((_, pod), log)| pod.restarts > 0 && reason(log).is_none());
    let before = facts
        .each(silent.map(|(of, _)| *of), |facts, (_, pod)| facts.previous_log(&cluster.ns, &pod.name, "provision"))?;
    let severity = if osds.is_empty() { Severity::Critical } else { Severity::Warning };
    let findings = failed.iter().map(|(job, pod)| {
        let of_job = before.seen.iter().chain(&logs.seen).filter(|((of, _), _)| of.name == job.name);
        let log = of_job.map(|(_, log)| *log).find(|log| reason(log).is_some());
        finding(cluster, job, *pod, log, severity)
    });
    Ok(Answered::judged(findings.collect()).blind(logs.blind).blind(before.blind))
}

/// A job that failed, or keeps failing, and its last pod.
fn failure<'r>(job: &'r JobRow, pods: &'r [PodRow]) -> Option<(&'r JobRow, Option<&'r PodRow>)> {
    let mut own = pods.iter().filter(|pod| pod.is_of_daemon_set(&job.name));
    let broken = |pod: &&PodRow| ["Error", "CrashLoop", "OOMKilled"].iter().any(|word| pod.status.contains(word));
    let pod = own.find(broken);
    let unfinished = job.completions.starts_with("0/") && pod.is_some();
    (job.status == "Failed" || unfinished).then_some((job, pod))
}

fn finding(cluster: &Cluster, job: &JobRow, pod: Option<&PodRow>, log: Option<&Log>, severity: Severity) -> Finding {
    let ns = &cluster.ns;
    let object = ObjectRef::new(kinds::JOB, ns, &job.name);
    let reason = log.and_then(reason);
    let what = reason.as_ref().map_or_else(|| say!("no known reason in its log"), |(text, ..)| text.clone());
    let on = pod.map_or("", |pod| pod.node.as_str());
    let summary = if on.is_empty() {
        say!("the job {} failed: {}", job.name, what)
    } else {
        say!("the job {} failed on {}: {}", job.name, on, what)
    };
    let remedy = reason.as_ref().map_or_else(
        || say!("read the log, repair what it names, then delete the job and restart the operator"),
        |(_, remedy, _)| remedy.clone(),
    );
    let remedy = Remedy::guided(remedy)
        .command(format!("kubectl -n {ns} logs job/{} -c provision --tail=100", job.name))
        .command(format!("kubectl -n {ns} delete job {}", job.name))
        .command(format!("kubectl -n {} rollout restart deployment rook-ceph-operator", cluster.operator_ns));
    let state = format!("{} {}", job.status, job.completions);
    let line = reason.and_then(|(_, _, mark)| Some((mark, log?, pod?)));
    Finding::new(severity, object.clone(), summary, remedy)
        .at((!on.is_empty()).then(|| Place::node(on)))
        .evidence([Evidence::field(&object, "status", state.trim())])
        .evidence(pod.map(|pod| Evidence::pod_row(pod, ns)))
        .evidence(line.and_then(|(mark, log, pod)| quote(ns, &pod.name, "provision", log, &[mark])))
}

/// What the log says: the reason, what to do about it, and the words to quote.
fn reason(log: &Log) -> Option<(Text, Text, &'static str)> {
    let known = [
        (
            "binary \"lvm\" does not exist on the host",
            say!("lvm2 is not installed on the host"),
            say!("install the package lvm2 on the host, then delete the job and restart the operator"),
        ),
        (
            "failed with EAGAIN; try increasing /proc/sys/fs/aio-max-nr",
            say!("the host's fs.aio-max-nr is used up"),
            say!("raise fs.aio-max-nr on the host (sysctl), then delete the job and restart the operator"),
        ),
        (
            "an OSD was prepared on device",
            say!("a device was prepared and ceph-volume does not report it"),
            say!("look at the device on the host; wipe it only if nothing on it is needed"),
        ),
        (
            "belonging to a different ceph cluster",
            say!("its device holds an OSD of another Ceph cluster"),
            say!(
                "wipe the device only if that cluster (fsid in the log) is really gone, or give the claim another volume"
            ),
        ),
        (
            "(incomplete prepare? consider wiping the disks)",
            say!("its device was prepared once, and not to the end"),
            say!("wipe the device if no OSD ever ran on it, then delete the job and restart the operator"),
        ),
        (
            "failed to run ceph-volume",
            say!("ceph-volume failed"),
            say!(
                "read what ceph-volume said in the log above that line, repair it, then delete the job and restart the operator"
            ),
        ),
        (
            "authenticate timed out",
            say!("the monitors did not answer"),
            say!("repair the way from this node to the monitors; the job is tried again"),
        ),
    ];
    let found = known.into_iter().find(|(mark, ..)| log.last(mark).is_some());
    found.map(|(mark, reason, remedy)| (reason, remedy, mark))
}
