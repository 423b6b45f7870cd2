//! A verdict for every device of every node: used as which OSD, skipped for which reason, or waiting for what.
//!
//! Three witnesses, the surest first: Ceph itself (`osd metadata`), the log of the node's prepare job, and the
//! ConfigMaps of the discovery daemon, which few clusters run.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Listing, Overview};
use crate::checks::osd::prepare_log::{PrepareLog, Verdict, parse};
use crate::checks::osd::{OsdPods, by_osd, device_skipped};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Row, Select, Settled, Unknown, both, known};
use crate::lang::Text;
use crate::objects::ceph::OsdMetadata;
use crate::objects::kube::ConfigMap;
use crate::objects::rook::Storage;
use crate::say;

pub static OVERVIEW: Overview = Overview {
    name: "devices",
    title: "DEVICES",
    beside: &device_skipped::CHECK,
    columns: &["node", "device", "verdict", "as told by"],
    needs: &[Row::CephClusters, Row::PreparePods, Row::OsdPods, Row::OsdMetadata],
    run,
};

fn free() -> Text {
    say!("free: becomes an OSD")
}

fn empty() -> Text {
    say!("empty: waits for the operator's next look at this node")
}

/// Stands for all devices of a node of which nothing is known yet.
const ANY: &str = "-";

/// Node (empty for none) and device to the verdict and who told it. What is told first stays.
#[derive(Default)]
struct Verdicts(BTreeMap<(String, String), (Text, Text)>);

impl Verdicts {
    fn tell(&mut self, node: &str, device: &str, verdict: Text, by: Text) {
        let device = device.trim_start_matches("/dev/");
        self.0.entry((node.to_owned(), device.to_owned())).or_insert((verdict, by));
    }

    fn knows_node(&self, node: &str) -> bool {
        self.0.keys().any(|(of, _)| of == node)
    }
}

fn run(facts: &Facts<'_>) -> Result<Listing, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Err(Gap::NotOffered("the devices of an external cluster are elsewhere".into()));
    }
    let maps = facts.list::<ConfigMap>(Some(&cluster.operator_ns), Select::label("app=rook-discover")).settled();
    let told = both(facts.osd_metadata().settled(), maps);
    let rows = both(facts.prepare_pods(), facts.osd_pods());
    let (((prepare, osds), object), (metadata, maps)) = both(both(rows, facts.ceph_cluster()), told)?;
    let done = prepare.iter().filter(|pod| pod.is_done());
    let logs = facts.each(done, |facts, pod| facts.log(&cluster.ns, &pod.name, "provision"))?;

    let mut verdicts = Verdicts::default();
    let mut blind = logs.blind;
    let pods = by_osd(osds);
    for osd in known(metadata, &mut blind).into_iter().flatten() {
        by_ceph(&mut verdicts, osd, pods.get(&osd.id));
    }
    for (pod, log) in &logs.seen {
        by_prepare_job(&mut verdicts, &pod.node, &parse(log));
    }
    for map in known(maps, &mut blind).into_iter().flatten() {
        by_discovery(&mut verdicts, map);
    }
    by_absence(&mut verdicts, &object.spec.storage, prepare);
    let row = |((node, device), (verdict, by)): ((String, String), _)| {
        let node = if node.is_empty() { say!("no node") } else { say!("{}", node) };
        vec![node, say!("{}", device), verdict, by]
    };
    Ok(Listing { rows: verdicts.0.into_iter().map(row).collect(), blind })
}

/// The blank devices that the operator may take when it next looks at their nodes, and what could not be read of them.
pub(crate) fn blank(facts: &Facts<'_>) -> Result<(Vec<Text>, Vec<Unknown>), Gap> {
    let Listing { rows, blind } = run(facts)?;
    let blank = rows.iter().filter(|row| [free(), empty()].contains(&row[2]));
    Ok((blank.map(|row| say!("{} on {}", row[1], row[0])).collect(), blind))
}

/// Ceph may know the host by another name than Kubernetes does: the node of the pod is what all others speak of.
fn by_ceph(verdicts: &mut Verdicts, osd: &OsdMetadata, pods: Option<&OsdPods<'_>>) {
    let node = pods.and_then(OsdPods::node).unwrap_or(&osd.hostname);
    for (devices, role) in
        [(&osd.bluestore_bdev_devices, ""), (&osd.bluefs_db_devices, " (DB)"), (&osd.bluefs_wal_devices, " (WAL)")]
    {
        for device in devices.split(',').filter(|device| !device.is_empty()) {
            let osd = format!("osd.{}{role}", osd.id);
            let verdict = match pods {
                Some(pods) if pods.is_well() => say!("used as {}", osd),
                Some(_) => say!("used as {}, whose pod is not Ready", osd),
                None => say!("used as {}, which has no pod", osd),
            };
            verdicts.tell(node, device, verdict, say!("{}", "ceph osd metadata"));
        }
    }
}

