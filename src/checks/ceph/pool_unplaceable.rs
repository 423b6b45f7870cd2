use std::collections::BTreeSet;

use super::{ceph_command, is_new, quoted, raised};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::osd::crush_name;
use crate::facts::tables::NodeRow;
use crate::facts::{CephCommand, Cluster, Fact, Facts, Gap, Settled, Unknown, Why, both, known};
use crate::objects::ceph::{CrushRule, Health, OsdTree, Pool, Step, Versions};
use crate::say;

check! {
    /// # What it looks at
    /// Where placement groups are undersized or inactive, Ceph says TOO_FEW_OSDS, or the daemons run several versions:
    /// for each pool how many copies it wants, on different buckets of which kind (the failure domain of its CRUSH
    /// rule), and how many such buckets there are. An OSD that is up and out takes no data; one that is down counts,
    /// as it is expected back. And whether the pool's min_size equals its size. In the first fifteen minutes of a
    /// cluster no pool is judged, as its hosts come one after the other. A rule that takes from several roots, or has
    /// other steps that are not worked out here, leaves the answer open.
    ///
    /// # Why it matters
    /// A pool of three copies on two hosts is undersized for ever, however well every OSD is: no waiting helps. With
    /// min_size equal to size the pool stops at the first OSD that does, and `ceph osd ok-to-stop` refuses every
    /// OSD, so that an upgrade and a drain stand still. A pool of one copy is a choice for tests.
    ///
    /// # Confirm by hand
    /// `ceph osd pool ls detail`, `ceph osd crush rule dump`, `ceph osd tree`.
    ///
    /// # Fix
    /// Add hosts (or zones), or give the pool fewer copies or a smaller failure domain: in the CephBlockPool,
    /// CephFilesystem or CephObjectStore that owns it, as the operator writes its own values back.
    ///
    /// # References
    /// Ceph: health codes PG_DEGRADED, TOO_FEW_OSDS; "CRUSH Maps". Rook: CRDs/Block-Storage, `failureDomain`.
    "CEPH006" "pool-unplaceable" Ceph,
    needs: [Discovery, CephClusters, Nodes, CephHealth, CephVersions, Pools, CrushRules, OsdTree],
    explained_by: [
        (osd::osds_not_deployed, Cluster), (osd::osd_pvc_pending, Cluster), (osd::osd_missing, Node),
        (osd::osd_prepare_failed, Node), (osd::device_skipped, Node),
    ],
}

/// What calls for a look at the pools.
const SIGNS: &[&str] = &["PG_DEGRADED", "PG_AVAILABILITY", TOO_FEW];
const TOO_FEW: &str = "TOO_FEW_OSDS";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (health, versions) = both(facts.ceph_health(), facts.ceph_versions().settled())?;
    let (cluster, signs) = (facts.cluster()?, raised(health, SIGNS));
    let mut blind = Vec::new();
    let upgrades = known(versions, &mut blind).is_some_and(are_mixed);
    if signs.is_empty() && !upgrades {
        return Ok(Answered::passed().blind(blind));
    }
    if !cluster.external && is_new(facts.ceph_cluster()?, facts.now()) {
        return Ok(Answered::judged(still_few(cluster, health).into_iter().collect()));
    }
    let ceph = both(facts.pools(), both(facts.crush_rules(), facts.osd_tree()));
    let ((pools, (rules, tree)), nodes) = both(ceph, facts.nodes().settled())?;
    // Without a single OSD no rule is at fault: what keeps all of them away is told by others.
    if tree.osds().next().is_none() {
        return Ok(Answered::passed().blind(blind));
    }
    // The nodes only tell which other findings explain these.
    let mut unseen = Vec::new();
    let nodes = known(nodes, &mut unseen).filter(|_| !cluster.external).unwrap_or_default();
    let stops = upgrades || health.raised("PG_AVAILABILITY").is_some();
    // Whoever muted every sign knows.
    let is_muted = !signs.is_empty() && signs.iter().all(|(_, check)| check.muted);
    let mut findings = Vec::new();
    let mut all_fit = true;
    for pool in pools {
        let rule = rules.iter().find(|rule| rule.rule_id == pool.crush_rule);
        let room = rule.and_then(|rule| Some((rule, room(rule, tree, pool.size)?)));
        // A rule of another shape may be what the sign is of.
        if room.is_none() && !signs.is_empty() && !is_muted {
            blind.push(not_understood(cluster, pool, rule));
        }
        if let Some((rule, room)) = room.filter(|(_, room)| room.copies < pool.size) {
            let mut finding = unplaceable(cluster, pool, rule, &room).at(places_left(nodes, tree, &room));
            finding.severity = if is_muted { Severity::Info } else { finding.severity };
            findings.push(finding);
            all_fit = false;
        } else if pool.size > 1 && pool.size == pool.min_size {
            findings.push(strict(cluster, pool, stops));
        }
    }
    if all_fit {
        findings.extend(too_few(cluster, health));
    } else {
        blind.extend(unseen);
    }
    Ok(Answered::judged(findings).blind(blind))
}

