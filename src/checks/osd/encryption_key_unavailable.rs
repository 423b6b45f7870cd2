use super::osd_crashing::{FETCHES_KEY, failed, may_crash};
use super::{deployment, names, volume_keys};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::node::daemon_of;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Settled, both, known};
use crate::objects::kube::{Event, condition};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Encrypted OSDs whose init container `encryption-kms-get-kek` ends with an error, or whose Secret
    /// `rook-ceph-osd-encryption-key-<claim>` does not exist; a CephCluster that the operator refuses as it cannot
    /// validate the connection to the key management service; and encrypted volumes that CSI cannot make or mount.
    ///
    /// # Why it matters
    /// An encrypted OSD fetches its key at every start. While the key management service (Vault, KMIP, IBM Key Protect,
    /// Azure) does not answer, OSDs that run go on, and none that restarts comes back: after a power failure that is
    /// all of them. A key that is lost is the data lost.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> logs deploy/rook-ceph-osd-<id> -c encryption-kms-get-kek --previous`; `vault status`, or its
    /// like, from a pod.
    ///
    /// # Fix
    /// Bring the service back: unseal it, renew the token or its role, repair its name, certificate or network policy.
    /// The pods try again by themselves. Restart no other encrypted OSD before that, and delete no Secret and no key.
    ///
    /// # References
    /// Rook: "Key Management System", `spec.security.kms`, `pkg/daemon/ceph/osd/kms`. ceph-csi: "Encrypted volumes".
    "OSD016" "encryption-key-unavailable" Osd,
    needs: [Discovery, CephClusters, OsdPods, MountEvents, ProvisionEvents, Volumes, Objects, Logs],
    explained_by: [
        (node::cluster_dns_failing, Cluster), (net::sandbox_failing, Node),
    ],
}

/// What the container says last: Rook's own words, and curl's in Rook before 1.9.
const COMPLAINTS: &[&str] = &["failed to get secret", "failed to validate kms connection details", "curl: ("];
const SECRET: &str = "secret \"rook-ceph-osd-encryption-key-";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let mut blind = Vec::new();
    let mut findings: Vec<Finding> = refused(facts.ceph_cluster()?).into_iter().collect();
    let tables =
        both(both(facts.mount_events().settled(), facts.provision_events().settled()), facts.osd_pods().settled());
    let ((mounts, provisions), rows) = tables?;
    let [mounts, provisions] = [mounts, provisions].map(|events| known(events, &mut blind).unwrap_or_default());
    let rows = known(rows, &mut blind).unwrap_or_default();
    let down = rows.iter().filter(|row| !row.is_well() && !row.node.is_empty() && !row.is_replaced());
    let down: Vec<&PodRow> = down.collect();
    let crashed = down.iter().copied().filter(|row| may_crash(row));
    let pods = facts.each(crashed, |facts, row| facts.pod(&row.ns, &row.name))?;
    let failing: Vec<&PodRow> = pods
        .seen
        .iter()
        .filter(|(_, pod)| failed(facts, pod).is_some_and(|it| it.name == FETCHES_KEY))
        .map(|(row, _)| *row)
        .collect();
    findings.extend(not_fetched(facts, cluster, &failing)?);
    findings.extend(without_secret(cluster, &down, mounts));
    findings.extend(volume_keys::look(facts, provisions.iter().chain(mounts), &mut blind)?);
    Ok(Answered::judged(findings).blind(blind).blind(pods.blind))
}