fn by_prepare_job(verdicts: &mut Verdicts, node: &str, log: &PrepareLog<'_>) {
    let by = || say!("prepare job");
    for device in &log.devices {
        let verdict = match &device.verdict {
            Verdict::Ours { osd } => say!("used as {}", osd),
            Verdict::NotListed => say!("not asked for by the CephCluster"),
            Verdict::Free => free(),
            skipped => say!("skipped: {}", device_skipped::reason(skipped)),
        };
        verdicts.tell(node, &device.name, verdict, by());
    }
    for name in &log.absent {
        verdicts.tell(node, name, say!("named by the CephCluster, and there is no such device"), by());
    }
}

/// A device as the discovery daemon writes it down.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Disk {
    name: String,
    filesystem: String,
    empty: bool,
}

fn by_discovery(verdicts: &mut Verdicts, map: &ConfigMap) {
    let by = || say!("discovery");
    let Some(node) = map.metadata.labels.get("rook.io/node") else { return };
    let text = map.data.get("devices").map_or("", String::as_str);
    let Ok(disks) = serde_json::from_str::<Vec<Disk>>(text) else {
        return verdicts.tell(node, ANY, say!("the list of devices cannot be read"), by());
    };
    for disk in disks {
        let verdict = match disk {
            Disk { empty: true, .. } => empty(),
            Disk { ref filesystem, .. } if filesystem.is_empty() => say!("not empty"),
            Disk { filesystem, .. } => say!("holds {}", filesystem),
        };
        verdicts.tell(node, &disk.name, verdict, by());
    }
}

/// Jobs that have not ended, and nodes that the CephCluster names and that nobody speaks of.
fn by_absence(verdicts: &mut Verdicts, storage: &Storage, prepare: &[PodRow]) {
    for pod in prepare.iter().filter(|pod| !pod.is_done() && !pod.is_replaced()) {
        let verdict = say!("waiting for its prepare job, which is {}", pod.status);
        verdicts.tell(&pod.node, ANY, verdict, say!("pods"));
    }
    for node in &storage.nodes {
        if !verdicts.knows_node(&node.name) {
            let verdict = say!("named by the CephCluster, and no prepare job ran there");
            verdicts.tell(&node.name, ANY, verdict, say!("{}", "CephCluster"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_surest_witness_is_believed() {
        let osd: OsdMetadata = serde_json::from_value(json!({
            "id": 3, "hostname": "w1", "bluestore_bdev_devices": "sdb", "bluefs_db_devices": "nvme0n1"
        }))
        .unwrap();
        let map: ConfigMap = serde_json::from_value(json!({
            "metadata": {"labels": {"rook.io/node": "w1"}},
            "data": {"devices": r#"[{"name":"sdb","empty":false,"filesystem":"ceph_bluestore"},{"name":"sdc","empty":true,"filesystem":""},{"name":"sdd","empty":false,"filesystem":"ext4"}]"#}
        }))
        .unwrap();
        let mut verdicts = Verdicts::default();
        by_ceph(&mut verdicts, &osd, None);
        by_discovery(&mut verdicts, &map);
        let told: Vec<_> =
            verdicts.0.iter().map(|((_, device), (verdict, _))| format!("{device} {}", verdict.english())).collect();
        assert_eq!(
            told,
            [
                "nvme0n1 used as osd.3 (DB), which has no pod",
                "sdb used as osd.3, which has no pod",
                "sdc empty: waits for the operator's next look at this node",
                "sdd holds ext4",
            ]
        );
    }

    #[test]
    fn a_device_is_listed_once_whatever_ceph_calls_its_host() {
        let osd: OsdMetadata =
            serde_json::from_value(json!({"id": 3, "hostname": "w1.example.org", "bluestore_bdev_devices": "sdb"}))
                .unwrap();
        let pod = PodRow {
            ns: String::new(),
            name: "rook-ceph-osd-3-5d8f7c9b4-x2x7k".into(),
            ready: (2, 2),
            status: "Running".into(),
            restarts: 0,
            restarted: String::new(),
            age: "2d".into(),
            ip: "10.42.0.7".into(),
            node: "w1".into(),
        };
        let pods = [pod];
        let map: ConfigMap = serde_json::from_value(json!({
            "metadata": {"labels": {"rook.io/node": "w1"}},
            "data": {"devices": r#"[{"name":"sdb","empty":false,"filesystem":"ceph_bluestore"}]"#}
        }))
        .unwrap();
        let mut verdicts = Verdicts::default();
        by_ceph(&mut verdicts, &osd, by_osd(&pods).get(&3));
        by_discovery(&mut verdicts, &map);
        assert_eq!(verdicts.0.into_keys().collect::<Vec<_>>(), [("w1".to_owned(), "sdb".to_owned())]);
    }
}