fn not_understood(cluster: &Cluster, pool: &Pool, rule: Option<&CrushRule>) -> Unknown {
    let rule = rule.map_or_else(|| pool.crush_rule.to_string(), |rule| rule.rule_name.clone());
    let why = format!("the steps of rule {rule} of pool {} are not understood", pool.pool_name);
    let fact = Fact::Ceph { ns: cluster.ns.clone(), command: CephCommand::OsdCrushRuleDump };
    Unknown { fact, why: Why::Malformed(why) }
}

fn are_mixed(versions: &Versions) -> bool {
    versions.0.get("overall").is_some_and(|overall| overall.len() > 1)
}

/// Every pool fits, and one made with the default size would not.
fn too_few(cluster: &Cluster, health: &Health) -> Option<Finding> {
    let summary = say!("a new pool of the default size would not fit, those that are there do");
    let remedy = Remedy::advice(say!(
        "add OSDs, or set osd_pool_default_size to what this cluster has room for, in spec.cephConfig or the ConfigMap rook-config-override"
    ));
    few(cluster, health, &summary, remedy)
}

/// The cluster is being made.
fn still_few(cluster: &Cluster, health: &Health) -> Option<Finding> {
    few(
        cluster,
        health,
        &say!("the OSDs are still being made"),
        Remedy::advice(say!("wait until all hosts have theirs")),
    )
}

fn few(cluster: &Cluster, health: &Health, what: &Text, remedy: Remedy) -> Option<Finding> {
    let check = health.checks.get(TOO_FEW)?;
    let summary = say!("{}: {}", what, check.summary.message);
    let remedy = remedy.command(ceph_command(cluster, "osd tree"));
    let evidence = Evidence::ceph("health detail", format!("{TOO_FEW}: {}", check.summary.message));
    Some(Finding::info(ObjectRef::cluster(cluster), summary, remedy).detail(TOO_FEW).evidence([evidence]))
}

/// How many copies a rule finds room for, on how many buckets of which kind.
#[derive(Debug, PartialEq, Eq)]
struct Room<'r> {
    copies: usize,
    buckets: usize,
    domain: &'r str,
    osds: Vec<i64>,
}

/// The nodes where another OSD would make room: any of them for copies on different OSDs, else only those that
/// hold none, since one more OSD on a host that has some is no other host.
fn places_left<'n>(nodes: &'n [NodeRow], tree: &OsdTree, room: &Room<'_>) -> impl Iterator<Item = Place> + 'n {
    let hosts: BTreeSet<String> = if room.domain == "osd" {
        BTreeSet::new()
    } else {
        room.osds.iter().filter_map(|osd| tree.host_of(*osd)).map(str::to_owned).collect()
    };
    let left = nodes.iter().filter(move |node| !hosts.contains(&crush_name(&node.name)));
    left.map(|node| Place::node(&node.name))
}

/// None for a rule of another shape than take, choose (once or twice), emit.
fn room<'r>(rule: &'r CrushRule, tree: &OsdTree, size: usize) -> Option<Room<'r>> {
    let take = rule.steps.iter().find(|step| step.op == "take")?;
    let (root, class) = take.item_name.split_once('~').unwrap_or((&take.item_name, ""));
    let osds: Vec<i64> = tree
        .osds_below(root)
        // A host that is down for ten minutes is out as well, and the pools wait for it, not for another.
        .filter(|osd| osd.reweight > 0.0 || osd.is_down())
        .filter(|osd| class.is_empty() || osd.device_class == class)
        .map(|osd| osd.id)
        .collect();
    let chooses: Vec<&Step> = rule.steps.iter().filter(|step| step.op.starts_with("choose")).collect();
    let wanted = |step: &Step| usize::try_from(step.num).ok().filter(|num| *num > 0).unwrap_or(size);
    let bucket = |osd: i64, kind: &str| -> Option<String> {
        if kind == "osd" { Some(osd.to_string()) } else { tree.bucket_of(osd, kind).map(str::to_owned) }
    };
    let emits = rule.steps.iter().filter(|step| step.op == "emit").count();
    match chooses.as_slice() {
        [only] if emits == 1 => {
            let buckets: BTreeSet<String> = osds.iter().filter_map(|osd| bucket(*osd, &only.kind)).collect();
            let copies = buckets.len().min(wanted(only));
            Some(Room { copies, buckets: buckets.len(), domain: &only.kind, osds })
        }
        [outer, inner] if emits == 1 => {
            let outers: BTreeSet<String> = osds.iter().filter_map(|osd| bucket(*osd, &outer.kind)).collect();
            let within = |name: &String| {
                let here = osds.iter().filter(|osd| bucket(**osd, &outer.kind).as_ref() == Some(name));
                let inners: BTreeSet<String> = here.filter_map(|osd| bucket(*osd, &inner.kind)).collect();
                inners.len().min(wanted(inner))
            };
            let mut rooms: Vec<usize> = outers.iter().map(within).collect();
            rooms.sort_unstable_by(|a, b| b.cmp(a));
            let copies = rooms.into_iter().take(wanted(outer)).sum();
            Some(Room { copies, buckets: outers.len(), domain: &outer.kind, osds })
        }
        _ => None,
    }
}

