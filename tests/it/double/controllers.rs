//! What the controllers of a cluster and its kubelets do after a write: pods come back, workloads roll out, and
//! their status follows.

use serde_json::{Value, json};

use super::state::{Changed, Spot, controller, name_of};

impl Changed<'_> {
    /// Deletes a pod. Its controller makes another at once, which runs on the same node and is ready.
    pub(super) fn replace_pod(&mut self, spot: &Spot<'_>) {
        let Some(old) = self.get(spot) else { return };
        self.take(spot);
        let Some((kind, owner)) = controller(&old) else { return };
        let template = match kind {
            "ReplicaSet" if self.replicas(&spot.ns, owner) == Some(0) => return,
            "ReplicaSet" => self.template_of_replica_set(&spot.ns, owner),
            "DaemonSet" => self.template(&spot.ns, "daemonsets.apps", owner),
            "StatefulSet" => self.template(&spot.ns, "statefulsets.apps", owner),
            // The kubelet shows the same static pod again.
            "Node" => None,
            _ => return,
        };
        let name = match kind {
            "StatefulSet" | "Node" => spot.name.clone(),
            _ => self.new_name(old["metadata"]["generateName"].as_str().unwrap_or(&format!("{owner}-"))),
        };
        let mut pod = old.clone();
        self.be_born(&mut pod, &name);
        if let Some(template) = template {
            take_over(&mut pod, &template);
        }
        // A pod that no node would have, nobody tries again.
        if kind != "Node" && pod["spec"]["nodeName"].is_string() {
            self.start(&mut pod, &old["status"]);
        }
        self.put(&Spot { name, ..spot.clone() }, pod);
    }

    /// Gives an object what every new one has.
    pub(super) fn be_born(&mut self, object: &mut Value, name: &str) {
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["name"] = name.into();
        metadata["uid"] = format!("d0b1e000-0000-4000-8000-{:012}", self.version).into();
        metadata["creationTimestamp"] = self.now().into();
        for gone in ["deletionTimestamp", "deletionGracePeriodSeconds", "finalizers"] {
            metadata.as_object_mut().unwrap().remove(gone);
        }
    }

    /// A name that was not there before.
    pub(super) fn new_name(&mut self, prefix: &str) -> String {
        self.version += 1;
        const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut number = self.version.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8;
        let mut name = prefix.to_owned();
        for _ in 0..5 {
            name.push(char::from(LETTERS[(number % 27) as usize]));
            number /= 27;
        }
        name
    }

    /// All containers run and are ready; of the one before the address is kept, the logs are not.
    fn start(&mut self, pod: &mut Value, before: &Value) {
        let (ns, name, now) =
            (pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(), name_of(pod).to_owned(), self.now());
        let old = |container: &Value| {
            let mut all = ["containerStatuses", "initContainerStatuses"].iter().flat_map(|key| array(&before[*key]));
            all.find(|status| status["name"] == container["name"] && status["image"] == container["image"])
        };
        let status = |container: &Value, ends: bool| {
            let id = format!("containerd://{}-{}", name, container["name"].as_str().unwrap_or_default());
            let state = match ends {
                true => json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now,
                    "finishedAt": now, "containerID": id}}),
                false => json!({"running": {"startedAt": now}}),
            };
            json!({"name": container["name"], "image": container["image"], "containerID": id, "lastState": {},
                "imageID": old(container).map_or(json!(""), |old| old["imageID"].clone()),
                "ready": true, "started": !ends, "restartCount": 0, "state": state})
        };
        let inits = array(&pod["spec"]["initContainers"]);
        let inits: Vec<Value> = inits.map(|one| status(one, one["restartPolicy"] != "Always")).collect();
        let containers: Vec<Value> = array(&pod["spec"]["containers"]).map(|one| status(one, false)).collect();
        let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
        let conditions = conditions
            .map(|of| json!({"type": of, "status": "True", "lastProbeTime": null, "lastTransitionTime": now}));
        let mut status = json!({"phase": "Running", "conditions": conditions, "startTime": now,
            "containerStatuses": containers, "qosClass": before["qosClass"]});
        if !inits.is_empty() {
            status["initContainerStatuses"] = inits.into();
        }
        let node = self.object("", "nodes", pod["spec"]["nodeName"].as_str().unwrap_or_default()).unwrap_or_default();
        let host = array(&node["status"]["addresses"]).find(|address| address["type"] == "InternalIP");
        let host = host.map_or(before["hostIP"].clone(), |address| address["address"].clone());
        let ip = match &before["podIP"] {
            Value::Null if pod["spec"]["hostNetwork"] == true => host.clone(),
            Value::Null => format!("10.244.255.{}", self.version % 250 + 1).into(),
            ip => ip.clone(),
        };
        let ips = if before["podIPs"].is_null() { json!([{"ip": ip}]) } else { before["podIPs"].clone() };
        status["hostIP"] = host;
        status["podIP"] = ip;
        status["podIPs"] = ips;
        pod["status"] = status;
        for container in array(&pod["spec"]["initContainers"]).chain(array(&pod["spec"]["containers"])) {
            let container = container["name"].as_str().unwrap_or_default();
            self.write(&format!("namespaces/{ns}/pods/{name}/{container}/{container}/logs/current.log"), "");
        }
    }

    fn template(&self, ns: &str, plural: &str, name: &str) -> Option<Value> {
        self.object(ns, plural, name).map(|owner| owner["spec"]["template"].clone())
    }

    /// The Deployment's, because a roll-out here keeps the ReplicaSet.
    fn template_of_replica_set(&self, ns: &str, name: &str) -> Option<Value> {
        let deployment = name.rsplit_once('-').and_then(|(name, _)| self.template(ns, "deployments.apps", name));
        deployment.or_else(|| self.template(ns, "replicasets.apps", name))
    }

    /// How many pods there should be of a ReplicaSet, as its Deployment says.
    fn replicas(&self, ns: &str, replica_set: &str) -> Option<u64> {
        let deployment = replica_set.rsplit_once('-').and_then(|(name, _)| self.object(ns, "deployments.apps", name));
        let owner = deployment.or_else(|| self.object(ns, "replicasets.apps", replica_set))?;
        owner["spec"]["replicas"].as_u64()
    }

    /// The pods of a workload, and their names.
    fn pods_of(&self, ns: &str, kind: &str, name: &str) -> Vec<Value> {
        let mut pods = self.all(ns, "pods");
        pods.retain(|pod| match (controller(pod), kind) {
            (Some(("ReplicaSet", owner)), "Deployment") => {
                owner.rsplit_once('-').is_some_and(|(deployment, _)| deployment == name)
            }
            (owner, kind) => owner == Some((kind, name)),
        });
        pods
    }

    /// Does what follows from a new specification of a workload.
    pub(super) fn roll_out(&mut self, spot: &Spot<'_>, before: &Value, after: &Value) {
        let kind = spot.resource.kind.as_str();
        if spot.resource.group != "apps" || !["Deployment", "DaemonSet", "StatefulSet"].contains(&kind) {
            return;
        }
        let pods = self.pods_of(&spot.ns, kind, &spot.name);
        let at = |pod: &Value| Spot { name: name_of(pod).to_owned(), ..self.spot(&spot.ns, "pods", "") };
        let places: Vec<Spot<'_>> = pods.iter().map(at).collect();
        let waits = after["spec"]["updateStrategy"]["type"] == "OnDelete" || after["spec"]["paused"] == true;
        let replaced = before["spec"]["template"] != after["spec"]["template"] && !waits;
        if let (Some(wanted), false) = (after["spec"]["replicas"].as_u64(), kind == "DaemonSet") {
            self.scale(spot, &places, &pods, after, wanted as usize);
        }
        for place in places.iter().filter(|_| replaced) {
            self.replace_pod(place);
        }
        self.owners.insert((spot.ns.clone(), spot.resource.name(), spot.name.clone()));
    }

    /// Takes pods away, the last first, or makes some.
    fn scale(&mut self, spot: &Spot<'_>, places: &[Spot<'_>], pods: &[Value], owner: &Value, wanted: usize) {
        places.iter().skip(wanted).for_each(|place| self.take(place));
        if spot.resource.kind != "Deployment" {
            return;
        }
        let own = |set: &Value| controller(set) == Some(("Deployment", spot.name.as_str()));
        let Some(set) = self.all(&spot.ns, "replicasets.apps").into_iter().filter(own).max_by_key(revision) else {
            return;
        };
        if set["spec"]["replicas"] != wanted {
            self.edit(&spot.ns, "replicasets.apps", name_of(&set), |set| set["spec"]["replicas"] = wanted.into());
        }
        for _ in pods.len()..wanted {
            let Some(node) = self.node_with_room() else { return };
            let prefix = format!("{}-", name_of(&set));
            let name = self.new_name(&prefix);
            let mut metadata = owner["spec"]["template"]["metadata"].clone();
            metadata["labels"]["pod-template-hash"] = set["metadata"]["labels"]["pod-template-hash"].clone();
            metadata["namespace"] = spot.ns.as_str().into();
            metadata["generateName"] = prefix.into();
            metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": name_of(&set), "uid": set["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}]);
            let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": owner["spec"]["template"]["spec"]});
            pod["spec"]["nodeName"] = node.into();
            self.be_born(&mut pod, &name);
            self.start(&mut pod, &Value::Null);
            self.put(&Spot { name, ..self.spot(&spot.ns, "pods", "") }, pod);
        }
    }

    /// The first node that is ready and takes pods.
    fn node_with_room(&self) -> Option<String> {
        let nodes = self.all("", "nodes");
        let mut fit = nodes.iter().filter(|node| {
            is_true(node, "Ready") && array(&node["spec"]["taints"]).all(|taint| taint["effect"] == "PreferNoSchedule")
        });
        fit.next().map(|node| name_of(node).to_owned())
    }

    /// Counts the pods of all workloads that lost or got some.
    pub(super) fn settle(&mut self) {
        let sets: Vec<_> = self.owners.iter().filter(|(_, plural, _)| plural == "replicasets.apps").cloned().collect();
        for (ns, _, name) in sets {
            let owner = self.object(&ns, "replicasets.apps", &name);
            if let Some(("Deployment", deployment)) = owner.as_ref().and_then(controller) {
                self.owners.insert((ns, "deployments.apps".to_owned(), deployment.to_owned()));
            }
        }
        for (ns, plural, name) in std::mem::take(&mut self.owners) {
            if !["deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps"].contains(&&*plural) {
                continue;
            }
            let spot = self.spot(&ns, &plural, &name);
            let Some(mut owner) = self.get(&spot) else { continue };
            let pods = self.pods_of(&ns, &spot.resource.kind, &name);
            let before = owner.clone();
            count(&mut owner, &spot.resource.kind, &pods, &self.now());
            if owner != before {
                self.put(&spot, owner);
            }
        }
    }
}

