use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Release, release, running};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity, Text};
use crate::checks::ceph::{ceph_command, quoted};
use crate::facts::{Cluster, Facts, Gap, Select, both};
use crate::objects::ceph::Pool;
use crate::objects::ceph_csi::CephConnection;
use crate::objects::kube::{ConfigMap, StorageClass};
use crate::objects::rook::{BlockPool, CephCluster};
use crate::say;

check! {
    /// # What it looks at
    /// The releases that the daemons run, where a release has a known fault that costs data or OSDs, and whether
    /// the feature with the fault is in use. 20.2.0 with read affinity and CephFS (what the CSI drivers are configured
    /// with counts, as Rook from 1.18.9 and 1.19 on takes the setting back by itself). 20.2.0 with a pool that has
    /// `ec_optimizations`. 19.2.0 to 19.2.3 with an erasure coded pool that allows overwrites.
    ///
    /// # Why it matters
    /// With the first, what a CephFS client wrote may not reach the disk. With the second, OSDs crash in
    /// several failure domains at once. With the third, OSDs that were made under such a release (their
    /// elastic shared blobs) may damage their own metadata, which no fsck shows, and crash at a later write.
    ///
    /// # Confirm by hand
    /// `ceph versions`; `ceph osd pool ls detail`; `kubectl -n <operator-ns> get cephconnections.csi.ceph.io -o yaml` or
    /// the ConfigMap `rook-ceph-csi-config`.
    ///
    /// # Fix
    /// Upgrade within the same major release: to 20.2.2 or later, to 19.2.4 or later. Until then switch the feature off.
    /// An upgrade repairs nothing that is damaged already.
    ///
    /// # References
    /// Rook issue 16839; Ceph trackers 73997 (read affinity), 71642 (optimized erasure coding), 70390 (shared blobs).
    "IMG005" "known-bad-version" Img,
    needs: [Discovery, CephClusters, StorageClasses, Filesystems, Pools, Objects],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    let running = running(cluster);
    let among = |from: Release, to: Release| running.range(from..=to).next().copied();
    let tentacle = among((20, 2, 0), (20, 2, 0));
    let squid = among((19, 2, 0), (19, 2, 3));
    if tentacle.is_none() && squid.is_none() {
        return Ok(Answered::passed());
    }
    let mut findings = Vec::new();
    if tentacle.is_some() && uses_cephfs(facts)? {
        findings.extend(read_affinity(facts)?.map(|evidence| lost_writes(facts, cluster, evidence)).transpose()?);
    }
    if is_erasure_coded(facts)? {
        let pools = facts.pools()?;
        let optimized = with_flag(pools, "ec_optimizations");
        if tentacle.is_some() && !optimized.is_empty() {
            findings.push(crashing(cluster, &optimized));
        }
        let overwritten = with_flag(pools, "ec_overwrites");
        if let Some(release) = squid.filter(|_| !overwritten.is_empty()) {
            findings.push(shared_blobs(facts, cluster, release, &overwritten)?);
        }
    }
    Ok(Answered::judged(findings))
}

fn uses_cephfs(facts: &Facts<'_>) -> Result<bool, Gap> {
    let is_cephfs = |class: &StorageClass| class.provisioner.ends_with("cephfs.csi.ceph.com");
    Ok(facts.storage_classes()?.iter().any(is_cephfs))
}

/// Whether one of Rook's pools is erasure coded, which is cheaper to see than what Ceph says of all pools.
fn is_erasure_coded(facts: &Facts<'_>) -> Result<bool, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let (blocks, filesystems) = both(facts.list::<BlockPool>(Some(ns), Select::all()), facts.filesystems())?;
    let pools = blocks.iter().map(|block| &block.spec);
    let pools = pools.chain(filesystems.iter().flat_map(|filesystem| &filesystem.spec.data_pools));
    Ok(pools.into_iter().any(|pool| pool.erasure_coded.data_chunks > 0))
}

fn with_flag<'p>(pools: &'p [Pool], flag: &str) -> Vec<&'p Pool> {
    pools.iter().filter(|pool| pool.flags_names.split(',').any(|name| name == flag)).collect()
}