fn unplaceable(cluster: &Cluster, pool: &Pool, rule: &CrushRule, room: &Room<'_>) -> Finding {
    let Room { copies, buckets, domain, .. } = room;
    let summary = say!(
        "pool {} wants {} copies on different buckets of kind {}, and its rule finds room for {}: it stays undersized however well the OSDs are",
        pool.pool_name,
        pool.size,
        domain,
        copies
    );
    let remedy = Remedy::guided(say!("add OSDs on more buckets of kind {}, or give the pool fewer copies or another failure domain in the resource that owns it", domain))
        .command(ceph_command(cluster, "osd tree"))
        .command(ceph_command(cluster, &format!("osd crush rule dump {}", quoted(&rule.rule_name))));
    // Below min_size nothing is written.
    let severity = if *copies < pool.min_size { Severity::Critical } else { Severity::Warning };
    finding(
        cluster,
        pool,
        severity,
        summary,
        remedy,
        &[
            format!("size {}, min_size {}, crush_rule {}", pool.size, pool.min_size, rule.rule_name),
            format!("{buckets} buckets of kind {domain} have OSDs for it"),
        ],
    )
}

/// The pool stops with the first OSD that does.
fn strict(cluster: &Cluster, pool: &Pool, stops: bool) -> Finding {
    let summary = say!(
        "pool {} serves only while all {} copies are there: its min_size equals its size, so no OSD of it is ok to stop",
        pool.pool_name,
        pool.size
    );
    let remedy = Remedy::guided(say!("lower min_size by one, unless somebody wants it so")).command(ceph_command(
        cluster,
        &format!("osd pool set {} min_size {}", quoted(&pool.pool_name), pool.size - 1),
    ));
    let severity = if stops { Severity::Warning } else { Severity::Info };
    finding(cluster, pool, severity, summary, remedy, &[format!("size {}, min_size {}", pool.size, pool.min_size)])
}

fn finding(
    cluster: &Cluster,
    pool: &Pool,
    severity: Severity,
    summary: Text,
    remedy: Remedy,
    said: &[String],
) -> Finding {
    let from = |text: &String| Evidence::ceph("osd pool ls detail", format!("{}: {text}", pool.pool_name));
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy)
        .detail(&pool.pool_name)
        .at([Place::Pool(pool.pool_name.clone())])
        .evidence(said.iter().map(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree() -> OsdTree {
        let osd = |id: i64, class: &str, reweight: f64| json!({"id": id, "name": format!("osd.{id}"), "type": "osd", "device_class": class, "reweight": reweight, "status": "up"});
        serde_json::from_value(json!({"nodes": [
            {"id": -1, "name": "default", "type": "root", "children": [-10, -11]},
            {"id": -10, "name": "east", "type": "zone", "children": [-2, -3]},
            {"id": -11, "name": "west", "type": "zone", "children": [-4]},
            {"id": -2, "name": "w1", "type": "host", "children": [0, 1]}, osd(0, "ssd", 1.0), osd(1, "hdd", 1.0),
            {"id": -3, "name": "w2", "type": "host", "children": [2]}, osd(2, "ssd", 0.0),
            {"id": -4, "name": "w3", "type": "host", "children": [3, 4]}, osd(3, "ssd", 1.0),
            {"id": 4, "name": "osd.4", "type": "osd", "device_class": "nvme", "reweight": 0.0, "status": "down"},
        ]}))
        .unwrap()
    }

    #[test]
    fn room_is_counted_by_failure_domain() {
        let step = |op: &str, num: i64, kind: &str| json!({"op": op, "num": num, "type": kind});
        for (take, steps, expected) in [
            ("default", vec![step("chooseleaf_firstn", 0, "host")], Some((2, 2))),
            ("default", vec![step("chooseleaf_firstn", 0, "osd")], Some((3, 4))),
            ("default~ssd", vec![step("chooseleaf_firstn", 0, "host")], Some((2, 2))),
            ("default~hdd", vec![step("chooseleaf_firstn", 0, "host")], Some((1, 1))),
            ("default~nvme", vec![step("chooseleaf_firstn", 0, "host")], Some((1, 1))),
            ("default", vec![step("choose_firstn", 0, "zone"), step("chooseleaf_firstn", 2, "osd")], Some((4, 2))),
            ("default", vec![step("choose_firstn", 1, "zone"), step("chooseleaf_firstn", 2, "host")], Some((1, 2))),
            ("default", vec![], None),
        ] {
            let mut all = vec![json!({"op": "take", "item_name": take})];
            all.extend(steps);
            all.push(json!({"op": "emit"}));
            let rule: CrushRule = serde_json::from_value(json!({"rule_id": 1, "steps": all})).unwrap();
            let tree = tree();
            let found = room(&rule, &tree, 3).map(|room| (room.copies, room.buckets));
            assert_eq!(found, expected, "{all:?}");
        }
    }
}
