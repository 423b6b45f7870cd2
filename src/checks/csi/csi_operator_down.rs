use super::{PATIENCE, is_young};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Select, both, kinds};
use crate::objects::ceph_csi::ClientProfile;
use crate::objects::kube::{Deployment, Pod, condition};
use crate::say;

const MANAGER: &str = "ceph-csi-controller-manager";

check! {
    /// # What it looks at
    /// The Deployment `ceph-csi-controller-manager` of the ceph-csi-operator in the operator's namespace: scaled
    /// to 0, or without a Ready pod for more than two minutes, with the last end of its container; and
    /// ClientProfiles with `status.phase` Failed.
    ///
    /// # Why it matters
    /// The drivers that run go on. But no change of Driver, CephConnection or ClientProfile takes effect:
    /// monitors that move are not followed, and a new cluster gets no configuration. Its memory limit of 128Mi
    /// is too small for some clusters: it is then killed again and again (OOMKilled).
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator namespace> get deployment ceph-csi-controller-manager`,
    /// `kubectl -n <operator namespace> get clientprofiles.csi.ceph.io -o yaml`
    ///
    /// # Fix
    /// Follow the end of its container; raise the memory limit of container `manager` if it was OOMKilled. For a
    /// failed ClientProfile follow its message.
    ///
    /// # References
    /// ceph-csi-operator: deploy/all-in-one/install.yaml (limits), api/v1 ClientProfile status.
    "CSI019" "csi-operator-down" Csi,
    needs: [Discovery, Operators, CsiDeployments, CsiPods, Objects],
    explained_by: [],
    in_pod,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (deployments, pods) = both(facts.csi_deployments(), facts.csi_pods())?;
    let Some(manager) = deployments.iter().find(|deployment| deployment.metadata.name == MANAGER) else {
        // Where the operators cannot be read their namespace is only guessed.
        facts.operators()?;
        return Ok(Answered::NotApplicable("the ceph-csi-operator is not deployed"));
    };
    let of_it: Vec<&PodRow> = pods.iter().filter(|row| row.is_of_deployment(MANAGER)).collect();
    let down = down(facts, manager, &of_it)?;
    let profiles = if facts.installed(kinds::CLIENT_PROFILE)? {
        facts.list::<ClientProfile>(Some(&manager.metadata.namespace), Select::all())?
    } else {
        &[]
    };
    let failed = profiles.iter().filter(|profile| profile.status.phase == "Failed").map(failed);
    Ok(Answered::judged(down.into_iter().chain(failed).collect()))
}

fn down(facts: &Facts<'_>, manager: &Deployment, rows: &[&PodRow]) -> Result<Option<Finding>, Gap> {
    let available = condition(&manager.status.conditions, "Available");
    let since = available.filter(|it| it.status != "True").and_then(|it| it.last_transition_time);
    let is_off = manager.spec.replicas == Some(0);
    if !is_off && (manager.status.ready_replicas > 0 || is_young(facts, since)) {
        return Ok(None);
    }
    let ns = &manager.metadata.namespace;
    let object = ObjectRef::of::<Deployment>(&manager.metadata);
    if is_off {
        let summary = say!("the ceph-csi-operator is scaled to 0: changes of drivers and of monitors do not reach CSI");
        let remedy = Remedy::guided(say!("ask who scaled it down, and scale it up"))
            .command(format!("kubectl -n {ns} scale deployment {MANAGER} --replicas=1"));
        let evidence = Evidence::field(&object, "spec.replicas", "0");
        return Ok(Some(Finding::warning(object, summary, remedy).evidence([evidence])));
    }
    let opened = facts.each(rows.iter().copied(), |facts, row| facts.pod(ns, &row.name))?;
    // The Deployment itself says that no pod is ready; what could not be opened only explains less.
    let ends: Vec<Evidence> = opened.seen.iter().filter_map(|(_, pod)| last_end(pod)).collect();
    let killed = ends.iter().any(|end| end.excerpt.contains("OOMKilled"));
    let remedy = if killed {
        Remedy::guided(say!("raise the memory limit of container manager: it is killed at its limit again and again"))
            .command(format!("kubectl -n {ns} set resources deployment {MANAGER} -c manager --limits=memory=512Mi"))
    } else {
        Remedy::guided(say!("find out why its pod is not Ready; the drivers that run go on meanwhile"))
            .command(format!("kubectl -n {ns} describe pod -l control-plane=ceph-csi-op-controller-manager"))
            .command(format!("kubectl -n {ns} logs deployment/{MANAGER} --previous --tail=50"))
    };
    let summary = say!(
        "the ceph-csi-operator has no Ready pod for more than {} minutes: changes of drivers and of monitors do not reach CSI",
        PATIENCE.as_mins()
    );
    let pods = rows.iter().map(|row| ObjectRef::pod_row(row, ns, format!("{MANAGER}@{}", row.node)));
    let finding = Finding::warning(object.clone(), summary, remedy)
        .also(pods)
        .at(rows.iter().filter(|row| !row.node.is_empty()).map(|row| Place::node(&row.node)))
        .since(since)
        .evidence([Evidence::field(&object, "status.readyReplicas", manager.status.ready_replicas)])
        .evidence(rows.iter().map(|row| Evidence::pod_row(row, ns)))
        .evidence(ends);
    Ok(Some(finding))
}

fn last_end(pod: &Pod) -> Option<Evidence> {
    let (status, end) = pod.statuses().find_map(|status| Some((status, status.terminated()?)))?;
    let excerpt = format!("{}, exit code {}, restarted {} times", end.reason, end.exit_code, status.restart_count);
    Some(Evidence::field(&ObjectRef::pod(pod), format!("container {}", status.name), excerpt).at(end.finished_at))
}

fn failed(profile: &ClientProfile) -> Finding {
    let object = ObjectRef::of::<ClientProfile>(&profile.metadata);
    let (ns, name) = (&object.namespace, &object.name);
    let summary =
        say!("the ClientProfile {} failed: its volumes keep the configuration from before, or have none", name);
    let remedy =
        Remedy::guided(say!("follow its message: the ceph-csi-operator tries again once what it names is right"))
            .command(format!("kubectl -n {ns} get clientprofiles.csi.ceph.io {name} -o yaml"))
            .command(format!("kubectl -n {ns} logs deployment/{MANAGER} --tail=100"));
    let evidence = Evidence::field(&object, "status.message", &profile.status.message);
    Finding::warning(object, summary, remedy).evidence([evidence])
}
