use jiff::SignedDuration;

use super::is_new;
use super::serving::{Serving, lettered, serving};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::net::last_words;
use crate::checks::opr::{older, operator_object};
use crate::facts::{Facts, Gap, Select, Settled, both, kinds};
use crate::objects::rook::{ObjectStore, ObjectZone};
use crate::say;

check! {
    /// # What it looks at
    /// The RGW pods of every CephObjectStore that Rook runs gateways for: none at all, or not Ready for longer
    /// than a start takes; what the gateway last said of its start; and the CephObjectZone that the store
    /// names, if nothing was deployed. A store on its way out, one that is younger than a quarter of an hour,
    /// and one whose gateways run elsewhere (`externalRgwEndpoints`) are left alone.
    ///
    /// # Why it matters
    /// The gateway is the only way to objects: without one every S3 and Swift request fails, and buckets can be
    /// neither made nor deleted. A gateway that waits for placement groups or monitors never becomes Ready, as
    /// it reads its realm and zone from pools of Ceph first.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get cephobjectstore,pods -l app=rook-ceph-rgw`,
    /// `kubectl -n <ns> get endpoints rook-ceph-rgw-<store>`, and the log of container `rgw`. Whether zones of a
    /// multisite follow each other is not observable here: `radosgw-admin sync status` in the toolbox. Ceph 19.2.6 and
    /// 20.2.4 refuse the requests between zones without `rgw_sigv4_insecure=true` and `rgw_s3_client_max_sig_ver=2`
    /// (tracker 79698).
    ///
    /// # Fix
    /// Bring the pods back: their events and log name what is missing. If no gateway was ever deployed, follow
    /// the operator's error about the store, and give it the zone that it names.
    ///
    /// # References
    /// Rook: CRDs/Object-Storage/ceph-object-store-crd, ceph-object-multisite. Ceph: src/rgw/rgw_appmain.cc,
    /// src/rgw/services/svc_zone.cc.
    "CEPH012" "rgw-down" Ceph,
    needs: [Discovery, CephClusters, Nodes, RgwPods, Objects, Logs],
    explained_by: [
        (net::multus_missing, Cluster), (net::nad_missing, Cluster), (net::nad_invalid, Cluster),
        (net::nad_default_route, Cluster), (opr::operator_down, Object), (opr::operator_crashing, Object),
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (mon::mons_start_slowly, Cluster),
        (osd::osds_not_deployed, Cluster), (ceph::pgs_unavailable, Cluster),
        (ceph::rgw_certificate_invalid, Object),
    ],
    in_pod,
}

/// The operator makes pools, realm and zone before the first gateway.
const MAKING: SignedDuration = SignedDuration::from_mins(15);
/// What a gateway says when it gives up.
const WORDS: &[&str] =
    &["Couldn't init storage provider (RADOS)", "Cannot find zone id=", "Initialization timeout, failed to initialize"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let (stores, rows) = both(facts.list::<ObjectStore>(Some(ns), Select::all()), facts.rgw_pods())?;
    let stores = stores.iter().filter(|store| {
        store.spec.gateway.external_rgw_endpoints.is_empty() && store.metadata.deletion_timestamp.is_none()
    });
    let stores: Vec<&ObjectStore> = stores.collect();
    if stores.is_empty() {
        return Ok(Answered::NotApplicable("Rook runs no gateway of an object store"));
    }
    let (services, blind) = serving(facts, rows, |row| lettered(row, "rook-ceph-rgw-"))?;
    // The operator comes to object stores when monitors, mgr and OSDs are there.
    let is_made = !is_new(facts.ceph_cluster()?, facts.now());
    let mut findings = Vec::new();
    for store in stores {
        match services.get(store.metadata.name.as_str()) {
            None if is_made && older(facts, store.metadata.creation_timestamp, MAKING) => {
                findings.push(absent(facts, store)?);
            }
            Some(gateways) if !gateways.down.is_empty() => findings.push(down(facts, store, gateways)?),
            _ => {}
        }
    }
    Ok(Answered::judged(findings).blind(blind))
}

fn down(facts: &Facts<'_>, store: &ObjectStore, gateways: &Serving<'_>) -> Result<Finding, Gap> {
    let object = ObjectRef::of::<ObjectStore>(&store.metadata);
    let (ns, name) = (&object.namespace, &object.name);
    let (severity, summary) = if gateways.well == 0 {
        (Severity::Critical, say!("object store {} is not served: {}", name, gateways.how()))
    } else {
        let (well, pods) = (gateways.well, gateways.pods);
        (Severity::Warning, say!("{} of {} gateways of object store {} serve: {}", well, pods, name, gateways.how()))
    };
    let mut remedy = Remedy::guided(say!("bring the gateways back: their events and log name what is missing"));
    let mut said = None;
    if let Some((row, pod)) = gateways.down.first() {
        remedy = remedy
            .command(format!("kubectl -n {ns} describe pod {}", row.name))
            .command(format!("kubectl -n {ns} logs {} -c rgw --tail=50", row.name));
        said = last_words(facts, pod, "rgw", WORDS)?;
    }
    Ok(Finding::new(severity, object, summary, remedy)
        .also(gateways.objects())
        .at(gateways.places())
        .since(gateways.down.iter().filter_map(|(_, pod)| pod.unready_since()).min())
        .evidence(gateways.evidence())
        .evidence(said))
}

fn absent(facts: &Facts<'_>, store: &ObjectStore) -> Result<Finding, Gap> {
    let object = ObjectRef::of::<ObjectStore>(&store.metadata);
    let (ns, name, zone) = (&object.namespace, &object.name, &store.spec.zone.name);
    // The zone only explains: the gateways are missing in any case.
    let zone_is_absent = !zone.is_empty() && matches!(facts.object::<ObjectZone>(ns, zone).settled()?, Ok(None));
    let deployment = format!("rook-ceph-rgw-{name}-a");
    let (summary, remedy) = if zone_is_absent {
        let summary =
            say!("object store {} has no gateway: its zone {} does not exist as a CephObjectZone", name, zone);
        let remedy = Remedy::guided(say!("create the CephObjectZone {}, or name the right one in spec.zone", zone));
        (summary, remedy.command(format!("kubectl -n {ns} get cephobjectzones,cephobjectzonegroups,cephobjectrealms")))
    } else {
        let summary = say!("object store {} has no gateway: there is no RGW pod", name);
        let remedy =
            Remedy::guided(say!("see whether its Deployment is scaled to 0, and what the operator says of the store"));
        (summary, remedy.command(format!("kubectl -n {ns} get deployment {deployment}")))
    };
    let phase = if store.status.phase.is_empty() { "none" } else { store.status.phase.as_str() };
    let evidence = Evidence::field(&object, "status.phase", phase);
    let count = Evidence::field(&object, "pods app=rook-ceph-rgw", "none");
    let remedy = remedy.command(format!("kubectl -n {ns} describe cephobjectstore {name}"));
    Ok(Finding::critical(object.clone(), summary, remedy)
        .also([ObjectRef::new(kinds::DEPLOYMENT, ns, &deployment), operator_object(facts)?])
        .evidence([count, evidence]))
}