/// The status of a workload with these pods.
fn count(owner: &mut Value, kind: &str, pods: &[Value], now: &str) {
    let (all, ready) = (pods.len() as u64, pods.iter().filter(|pod| is_true(pod, "Ready")).count() as u64);
    let wanted = owner["spec"]["replicas"].as_u64().unwrap_or(1);
    let status = &mut owner["status"];
    let desired = status["desiredNumberScheduled"].as_u64().unwrap_or(all);
    let counts: &[(&str, u64)] = match kind {
        "DaemonSet" => &[
            ("desiredNumberScheduled", desired),
            ("currentNumberScheduled", all),
            ("updatedNumberScheduled", all),
            ("numberReady", ready),
            ("numberAvailable", ready),
            ("numberUnavailable", desired.saturating_sub(ready)),
        ],
        "Deployment" => &[
            ("replicas", all),
            ("updatedReplicas", all),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
            ("unavailableReplicas", wanted.saturating_sub(ready)),
        ],
        "StatefulSet" => &[
            ("replicas", all),
            ("currentReplicas", all),
            ("updatedReplicas", all),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
        ],
        _ => {
            &[("replicas", all), ("fullyLabeledReplicas", all), ("readyReplicas", ready), ("availableReplicas", ready)]
        }
    };
    const ALWAYS: [&str; 4] = ["numberReady", "desiredNumberScheduled", "currentNumberScheduled", "replicas"];
    for (key, count) in counts {
        // A server leaves out most counts of nothing.
        if *count > 0 || ALWAYS.contains(key) && (kind != "Deployment") {
            status[*key] = (*count).into();
        } else if let Some(status) = status.as_object_mut() {
            status.remove(*key);
        }
    }
    if kind == "Deployment" {
        let enough = ready >= wanted;
        condition(status, "Available", enough, ["MinimumReplicasAvailable", "MinimumReplicasUnavailable"], now);
        condition(status, "Progressing", true, ["NewReplicaSetAvailable", ""], now);
    }
    if owner["metadata"]["generation"].is_u64() {
        owner["status"]["observedGeneration"] = owner["metadata"]["generation"].clone();
    }
}

