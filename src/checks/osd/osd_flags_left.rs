use super::crush_name;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::ceph::{ceph_command, is_muted, quoted};
use crate::facts::tables::NodeRow;
use crate::facts::{Cluster, Facts, Gap, Settled, both, known};
use crate::objects::ceph::{Health, OsdDump, OsdTree};
use crate::objects::kube::ConfigMap;
use crate::say;

check! {
    /// # What it looks at
    /// Flags of the whole cluster (OSDMAP_FLAGS), and in `ceph osd dump` those of hosts and other buckets, of
    /// device classes and of single OSDs (OSD_FLAGS). Rook sets `noout` itself on a failure domain that is drained or down and writes that into
    /// the ConfigMap `rook-ceph-pdbstatemap`; such a flag is not reported. While a node is cordoned somebody
    /// works on it, and the flags of maintenance are information.
    ///
    /// # Why it matters
    /// A forgotten `noout` or `norecover` leaves data on fewer copies after the next failure; `nodown` hides
    /// dead OSDs and makes clients hang; `pause` stops all I/O. `noscrub` and `nodeep-scrub` are information.
    ///
    /// # Confirm by hand
    /// `ceph osd dump | grep flags`, `ceph health detail` (OSDMAP_FLAGS, OSD_FLAGS).
    ///
    /// # Fix
    /// When the maintenance is over, `ceph osd unset <flag>`, or `ceph osd unset-group <flag> <bucket>`. Taking
    /// `noout` away while an OSD is down marks that OSD out after a while, and its data is copied elsewhere.
    /// `kubectl rookdoctor fix OSD011` takes away only what an earlier fix of this tool set, as its journal says.
    ///
    /// # References
    /// Ceph: health codes OSDMAP_FLAGS and OSD_FLAGS. Rook: `disruptionManagement`, ConfigMap
    /// `rook-ceph-pdbstatemap`.
    "OSD011" "osd-flags-left" Osd,
    needs: [CephStatus, OsdDump, OsdTree, Nodes, Objects],
    fix: unset_flags,
    explained_by: [],
}

/// Flags that people set, by what they do. Others, such as `sortbitwise`, belong to a healthy cluster.
const PAUSE: &[&str] = &["pauserd", "pausewr"];
const NOUP: &str = "noup";
const HOLD: &[&str] = &["noout", "noin", NOUP, "nodown", "norecover", "nobackfill", "norebalance"];
const SCRUB: &[&str] = &["noscrub", "nodeep-scrub", "notieragent", "nosnaptrim"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (status, nodes) = both(facts.ceph_status(), facts.nodes().settled())?;
    let health = &status.health;
    if !health.checks.contains_key("OSDMAP_FLAGS") && !health.checks.contains_key("OSD_FLAGS") {
        return Ok(Answered::passed());
    }
    let cluster = facts.cluster()?;
    // Whether a node is cordoned only softens a finding: flags are told without knowing it.
    let mut blind = Vec::new();
    let nodes = known(nodes, &mut blind).unwrap_or_default();
    let muted = is_muted(health, "OSDMAP_FLAGS");
    let flags = raised(health);
    let mut whole = softened(whole_cluster(cluster, &flags, nodes), muted);
    if flags.contains(&NOUP) {
        let kept = kept_down(facts)?;
        let hold = whole.iter_mut().filter(|finding| finding.detail.as_deref() == Some("hold"));
        hold.for_each(|finding| finding.at.extend(kept.iter().cloned()));
    }
    if !health.checks.contains_key("OSD_FLAGS") {
        return Ok(Answered::judged(whole).blind(blind));
    }
    let (dump, tree) = match both(facts.osd_dump().settled(), facts.osd_tree().settled())? {
        (Ok(dump), tree) => (dump, tree),
        (Err(unknown), _) => return Ok(Answered::judged(whole).blind(blind).blind([unknown])),
    };
    let mut groups = on_classes_and_osds(cluster, dump);
    for (bucket, flags) in &dump.crush_node_flags {
        if !is_rooks_own(facts, bucket)? {
            groups.push(on_bucket(cluster, bucket, flags, nodes, tree.as_ref().ok().copied()));
        }
    }
    let groups = softened(groups, is_muted(health, "OSD_FLAGS"));
    Ok(Answered::judged(whole.into_iter().chain(groups).collect()).blind(blind).blind(tree.err()))
}