/// What tells the CSI drivers to read from the nearest OSD, in either layout; none if nothing does.
fn read_affinity(facts: &Facts<'_>) -> Result<Option<Evidence>, Gap> {
    let Cluster { ns: own, operator_ns: ns, .. } = facts.cluster()?;
    let config = facts.object::<ConfigMap>(ns, CONFIG);
    let connections = match facts.list::<CephConnection>(Some(ns), Select::all()) {
        Err(Gap::NotInstalled(_)) => Ok(&[][..]),
        connections => connections,
    };
    let (config, connections) = both(config, connections)?;
    // Rook names the connection of a cluster, and its entry, after its namespace.
    let reads_near = |it: &&CephConnection| !it.spec.read_affinity.crush_location_labels.is_empty();
    let connection = connections.iter().filter(reads_near).find(|it| it.metadata.name == *own);
    if let Some(connection) = connection {
        let labels = connection.spec.read_affinity.crush_location_labels.join(", ");
        let object = ObjectRef::of::<CephConnection>(&connection.metadata);
        return Ok(Some(Evidence::field(&object, "spec.readAffinity.crushLocationLabels", labels)));
    }
    let Some(config) = config else { return Ok(None) };
    let entries = config.data.get(KEY).map_or("[]", String::as_str);
    // A configuration that cannot be read is CSI009's to report.
    let entries: Vec<Entry> = serde_json::from_str(entries).unwrap_or_default();
    let object = ObjectRef::of::<ConfigMap>(&config.metadata);
    let is_own = |entry: &&Entry| entry.namespace == *own || entry.cluster_id == *own;
    let entry = entries.iter().filter(is_own).find(|entry| entry.read_affinity.enabled);
    Ok(entry.map(|entry| {
        let field = format!("data.{KEY}[{}].readAffinity", entry.cluster_id);
        Evidence::field(&object, field, "enabled: true")
    }))
}

/// The drivers' configuration as Rook itself writes it.
const CONFIG: &str = "rook-ceph-csi-config";
const KEY: &str = "csi-cluster-config-json";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "clusterID")]
    cluster_id: String,
    /// That of the CephCluster; what a subvolume group has for its own has an id of another form.
    namespace: String,
    read_affinity: Affinity,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Affinity {
    enabled: bool,
}

fn lost_writes(facts: &Facts<'_>, cluster: &CephCluster, evidence: Evidence) -> Result<Finding, Gap> {
    let summary = say!("Ceph 20.2.0 with read affinity loses data that CephFS clients write (rook issue 16839)");
    let (ns, name) = (&cluster.metadata.namespace, &cluster.metadata.name);
    let operator_ns = &facts.cluster()?.operator_ns;
    let remedy = Remedy::advice(say!("switch read affinity off now, then upgrade Ceph to 20.2.2 or later and start the pods that mount CephFS anew; read affinity may come back after that"))
        .command(format!("kubectl -n {ns} patch cephcluster {name} --type merge -p '{{\"spec\":{{\"csi\":{{\"readAffinity\":{{\"enabled\":false}}}}}}}}'"))
        .command(format!("kubectl -n {operator_ns} get cephconnections.csi.ceph.io,configmap/{CONFIG} -o yaml"));
    Ok(finding(cluster, Severity::Critical, (summary, remedy), "read-affinity").evidence([evidence]))
}

fn crashing(cluster: &CephCluster, pools: &[&Pool]) -> Finding {
    let summary =
        say!("Ceph 20.2.0 crashes OSDs of erasure coded pools with ec_optimizations: {} (tracker 71642)", names(pools));
    let remedy = Remedy::advice(say!(
        "upgrade Ceph to 20.2.2 or later before more is written to these pools; the flag cannot be taken back"
    ));
    finding(cluster, Severity::Warning, (summary, remedy), "ec-optimizations").evidence(flags(pools))
}

fn shared_blobs(facts: &Facts<'_>, cluster: &CephCluster, release: Release, pools: &[&Pool]) -> Result<Finding, Gap> {
    let (major, minor, patch) = release;
    let version = format!("{major}.{minor}.{patch}");
    let summary = say!(
        "OSDs made under Ceph {} may damage their own metadata, with overwrites in erasure coded pools ({}; tracker 70390)",
        version,
        names(pools)
    );
    let remedy = Remedy::advice(say!("upgrade Ceph to 19.2.4 or later; until then make no OSD before elastic shared blobs are off, and after the upgrade make those anew, one failure domain at a time, that were made under 19.2.0 to 19.2.3"))
        .command(ceph_command(facts.cluster()?, "config set osd bluestore_elastic_shared_blobs false"));
    Ok(finding(cluster, Severity::Warning, (summary, remedy), "elastic-shared-blobs").evidence(flags(pools)))
}

fn finding(cluster: &CephCluster, severity: Severity, words: (Text, Remedy), detail: &str) -> Finding {
    let (summary, remedy) = words;
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let versions: BTreeSet<&str> =
        cluster.status.ceph.versions.get("overall").into_iter().flatten().map(|(text, _)| text.as_str()).collect();
    let versions = versions.into_iter().filter(|text| release(text).is_some());
    let evidence: Vec<Evidence> =
        versions.map(|text| Evidence::field(&object, "status.ceph.versions.overall", text)).collect();
    Finding::new(severity, object, summary, remedy).detail(detail).evidence(evidence)
}

fn names(pools: &[&Pool]) -> String {
    pools.iter().take(6).map(|pool| quoted(&pool.pool_name)).collect::<Vec<_>>().join(", ")
}

fn flags<'p>(pools: &'p [&Pool]) -> impl Iterator<Item = Evidence> + 'p {
    pools
        .iter()
        .take(4)
        .map(|pool| Evidence::ceph("osd pool ls detail", format!("{}: {}", pool.pool_name, pool.flags_names)))
}