/// Sets a condition; one that already stands keeps its time and words.
fn condition(status: &mut Value, of: &str, is: bool, reasons: [&str; 2], now: &str) {
    let word = if is { "True" } else { "False" };
    let reason = reasons[usize::from(!is)];
    let message = match reason {
        "MinimumReplicasAvailable" => "Deployment has minimum availability.",
        "MinimumReplicasUnavailable" => "Deployment does not have minimum availability.",
        _ => "ReplicaSet has successfully progressed.",
    };
    let new = json!({"type": of, "status": word, "reason": reason, "message": message,
        "lastTransitionTime": now, "lastUpdateTime": now});
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let conditions = status["conditions"].as_array_mut().unwrap();
    match conditions.iter_mut().find(|condition| condition["type"] == of) {
        Some(old) if old["status"] == word => {}
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// What a pod has of its template: its containers whole, labels and annotations in front of its own.
fn take_over(pod: &mut Value, template: &Value) {
    for field in ["containers", "initContainers"] {
        if template["spec"][field].is_array() {
            pod["spec"][field] = template["spec"][field].clone();
        }
    }
    for field in ["labels", "annotations"] {
        for (key, value) in template["metadata"][field].as_object().into_iter().flatten() {
            pod["metadata"][field][key] = value.clone();
        }
    }
}

fn revision(set: &Value) -> u64 {
    let revision = set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
    revision.and_then(|revision| revision.parse().ok()).unwrap_or_default()
}

pub(super) fn is_true(object: &Value, condition: &str) -> bool {
    array(&object["status"]["conditions"]).any(|one| one["type"] == condition && one["status"] == "True")
}

pub(super) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
