use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Plugin, ceph_classes, class_objects, driver_object, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity, Text};
use crate::facts::{Facts, Gap, both, kinds};
use crate::lang::listed;
use crate::objects::ceph::host;
use crate::objects::ceph_csi::CephConnection;
use crate::objects::kube::{ConfigMap, StorageClass};
use crate::say;

pub(crate) const ENDPOINTS: &str = "rook-ceph-mon-endpoints";

check! {
    /// # What it looks at
    /// The file that the drivers mount: `csi-cluster-config-json` of ConfigMap `rook-ceph-csi-config`, or
    /// `config.json` of `ceph-csi-config` where the ceph-csi-operator deploys them. Its monitors for this
    /// CephCluster are compared with `rook-ceph-mon-endpoints` by address (the port differs with msgr2), and the
    /// `clusterID` of each StorageClass of these drivers with what it has an entry for.
    ///
    /// # Why it matters
    /// CSI asks only the monitors of this file. With none that exists any more nothing is created or mounted,
    /// while Ceph is well; what is mounted goes on working. A `clusterID` without an entry fails with `missing
    /// configuration for cluster ID`. A monitor that is out of quorum is left out on purpose.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator namespace> get configmap rook-ceph-csi-config ceph-csi-config -o yaml` and
    /// `kubectl -n <cluster namespace> get configmap rook-ceph-mon-endpoints -o jsonpath='{.data.data}'`
    ///
    /// # Fix
    /// Let the operator write it anew: it does so when it starts and with each change of the monitors. Do not
    /// edit or delete the ConfigMap; the operator keeps its entries of all clusters in it. A wrong `clusterID`
    /// is a matter of the StorageClass, which must be made anew, as its parameters cannot be changed. Only what the
    /// operator cannot parse must be put right by hand. `kubectl rookdoctor fix CSI009` starts the operator again, with
    /// the monitors in quorum, and holds what is written against the entries of before.
    ///
    /// # References
    /// ceph-csi internal/util/csiconfig.go; Rook: Troubleshooting/ceph-csi-common-issues; Rook 1.18 and later
    /// name CephConnection and ClientProfile after the namespace of the CephCluster (rook pull request 16269).
    "CSI009" "cluster-config-stale" Csi,
    needs: [Discovery, CsiDeployments, DaemonSets, StorageClasses, Objects],
    fix: rewrite_csi_config,
    explained_by: [(opr::operator_down, Cluster), (csi::csi_operator_down, Cluster), (ext::external_endpoints_stale, Cluster)],
}

/// An entry of the file, by the `clusterID`.
#[derive(Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "clusterID")]
    pub id: String,
    #[serde(default)]
    pub monitors: Vec<String>,
}

impl Entry {
    /// Its monitors that the cluster does not have.
    pub fn stale(&self, endpoints: &BTreeSet<&str>) -> Vec<&str> {
        self.monitors.iter().map(String::as_str).filter(|mon| !endpoints.contains(host(mon))).collect()
    }
}

/// The monitors that Rook knows, by their addresses.
pub(crate) fn addresses(endpoints: Option<&ConfigMap>) -> BTreeSet<&str> {
    let endpoints = endpoints.and_then(|map| map.data.get("data")).map_or("", String::as_str);
    endpoints.split(',').filter_map(|mon| Some(host(mon.split_once('=')?.1))).collect()
}

/// The ConfigMap, its key, and who writes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub config: &'static str,
    pub key: &'static str,
    pub writer: &'static str,
}

