use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::opr::{OPERATOR_CONFIG, minor, operator};
use crate::facts::{Facts, Gap};
use crate::lang::listed;
use crate::objects::kube::{ConfigMap, DaemonSet, Deployment};
use crate::say;

check! {
    /// # What it looks at
    /// DaemonSets `csi-*plugin-holder-<cluster>` beside a Rook that no longer wants them: 1.16 and later, by the tag of
    /// the operator's image; or 1.14 and 1.15 with `CSI_DISABLE_HOLDER_PODS: "true"`, where the migration is under way.
    ///
    /// # Why it matters
    /// Holder pods kept a network namespace on the public network for the mounts of their node. Nothing makes or
    /// updates them any more, new mounts go over the host's network, and mounts of before the migration still hang
    /// on them: when such a pod ends, their I/O ends with it.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator-ns> get daemonset | grep plugin-holder`.
    ///
    /// # Fix
    /// First see that every node reaches the OSDs on the public network. Then node by node: drain, delete the holder
    /// pods there, uncordon. Delete the DaemonSets last.
    ///
    /// # References
    /// Rook v1.15: CRDs/Cluster/network-providers, "Disabling Holder Pods"; rook #13055, #14819.
    "NET019" "holder-pods-left" Net,
    needs: [DaemonSets, Operators, Objects],
    explained_by: [],
}

/// From here on Rook has no holder pods.
const REMOVED: (u32, u32) = (1, 16);
/// From here on they can be switched off.
const OPTIONAL: (u32, u32) = (1, 14);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let is_holder = |daemon_set: &&DaemonSet| {
        let meta = &daemon_set.metadata;
        let kind = ["csi-rbdplugin-holder-", "csi-cephfsplugin-holder-", "csi-nfsplugin-holder-"];
        let of = kind.iter().find_map(|prefix| meta.name.strip_prefix(prefix));
        meta.namespace == cluster.operator_ns && of == Some(cluster.name.as_str()) && meta.deletion_timestamp.is_none()
    };
    let holders: Vec<&DaemonSet> = facts.daemon_sets()?.iter().filter(is_holder).collect();
    if holders.is_empty() {
        return Ok(Answered::passed());
    }
    let Some(operator) = operator(facts)? else { return Ok(Answered::passed()) };
    // A tag that says no version leaves it open whether they are wanted.
    let Some(tag) = operator.image_tag() else { return Ok(Answered::passed()) };
    let severity = match minor(tag) {
        Some(version) if version >= REMOVED => Severity::Warning,
        Some(version) if version >= OPTIONAL && switched_off(facts)? => Severity::Info,
        _ => return Ok(Answered::passed()),
    };
    Ok(Answered::judged(vec![finding(&holders, operator, tag, severity)]))
}

fn switched_off(facts: &Facts<'_>) -> Result<bool, Gap> {
    let config = facts.object::<ConfigMap>(&facts.cluster()?.operator_ns, OPERATOR_CONFIG)?;
    Ok(config.and_then(|config| config.data.get("CSI_DISABLE_HOLDER_PODS")).is_some_and(|value| value == "true"))
}

fn finding(holders: &[&DaemonSet], operator: &Deployment, tag: &str, severity: Severity) -> Finding {
    let objects: Vec<ObjectRef> = holders.iter().map(|it| ObjectRef::of::<DaemonSet>(&it.metadata)).collect();
    let names: Vec<&str> = holders.iter().map(|it| it.metadata.name.as_str()).collect();
    let pods: i64 = holders.iter().map(|it| i64::from(it.status.current_number_scheduled)).sum();
    let ns = &operator.metadata.namespace;
    let summary = say!(
        "{} holder pods are left of {}, which Rook {} does not use any more: mounts of before the migration hang on them",
        pods,
        listed(&names),
        tag
    );
    let remedy = Remedy::guided(say!(
        "do not simply delete them, it stops the I/O of mounts that still use them: see that every node pings the OSDs' public addresses, then drain node by node, delete the holder pods of the drained node and uncordon it; when all nodes are done delete the DaemonSets {}",
        listed(&names)
    ));
    let remedy = holders.iter().fold(remedy, |remedy, it| {
        remedy.command(format!("kubectl -n {ns} get pods -l {} -o wide", crate::checks::ceph::quoted(&it.pod_labels())))
    });
    let image = operator.spec.template.spec.containers.first().map_or("", |container| container.image.as_str());
    let counts = holders.iter().zip(&objects).map(|(it, object)| {
        let (wanted, ready) = (it.status.desired_number_scheduled, it.status.number_ready);
        Evidence::field(object, "status", format!("{ready} of {wanted} pods ready"))
    });
    let image = Evidence::field(&ObjectRef::of::<Deployment>(&operator.metadata), "image", image);
    Finding::new(severity, objects[0].clone(), summary, remedy)
        .also(objects[1..].iter().cloned())
        .evidence(counts)
        .evidence([image])
}