/// The operator stops before it configures anything.
fn refused(cluster: &CephCluster) -> Option<Finding> {
    let failed = condition(&cluster.status.conditions, "Progressing").filter(|it| it.status == "False")?;
    let (_, why) = failed.message.split_once("failed to validate kms connection details: ")?;
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let (ns, name) = (&cluster.metadata.namespace, &cluster.metadata.name);
    let summary = say!("the operator cannot use the key management service of spec.security.kms: {}", why);
    let remedy = Remedy::guided(say!(
        "correct connectionDetails and tokenSecretName, or bring the service back; the operator tries again by itself"
    ))
    .command(format!("kubectl -n {ns} get cephcluster {name} -o jsonpath='{{.spec.security.kms}}'"));
    let evidence = Evidence::field(&object, "status.conditions[Progressing]", &failed.message);
    let since = failed.last_transition_time;
    Some(Finding::critical(object, summary, remedy).since(since).evidence([evidence.at(since)]))
}

/// All of these wait for one service.
fn not_fetched(facts: &Facts<'_>, cluster: &Cluster, rows: &[&PodRow]) -> Result<Option<Finding>, Gap> {
    let ids: Vec<i64> = rows.iter().filter_map(|row| row.daemon_id("rook-ceph-osd-")?.parse().ok()).collect();
    let Some(first) = ids.first() else { return Ok(None) };
    // The log tells the reason; that the key was not fetched is known without.
    let logs = facts.each(rows.iter().copied(), |facts, row| {
        let (before, present) =
            (facts.previous_log(&row.ns, &row.name, FETCHES_KEY), facts.log(&row.ns, &row.name, FETCHES_KEY));
        both(before.settled(), present.settled())
    })?;
    let lines = logs.seen.iter().filter_map(|(row, (before, present))| {
        let line = [before, present].into_iter().flatten().find_map(|log| log.last_of(COMPLAINTS))?;
        Some(Evidence::log(&row.ns, &row.name, FETCHES_KEY, line))
    });
    let ns = &cluster.ns;
    let summary =
        say!("{} cannot fetch the key of its disk from the key management service", names(ids.iter().copied()));
    let remedy = Remedy::guided(say!("bring the key management service back (reachable, unsealed, with a valid token); restart no other encrypted OSD before that, and delete no key"))
        .command(format!("kubectl -n {ns} logs deploy/rook-ceph-osd-{first} -c {FETCHES_KEY} --previous"))
        .command(format!("kubectl -n {ns} get cephcluster {} -o jsonpath='{{.spec.security.kms}}'", cluster.name));
    Ok(Some(
        Finding::critical(deployment(ns, *first), summary, remedy)
            .also(ids.iter().skip(1).map(|id| deployment(ns, *id)))
            .at(rows.iter().filter_map(|row| daemon_of(row)))
            .at(rows.iter().map(|row| Place::node(&row.node)))
            .evidence(rows.iter().take(4).map(|row| Evidence::pod_row(row, ns)))
            .evidence(lines.take(4)),
    ))
}

/// Without a service the keys are Secrets, which the kubelet mounts.
fn without_secret<'e>(cluster: &Cluster, down: &[&PodRow], mounts: &'e [Event]) -> Vec<Finding> {
    let found = down.iter().filter_map(|row| {
        let about = mounts.iter().filter(|event| event.is_about("Pod", &row.ns, &row.name));
        let missing = |event: &&Event| event.message.contains(SECRET) && event.message.contains("not found");
        let event: &'e Event = about.filter(missing).max_by_key(|event| event.last_seen())?;
        let id: i64 = row.daemon_id("rook-ceph-osd-")?.parse().ok()?;
        let name = event.message.split(SECRET).nth(1)?.split('"').next()?;
        let summary = say!("the Secret with the key of osd.{} does not exist: rook-ceph-osd-encryption-key-{}", id, name);
        let remedy = Remedy::guided(say!("restore the Secret from a backup: without the key the data of this OSD cannot be read, and the OSD has to be made again"))
            .command(format!("kubectl -n {} describe pod {}", row.ns, row.name));
        let finding = Finding::critical(deployment(&cluster.ns, id), summary, remedy);
        Some(finding.at(daemon_of(row)).at([Place::node(&row.node)]).evidence([Evidence::event(event)]))
    });
    found.collect()
}