impl Layout {
    pub fn of(plugins: &[Plugin<'_>]) -> Self {
        if plugins.iter().any(Plugin::is_of_csi_operator) { CSI_OPERATOR } else { CLASSIC }
    }
}

pub(crate) const CLASSIC: Layout =
    Layout { config: "rook-ceph-csi-config", key: "csi-cluster-config-json", writer: "rook-ceph-operator" };
const CSI_OPERATOR: Layout =
    Layout { config: "ceph-csi-config", key: "config.json", writer: "ceph-csi-controller-manager" };

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (plugins, classes) = both(plugins(facts), ceph_classes(facts))?;
    if plugins.is_empty() {
        return Ok(Answered::NotApplicable("no Ceph CSI driver is deployed"));
    }
    let layout = Layout::of(&plugins);
    let (config, endpoints) = both(
        facts.object::<ConfigMap>(&cluster.operator_ns, layout.config),
        facts.object::<ConfigMap>(&cluster.ns, ENDPOINTS),
    )?;
    let endpoints = addresses(endpoints);
    if endpoints.is_empty() {
        return Ok(Answered::NotApplicable("the cluster has no monitors yet"));
    }
    let object = ObjectRef::new(kinds::CONFIG_MAP, &cluster.operator_ns, layout.config);
    let entries = match entries(config, layout.key) {
        Ok(entries) => entries,
        Err(why) => return Ok(Answered::judged(vec![unusable(object, &layout, config, &why)])),
    };
    let served = classes.values().copied();
    let served = served.filter(|class| plugins.iter().any(|plugin| plugin.driver() == class.provisioner));
    let served: Vec<&StorageClass> = served.collect();
    // Rook before 1.18 names the entry of the other layout after the CephCluster.
    let own = entries.iter().find(|entry| entry.id == cluster.ns || entry.id == cluster.name);
    let mut findings = without_entry(&object, &layout, &entries, &served, &cluster.ns);
    if let Some(own) = own {
        let stale = own.stale(&endpoints);
        if !stale.is_empty() || own.monitors.is_empty() {
            let writer = writer(facts, &layout, &own.id, &stale)?;
            let ids = served.iter().filter(|class| class.parameters.get("clusterID") == Some(&own.id)).copied();
            let touched: Vec<&StorageClass> = ids.collect();
            findings
                .push(stale_monitors(&object, &layout, own, &stale, &endpoints, writer).also(class_objects(touched)));
        }
    }
    Ok(Answered::judged(findings))
}

pub(crate) fn entries(config: Option<&ConfigMap>, key: &str) -> Result<Vec<Entry>, Text> {
    let Some(config) = config else { return Err(say!("the ConfigMap does not exist")) };
    let text = config.data.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
    let Some(text) = text else { return Err(say!("there is no {}", key)) };
    serde_json::from_str(text).map_err(|error| say!("{} is not what CSI reads: {}", key, error))
}

/// Rook adds its entries to what is there: it stops at what it cannot parse, and at a ConfigMap without any data. Where
/// the ConfigMap or only its text is gone it writes it anew.
pub(crate) fn can_be_rewritten(config: Option<&ConfigMap>, key: &str) -> bool {
    config.is_none_or(|config| {
        let text = config.data.get(key).is_some_and(|text| !text.trim().is_empty());
        !config.data.is_empty() && !text
    })
}

fn unusable(object: ObjectRef, layout: &Layout, config: Option<&ConfigMap>, why: &Text) -> Finding {
    let summary = say!(
        "the drivers' configuration {} is unusable: a CSI pod that starts now hangs or refuses every volume",
        object
    );
    let ns = &object.namespace;
    let remedy = if can_be_rewritten(config, layout.key) {
        restart(
            Remedy::guided(say!("let {} write it anew: it does so when it starts", layout.writer)),
            ns,
            layout.writer,
        )
        .auto()
    } else {
        let remedy = Remedy::guided(say!(
            "put {} right by hand, and keep every entry in it: {} adds its entries to what is there, stops at what it cannot read, and does not mend it. Then start it again",
            layout.key,
            layout.writer
        ));
        let file = format!("kubectl -n {ns} get configmap {} -o yaml", layout.config);
        restart(
            remedy.command(file).command(format!("kubectl -n {ns} edit configmap {}", layout.config)),
            ns,
            layout.writer,
        )
    };
    let evidence = Evidence::field(&object, format!("data.{}", layout.key), why.english());
    Finding::critical(object, summary, remedy).evidence([evidence])
}