/// The OSDs that noup keeps down. The flag is told without knowing them.
fn kept_down(facts: &Facts<'_>) -> Result<Vec<Place>, Gap> {
    let Ok(tree) = facts.osd_tree().settled()? else { return Ok(Vec::new()) };
    Ok(tree.osds().filter(|osd| osd.is_down()).map(|osd| Place::daemon("osd", osd.id)).collect())
}

/// The flags that a finding about the whole cluster is about, by its detail.
pub(crate) fn of_kind<'h>(health: &'h Health, detail: &str) -> Vec<&'h str> {
    let kinds = [("pause", PAUSE), ("hold", HOLD), ("scrub", SCRUB)];
    let kind = |flag: &str| kinds.iter().find(|(_, flags)| flags.contains(&flag)).map_or("other", |(kind, _)| kind);
    raised(health).into_iter().filter(|flag| kind(flag) == detail).collect()
}

/// The flags of one OSD.
pub(crate) fn of_osd(dump: &OsdDump, osd: i64) -> Vec<&str> {
    let states = dump.osds.iter().filter(|it| it.osd == osd).flat_map(|it| &it.state);
    states.map(String::as_str).filter(|state| HOLD.contains(state)).collect()
}

/// The flags that the code names: `noout,norebalance flag(s) set`.
fn raised(health: &Health) -> Vec<&str> {
    let message = health.checks.get("OSDMAP_FLAGS").map_or("", |code| code.summary.message.as_str());
    message.trim_end_matches(" flag(s) set").split(',').map(str::trim).filter(|flag| !flag.is_empty()).collect()
}

/// Muted flags are somebody's decision.
fn softened(mut findings: Vec<Finding>, muted: bool) -> Vec<Finding> {
    for finding in findings.iter_mut().filter(|_| muted) {
        finding.severity = Severity::Info;
    }
    findings
}

fn whole_cluster(cluster: &Cluster, raised: &[&str], nodes: &[NodeRow]) -> Vec<Finding> {
    let cordoned = nodes.iter().find(|node| node.is_cordoned());
    let known = |flag: &&str| [PAUSE, HOLD, SCRUB].iter().any(|flags| flags.contains(flag));
    // A flag that this tool has never heard of is told in Ceph's word.
    let others: Vec<&str> = raised.iter().copied().filter(|flag| !known(flag)).collect();
    let kinds = [
        (PAUSE, "pause", Severity::Critical),
        (HOLD, "hold", Severity::Warning),
        (SCRUB, "scrub", Severity::Info),
        (&others, "other", Severity::Warning),
    ];
    let found = kinds.into_iter().filter_map(|(flags, detail, severity)| {
        let set: Vec<&str> = flags.iter().copied().filter(|flag| raised.contains(flag)).collect();
        (!set.is_empty()).then(|| {
            let maintained = cordoned.filter(|_| severity == Severity::Warning);
            let severity = if maintained.is_some() { Severity::Info } else { severity };
            let list = set.join(", ");
            let summary = match (maintained, set.len()) {
                (Some(node), 1) => say!("{} is set for the whole cluster while node {} is cordoned", list, node.name),
                (Some(node), _) => say!("{} are set for the whole cluster while node {} is cordoned", list, node.name),
                (None, 1) => say!("{} is set for the whole cluster", list),
                (None, _) => say!("{} are set for the whole cluster", list),
            };
            let words = set.iter().filter(|flag| known(flag)).map(|flag| command_word(flag));
            let mut unset: Vec<String> =
                words.map(|flag| ceph_command(cluster, &format!("osd unset {flag}"))).collect();
            unset.dedup();
            if unset.is_empty() {
                unset.push(ceph_command(cluster, "osd dump"));
            }
            finding(severity, ObjectRef::cluster(cluster), summary, unset)
                .detail(detail)
                .evidence([Evidence::ceph("status", format!("OSDMAP_FLAGS: {} flag(s) set", raised.join(",")))])
        })
    });
    found.collect()
}

