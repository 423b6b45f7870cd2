use super::{OPERATOR, OPERATOR_CONFIG, minor, operator};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube::{ConfigMap, Deployment};
use crate::say;

check! {
    /// # What it looks at
    /// Settings that have no effect. The ConfigMap `rook-ceph-operator-config` in the cluster's namespace, while the
    /// operator, which lives in another, reads only the one in its own. As information: variables of the operator's
    /// Deployment that the ConfigMap overrides with another value, the settings of CSI that Rook 1.20 does not
    /// read any more, and a ConfigMap that is absent.
    ///
    /// # Why it matters
    /// Nothing complains about a setting that nobody reads. The drivers stay off, the tolerations stay away, and the
    /// fault is looked for where the setting is.
    ///
    /// # Confirm by hand
    /// `kubectl get cm -A --field-selector metadata.name=rook-ceph-operator-config`, and in the operator's log the
    /// lines of `op-k8sutil`, which say each value and whether it is of the ConfigMap, the environment or the default.
    ///
    /// # Fix
    /// Move the settings into the ConfigMap in the operator's namespace, and nowhere else. From Rook 1.20 CSI is
    /// set by the resources OperatorConfig and Driver of the ceph-csi-operator.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-common-issues, "Operator environment variables are ignored"; Upgrade/rook-upgrade for
    /// 1.20; pkg/operator/k8sutil/configmap.go.
    "OPR007" "operator-config-ignored" Opr,
    needs: [Operators, Objects],
    explained_by: [],
}

/// The release from which CSI is set by resources of its own.
const CSI_OPERATOR_ONLY: (u32, u32) = (1, 20);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let Some(operator) = operator(facts)? else { return Ok(Answered::passed()) };
    let cluster = facts.cluster()?;
    let (ns, home) = (cluster.ns.as_str(), cluster.operator_ns.as_str());
    let own = facts.object::<ConfigMap>(home, OPERATOR_CONFIG);
    // In the namespace of a second operator it is that one's.
    let is_stray = ns != home && !facts.operators()?.iter().any(|operator| operator.metadata.namespace == ns);
    let stray = if is_stray { facts.object::<ConfigMap>(ns, OPERATOR_CONFIG) } else { Ok(None) };
    let (own, stray) = both(own, stray)?;
    let mut findings: Vec<Finding> =
        stray.filter(|map| !map.data.is_empty()).map(|map| misplaced(map, home)).into_iter().collect();
    match own {
        None => findings.push(absent(home)),
        Some(map) => findings.extend([overridden(map, operator), retired(map, operator)].into_iter().flatten()),
    }
    Ok(Answered::judged(findings))
}

fn misplaced(map: &ConfigMap, home: &str) -> Finding {
    let object = ObjectRef::of::<ConfigMap>(&map.metadata);
    let keys: Vec<&str> = map.data.keys().map(String::as_str).take(8).collect();
    let ns = &map.metadata.namespace;
    let summary =
        say!("the operator in {} does not read its settings from {}: {} have no effect", home, ns, keys.join(", "));
    let remedy = Remedy::guided(say!("move the settings into the ConfigMap in {}, then delete this one", home))
        .command(format!("kubectl -n {ns} get cm {OPERATOR_CONFIG} -o yaml"))
        .command(format!("kubectl -n {home} edit cm {OPERATOR_CONFIG}"));
    let evidence = Evidence::field(&object, "metadata.namespace", ns);
    Finding::warning(object, summary, remedy).evidence([evidence])
}

fn absent(home: &str) -> Finding {
    let object = ObjectRef::new(kinds::CONFIG_MAP, home, OPERATOR_CONFIG);
    let summary =
        say!("the ConfigMap {} is absent: only the operator's environment and defaults count", OPERATOR_CONFIG);
    let remedy = Remedy::advice(say!("create it, even if empty, so that settings have their place"))
        .command(format!("kubectl -n {home} create cm {OPERATOR_CONFIG}"));
    let evidence = Evidence::field(&object, "metadata", "no such ConfigMap");
    Finding::info(object, summary, remedy).detail("absent").evidence([evidence])
}

/// What somebody set in the environment, and the ConfigMap sets to something else.
fn overridden(map: &ConfigMap, operator: &Deployment) -> Option<Finding> {
    let variables = operator.spec.template.spec.containers.iter().flat_map(|container| &container.env);
    let lost: Vec<String> = variables
        .filter(|variable| !variable.value.is_empty())
        .filter_map(|variable| {
            let value = map.data.get(&variable.name).filter(|value| **value != variable.value)?;
            Some(format!("{}={} (ConfigMap: {value})", variable.name, variable.value))
        })
        .collect();
    let first = lost.first()?;
    let object = ObjectRef::of::<Deployment>(&operator.metadata);
    let summary = say!("the ConfigMap goes before {} variables of the operator's Deployment: {}", lost.len(), first);
    let remedy = Remedy::advice(say!("keep each setting in the ConfigMap only"))
        .command(format!("kubectl -n {} set env deploy/{OPERATOR} --list", operator.metadata.namespace));
    let evidence: Vec<Evidence> =
        lost.iter().take(8).map(|it| Evidence::field(&object, "spec.template.spec.containers[].env", it)).collect();
    Some(Finding::info(object, summary, remedy).detail("overridden").evidence(evidence))
}

/// Settings of CSI that this version leaves to the ceph-csi-operator.
fn retired(map: &ConfigMap, operator: &Deployment) -> Option<Finding> {
    minor(operator.image_tag()?).filter(|version| *version >= CSI_OPERATOR_ONLY)?;
    let is_csi = |key: &&str| ["CSI_", "ROOK_CSI_", "CSIADDONS_"].iter().any(|prefix| key.starts_with(prefix));
    let keys: Vec<&str> = map.data.keys().map(String::as_str).filter(is_csi).collect();
    let first = keys.first()?;
    let object = ObjectRef::of::<ConfigMap>(&map.metadata);
    let summary =
        say!("{} settings of CSI are left over and not read since Rook 1.20: {} and others", keys.len(), first);
    let remedy =
        Remedy::advice(say!("see that OperatorConfig and Drivers of csi.ceph.io say the same, then delete these keys"))
            .command(format!(
                "kubectl -n {} get operatorconfigs.csi.ceph.io,drivers.csi.ceph.io -o yaml",
                map.metadata.namespace
            ));
    let listed = keys.iter().take(12).copied().collect::<Vec<_>>().join(", ");
    let evidence = Evidence::field(&object, "data", listed);
    Some(Finding::info(object, summary, remedy).detail("retired").evidence([evidence]))
}