/// Who is late: where Rook's CephConnection already has the right monitors, the ceph-csi-operator.
pub(crate) fn writer(facts: &Facts<'_>, layout: &Layout, id: &str, stale: &[&str]) -> Result<&'static str, Gap> {
    let is_custom = layout.config == CSI_OPERATOR.config && facts.installed(kinds::CEPH_CONNECTION)?;
    if !is_custom {
        return Ok(CLASSIC.writer);
    }
    let connection = facts.object::<CephConnection>(&facts.cluster()?.operator_ns, id)?;
    let monitors = connection.map_or(&[][..], |connection| &connection.spec.monitors);
    let is_right = !monitors.is_empty() && !monitors.iter().any(|mon| stale.contains(&mon.as_str()));
    Ok(if is_right { CSI_OPERATOR.writer } else { CLASSIC.writer })
}

fn stale_monitors(
    object: &ObjectRef,
    layout: &Layout,
    own: &Entry,
    stale: &[&str],
    endpoints: &BTreeSet<&str>,
    writer: &str,
) -> Finding {
    let known = say!("{}", listed(endpoints)).english();
    let (severity, summary) = if stale.len() == own.monitors.len() {
        let summary = say!("CSI knows no monitor of {} that exists: no volume can be created or mounted", own.id);
        (Severity::Critical, summary)
    } else {
        (Severity::Warning, say!("CSI still asks monitors of {} that are gone: {}", own.id, listed(stale)))
    };
    let remedy = Remedy::guided(say!(
        "let {} write the drivers' configuration anew (it does so when it starts); do not edit or delete {}",
        writer,
        object
    ));
    let configured = match own.monitors.as_slice() {
        [] => "no monitors".to_owned(),
        monitors => say!("{}", listed(monitors)).english(),
    };
    Finding::new(severity, object.clone(), summary, restart(remedy, &object.namespace, writer).auto())
        .detail(own.id.clone())
        .evidence([
            Evidence::field(object, format!("data.{}", layout.key), format!("{}: {configured}", own.id)),
            Evidence { from: format!("ConfigMap {ENDPOINTS}"), field: "data.data".into(), at: None, excerpt: known },
        ])
}

/// Classes whose clusterID stands for nothing, by that ID.
fn without_entry(
    object: &ObjectRef,
    layout: &Layout,
    entries: &[Entry],
    served: &[&StorageClass],
    own: &str,
) -> Vec<Finding> {
    let mut by_id: BTreeMap<&str, Vec<&StorageClass>> = BTreeMap::new();
    for class in served {
        let id = class.parameters.get("clusterID").map_or("", String::as_str);
        if !id.is_empty() && entries.iter().all(|entry| entry.id != id) {
            by_id.entry(id).or_default().push(class);
        }
    }
    let known = match entries {
        [] => say!("none"),
        entries => say!("{}", listed(entries.iter().map(|entry| &entry.id))),
    };
    let finding = |(id, classes): (&str, Vec<&StorageClass>)| {
        let objects = class_objects(classes.iter().copied());
        let (first, rest) = objects.split_first()?;
        let summary =
            say!("{} has clusterID {}, which CSI has no configuration for (known: {})", listed(&objects), id, known);
        let remedy = Remedy::guided(say!(
            "if the clusterID is misspelt or of an earlier cluster, make the StorageClass anew with a known one, as its parameters cannot be changed; if {} is right, let the operator write its configuration",
            id
        ))
        .command(format!("kubectl get {} -o yaml", first.kind.to_lowercase() + "/" + &first.name));
        let remedy = restart(remedy, &object.namespace, CLASSIC.writer);
        // Of other entries nobody knows who would write them.
        let remedy = if id == own { remedy.auto() } else { remedy };
        let finding = Finding::warning(first.clone(), summary, remedy)
            .also(rest.iter().cloned())
            .also(classes.first().map(|class| driver_object(&class.provisioner)))
            .detail(id)
            .evidence([
                Evidence::field(first, "parameters.clusterID", id),
                Evidence::field(object, format!("data.{}", layout.key), format!("clusterIDs: {}", known.english())),
            ]);
        Some(finding)
    };
    by_id.into_iter().filter_map(finding).collect()
}

fn restart(remedy: Remedy, ns: &str, writer: &str) -> Remedy {
    remedy
        .command(format!("kubectl -n {ns} rollout restart deployment {writer}"))
        .command(format!("kubectl -n {ns} rollout status deployment {writer} --timeout=10m"))
}