/// `pause` sets two flags and unsets both.
fn command_word(flag: &str) -> &str {
    if PAUSE.contains(&flag) { "pause" } else { flag }
}

fn finding(severity: Severity, object: ObjectRef, summary: crate::check::Text, commands: Vec<String>) -> Finding {
    let remedy = Remedy::guided(say!(
        "if no maintenance is going on, take the flags away; look first whether an OSD is down, as without noout its data is copied elsewhere"
    ));
    Finding::new(severity, object, summary, commands.into_iter().fold(remedy, Remedy::command))
}

/// Whether Rook set the flag itself, for a failure domain that is drained or down.
fn is_rooks_own(facts: &Facts<'_>, bucket: &str) -> Result<bool, Gap> {
    let ns = &facts.cluster()?.ns;
    let state = facts.object::<ConfigMap>(ns, "rook-ceph-pdbstatemap")?;
    let value = |key: &str| state.and_then(|state| state.data.get(key)).map_or("", String::as_str);
    Ok(value("draining-failure-domain") == bucket && value("set-no-out") == "true")
}

fn on_bucket(cluster: &Cluster, bucket: &str, flags: &[String], nodes: &[NodeRow], tree: Option<&OsdTree>) -> Finding {
    let node = nodes.iter().find(|node| crush_name(&node.name) == bucket);
    let list = flags.join(", ");
    let unset = ceph_command(cluster, &format!("osd unset-group {} {}", quoted(&flags.join(",")), quoted(bucket)));
    let line = Evidence::ceph("osd dump", format!("crush_node_flags: {bucket} {list}"));
    let kind = tree.and_then(|tree| tree.nodes.iter().find(|node| node.name == bucket)).map(|node| node.kind.as_str());
    let gone = tree.is_some_and(|tree| tree.osds_below(bucket).next().is_none());
    let (severity, summary) = match (node, kind) {
        (Some(node), _) if node.is_cordoned() => {
            (Severity::Info, say!("{} is set on {}, which is cordoned", list, bucket))
        }
        (None, Some(kind)) if gone => {
            (Severity::Warning, say!("{} is set on the {} {}, which has no OSD", list, kind, bucket))
        }
        (None, Some(kind)) => (Severity::Warning, say!("{} is set on the {} {}", list, kind, bucket)),
        _ => (Severity::Warning, say!("{} is set on {}", list, bucket)),
    };
    let found = match node {
        Some(node) => {
            finding(severity, ObjectRef::node(&node.name), summary, vec![unset]).at([Place::node(&node.name)])
        }
        None => finding(severity, ObjectRef::cluster(cluster), summary, vec![unset]).detail(bucket),
    };
    found.evidence([line])
}

fn on_classes_and_osds(cluster: &Cluster, dump: &OsdDump) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |name: String, list: String, place: Option<Place>| {
        let unset = ceph_command(cluster, &format!("osd unset-group {} {}", list.replace(", ", ","), quoted(&name)));
        let summary = say!("{} is set on {}", list, name);
        let line = Evidence::ceph("osd dump", format!("{name} has flags {list}"));
        let new = finding(Severity::Warning, ObjectRef::cluster(cluster), summary, vec![unset]);
        found.push(new.detail(name).at(place).evidence([line]));
    };
    for (class, flags) in &dump.device_class_flags {
        add(class.clone(), flags.join(", "), None);
    }
    for osd in &dump.osds {
        let flags = of_osd(dump, osd.osd);
        if !flags.is_empty() {
            let place = (flags.contains(&NOUP) && osd.up == 0).then(|| Place::daemon("osd", osd.osd));
            add(format!("osd.{}", osd.osd), flags.join(", "), place);
        }
    }
    found
}
