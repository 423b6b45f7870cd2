//! Rows of the kinds that no check reads as rows, in the words of the server's printers.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::facts::printed::{age, duration, list, name, number, or, pairs, selector, template, text, time};

pub type Cells = fn(&Value, Timestamp) -> Vec<Value>;

/// The columns of a kind and what fills them; `*` marks what only `-o wide` shows.
pub fn printer(group: &str, plural: &str) -> Option<(&'static str, Cells)> {
    Some(match (group, plural) {
        ("", "configmaps") => ("Name, Data, Age", config_map),
        ("", "endpoints") => ("Name, Endpoints, Age", endpoints),
        ("", "limitranges") => ("Name, Created At", created_at),
        ("", "namespaces") => ("Name, Status, Age", namespace),
        ("", "replicationcontrollers") => {
            ("Name, Desired, Current, Ready, Age, Containers*, Images*, Selector*", replication_controller)
        }
        ("", "serviceaccounts") => ("Name, Secrets, Age", |one, now| counted(one, "/secrets", now)),
        ("", "services") => ("Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector*", service),
        ("admissionregistration.k8s.io", _) => ("Name, Webhooks, Age", |one, now| counted(one, "/webhooks", now)),
        ("apiextensions.k8s.io", "customresourcedefinitions") => ("Name, Created At", created_at),
        ("apiregistration.k8s.io", "apiservices") => ("Name, Service, Available, Age", api_service),
        ("apps", "controllerrevisions") => ("Name, Controller, Revision, Age", controller_revision),
        ("apps", "statefulsets") => ("Name, Ready, Age, Containers*, Images*", stateful_set),
        ("batch", "cronjobs") => {
            ("Name, Schedule, Timezone, Suspend, Active, Last Schedule, Age, Containers*, Images*, Selector*", cron_job)
        }
        ("discovery.k8s.io", "endpointslices") => ("Name, AddressType, Ports, Endpoints, Age", endpoint_slice),
        ("networking.k8s.io", "ingresses") => ("Name, Class, Hosts, Address, Ports, Age", ingress),
        ("networking.k8s.io", "networkpolicies") => ("Name, Pod-Selector, Age", network_policy),
        ("policy", "poddisruptionbudgets") => {
            ("Name, Min Available, Max Unavailable, Allowed Disruptions, Age", disruption_budget)
        }
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => ("Name, Created At", created_at),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            ("Name, Role, Age, Users*, Groups*, ServiceAccounts*", role_binding)
        }
        ("scheduling.k8s.io", "priorityclasses") => ("Name, Value, Global-Default, Age", priority_class),
        ("storage.k8s.io", "csidrivers") => (
            "Name, AttachRequired, PodInfoOnMount, StorageCapacity, TokenRequests, RequiresRepublish, Modes, Age",
            csi_driver,
        ),
        ("storage.k8s.io", "csinodes") => ("Name, Drivers, Age", |one, now| counted(one, "/spec/drivers", now)),
        ("storage.k8s.io", "csistoragecapacities") => ("Name, StorageClassName, Capacity", |one, _| {
            vec![json!(name(one)), json!(text(one, "/storageClassName")), json!(or(text(one, "/capacity"), "<unset>"))]
        }),
        ("storage.k8s.io", "storageclasses") => {
            ("Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age", storage_class)
        }
        _ => return None,
    })
}

/// Name and age: what a CRD prints that names no columns.
pub fn plain(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(object)), json!(age(object, now))]
}

/// A name, how many there are in a list, and the age.
fn counted(object: &Value, path: &str, now: Timestamp) -> Vec<Value> {
    vec![json!(name(object)), json!(list(object, path).len()), json!(age(object, now))]
}

fn created_at(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![json!(name(object)), json!(text(object, "/metadata/creationTimestamp"))]
}

fn config_map(map: &Value, now: Timestamp) -> Vec<Value> {
    let count = |field: &str| map[field].as_object().map_or(0, serde_json::Map::len);
    vec![json!(name(map)), json!(count("data") + count("binaryData")), json!(age(map, now))]
}

fn namespace(namespace: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(namespace)), json!(text(namespace, "/status/phase")), json!(age(namespace, now))]
}

fn endpoints(endpoints: &Value, now: Timestamp) -> Vec<Value> {
    let subsets = list(endpoints, "/subsets");
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = || list(subset, "/addresses").iter().map(|address| text(address, "/ip"));
        let ports = list(subset, "/ports");
        all.extend(addresses().filter(|_| ports.is_empty()).map(str::to_owned));
        for port in ports {
            all.extend(addresses().map(|ip| host_port(ip, number(port, "/port"))));
        }
    }
    let shown = if subsets.is_empty() { "<none>".to_owned() } else { some(&all) };
    vec![json!(name(endpoints)), json!(shown), json!(age(endpoints, now))]
}

fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// At most three, and how many more there are.
fn some(all: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(",");
    if all.len() > SHOWN { format!("{shown} + {} more...", all.len() - SHOWN) } else { shown }
}

fn endpoint_slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let ports = list(slice, "/ports").iter();
    let ports: Vec<String> =
        ports.map(|port| port["port"].as_i64().map_or("*".to_owned(), |port| port.to_string())).collect();
    let addresses = list(slice, "/endpoints").iter().flat_map(|endpoint| list(endpoint, "/addresses"));
    let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    vec![
        json!(name(slice)),
        json!(text(slice, "/addressType")),
        json!(or(&some(&ports), "<unset>")),
        json!(or(&some(&addresses), "<unset>")),
        json!(age(slice, now)),
    ]
}

fn replication_controller(controller: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        json!(name(controller)),
        json!(number(controller, "/spec/replicas")),
        json!(number(controller, "/status/replicas")),
        json!(number(controller, "/status/readyReplicas")),
        json!(age(controller, now)),
    ];
    cells.extend(template(controller));
    cells.push(json!(labels(controller.pointer("/spec/selector"))));
    cells
}

/// Labels in the notation of the API.
fn labels(labels: Option<&Value>) -> String {
    let labels = pairs(labels).into_values().collect::<Vec<_>>().join(",");
    or(&labels, "<none>").to_owned()
}

fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let texts = |path: &str| list(service, path).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    let external = texts("/spec/externalIPs");
    let kind = or(text(service, "/spec/type"), "ClusterIP");
    let external = match kind {
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let both = [balanced(service), external];
            let both: Vec<&str> = both.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
            or(&both.join(","), "<pending>").to_owned()
        }
        _ => or(&external, "<none>").to_owned(),
    };
    let ports = list(service, "/spec/ports").iter().map(|port| {
        let (own, node) = (number(port, "/port"), number(port, "/nodePort"));
        let protocol = or(text(port, "/protocol"), "TCP");
        if node > 0 { format!("{own}:{node}/{protocol}") } else { format!("{own}/{protocol}") }
    });
    let ports = ports.collect::<Vec<_>>().join(",");
    let ip = or(text(service, "/spec/clusterIPs/0"), text(service, "/spec/clusterIP"));
    vec![
        json!(name(service)),
        json!(kind),
        json!(or(ip, "<none>")),
        json!(external),
        json!(or(&ports, "<none>")),
        json!(age(service, now)),
        json!(labels(service.pointer("/spec/selector"))),
    ]
}

/// The addresses that a load balancer gave.
fn balanced(object: &Value) -> String {
    let ingress = list(object, "/status/loadBalancer/ingress").iter();
    let mut all: Vec<&str> = ingress.map(|one| or(text(one, "/ip"), text(one, "/hostname"))).collect();
    all.sort_unstable();
    all.dedup();
    all.join(",")
}

fn api_service(service: &Value, now: Timestamp) -> Vec<Value> {
    let of = |field: &str| text(service, &format!("/spec/service/{field}"));
    let served = if of("name").is_empty() { "Local".to_owned() } else { format!("{}/{}", of("namespace"), of("name")) };
    let conditions = list(service, "/status/conditions");
    let available = conditions.iter().find(|condition| text(condition, "/type") == "Available");
    let available = available.map_or("Unknown".to_owned(), |condition| match text(condition, "/status") {
        "True" => "True".to_owned(),
        status => format!("{status} ({})", text(condition, "/reason")),
    });
    vec![json!(name(service)), json!(served), json!(available), json!(age(service, now))]
}

fn controller_revision(revision: &Value, now: Timestamp) -> Vec<Value> {
    let owners = list(revision, "/metadata/ownerReferences");
    let owner = owners.iter().find(|owner| owner["controller"] == true).map(|owner| {
        let group = text(owner, "/apiVersion").split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
        format!("{}{group}/{}", text(owner, "/kind").to_lowercase(), text(owner, "/name"))
    });
    vec![
        json!(name(revision)),
        json!(owner.unwrap_or_else(|| "<none>".to_owned())),
        json!(number(revision, "/revision")),
        json!(age(revision, now)),
    ]
}

fn stateful_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let wanted = set.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let ready = format!("{}/{wanted}", number(set, "/status/readyReplicas"));
    let mut cells = vec![json!(name(set)), json!(ready), json!(age(set, now))];
    cells.extend(template(set));
    cells
}

fn cron_job(job: &Value, now: Timestamp) -> Vec<Value> {
    let suspended = match job.pointer("/spec/suspend") {
        Some(Value::Bool(true)) => "True",
        Some(Value::Bool(false)) => "False",
        _ => "<unset>",
    };
    let last = time(job, "/status/lastScheduleTime").map_or("<none>".to_owned(), |at| duration(at, now));
    let inner = job.pointer("/spec/jobTemplate").cloned().unwrap_or_default();
    let mut cells = vec![
        json!(name(job)),
        json!(text(job, "/spec/schedule")),
        json!(or(text(job, "/spec/timeZone"), "<none>")),
        json!(suspended),
        json!(list(job, "/status/active").len()),
        json!(last),
        json!(age(job, now)),
    ];
    cells.extend(template(&inner));
    cells.push(json!(or(&selector(&inner), "<none>")));
    cells
}

fn ingress(ingress: &Value, now: Timestamp) -> Vec<Value> {
    let hosts = list(ingress, "/spec/rules").iter().map(|rule| text(rule, "/host")).filter(|host| !host.is_empty());
    let hosts: Vec<String> = hosts.map(str::to_owned).collect();
    let ports = if list(ingress, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![
        json!(name(ingress)),
        json!(or(text(ingress, "/spec/ingressClassName"), "<none>")),
        json!(or(&some(&hosts), "*")),
        json!(balanced(ingress)),
        json!(ports),
        json!(age(ingress, now)),
    ]
}

fn network_policy(policy: &Value, now: Timestamp) -> Vec<Value> {
    // The printer of selectors looks where workloads have theirs.
    let chosen = selector(&json!({"spec": {"selector": policy["spec"]["podSelector"]}}));
    vec![json!(name(policy)), json!(or(&chosen, "<none>")), json!(age(policy, now))]
}

fn disruption_budget(budget: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |field: &str| match &budget["spec"][field] {
        Value::Null => "N/A".to_owned(),
        Value::String(share) => share.clone(),
        count => count.to_string(),
    };
    vec![
        json!(name(budget)),
        json!(bound("minAvailable")),
        json!(bound("maxUnavailable")),
        json!(number(budget, "/status/disruptionsAllowed")),
        json!(age(budget, now)),
    ]
}

fn role_binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let of = list(binding, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
        let names = of.map(|subject| match (kind, text(subject, "/name")) {
            ("ServiceAccount", name) => format!("{}/{name}", text(subject, "/namespace")),
            (_, name) => name.to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    vec![
        json!(name(binding)),
        json!(format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"))),
        json!(age(binding, now)),
        json!(subjects("User")),
        json!(subjects("Group")),
        json!(subjects("ServiceAccount")),
    ]
}

fn priority_class(class: &Value, now: Timestamp) -> Vec<Value> {
    let default = class["globalDefault"] == true;
    vec![json!(name(class)), json!(number(class, "/value")), json!(default), json!(age(class, now))]
}

fn csi_driver(driver: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &driver["spec"];
    let modes = list(driver, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str);
    let audiences = list(driver, "/spec/tokenRequests").iter().map(|request| text(request, "/audience"));
    let tokens =
        if spec["tokenRequests"].is_null() { "<unset>".to_owned() } else { audiences.collect::<Vec<_>>().join(",") };
    vec![
        json!(name(driver)),
        json!(spec["attachRequired"] != false),
        json!(spec["podInfoOnMount"] == true),
        json!(spec["storageCapacity"] == true),
        json!(tokens),
        json!(spec["requiresRepublish"] == true),
        json!(or(&modes.collect::<Vec<_>>().join(","), "<none>")),
        json!(age(driver, now)),
    ]
}

fn storage_class(class: &Value, now: Timestamp) -> Vec<Value> {
    let marks = ["storageclass.kubernetes.io", "storageclass.beta.kubernetes.io"];
    let is_default =
        marks.iter().any(|mark| class["metadata"]["annotations"][format!("{mark}/is-default-class")] == "true");
    let mark = if is_default { " (default)" } else { "" };
    vec![
        json!(format!("{}{mark}", name(class))),
        json!(text(class, "/provisioner")),
        json!(or(text(class, "/reclaimPolicy"), "Delete")),
        json!(or(text(class, "/volumeBindingMode"), "Immediate")),
        json!(class["allowVolumeExpansion"] == true),
        json!(age(class, now)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T20:05:29Z";

    fn row(group: &str, plural: &str, object: &Value) -> Value {
        json!(printer(group, plural).unwrap().1(object, NOW.parse().unwrap()))
    }

    /// Tables of a real API server (1.36), beside the objects they were printed from.
    #[test]
    fn rows_are_those_that_a_server_prints() {
        let recorded: Value = serde_json::from_str(include_str!("../../tests/data/kubernetes/printed.json")).unwrap();
        let recorded = recorded.as_array().unwrap();
        assert_eq!(recorded.len(), 5);
        for kind in recorded {
            let (group, plural) = (kind["group"].as_str().unwrap(), kind["plural"].as_str().unwrap());
            let columns: Vec<String> =
                list(kind, "/columns").iter().map(|name| name.as_str().unwrap().to_owned()).collect();
            assert_eq!(printer(group, plural).unwrap().0.replace('*', ""), columns.join(", "), "{plural}");
            for (object, cells) in list(kind, "/objects").iter().zip(list(kind, "/cells")) {
                assert_eq!(row(group, plural, object), *cells, "{plural}");
            }
        }
    }

    /// What the recording does not hold, after the printers' source.
    #[test]
    fn other_kinds_are_printed() {
        let metadata = json!({"name": "x", "creationTimestamp": "2026-11-21T20:04:29Z"});
        let with = |mut object: Value| {
            object["metadata"] = metadata.clone();
            object
        };
        for (group, plural, object, cells) in [
            (
                "",
                "endpoints",
                json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "ports": [{"port": 6789}, {"port": 3300}]}]}),
                json!(["x", "10.0.0.1:6789,[fd00::1]:6789,10.0.0.1:3300 + 1 more...", "60s"]),
            ),
            ("", "endpoints", json!({}), json!(["x", "<none>", "60s"])),
            ("", "namespaces", json!({"status": {"phase": "Active"}}), json!(["x", "Active", "60s"])),
            (
                "",
                "services",
                json!({"spec": {"type": "LoadBalancer", "clusterIP": "None",
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}}),
                json!(["x", "LoadBalancer", "None", "<pending>", "80:30080/TCP", "60s", "<none>"]),
            ),
            (
                "apps",
                "statefulsets",
                json!({"spec": {"replicas": 3, "template": {"spec": {"containers": [
                {"name": "db", "image": "postgres:16"}]}}}, "status": {"readyReplicas": 2}}),
                json!(["x", "2/3", "60s", "db", "postgres:16"]),
            ),
            (
                "networking.k8s.io",
                "networkpolicies",
                json!({"spec": {"podSelector": {"matchLabels": {"app": "a"}}}}),
                json!(["x", "app=a", "60s"]),
            ),
            (
                "networking.k8s.io",
                "networkpolicies",
                json!({"spec": {"podSelector": {}}}),
                json!(["x", "<none>", "60s"]),
            ),
            (
                "rbac.authorization.k8s.io",
                "clusterrolebindings",
                json!({"roleRef": {"kind": "ClusterRole", "name": "r"},
                "subjects": [{"kind": "ServiceAccount", "namespace": "n", "name": "s"}, {"kind": "User", "name": "u"}]}),
                json!(["x", "ClusterRole/r", "60s", "u", "", "n/s"]),
            ),
            (
                "storage.k8s.io",
                "csidrivers",
                json!({"spec": {"attachRequired": true, "volumeLifecycleModes": ["Persistent"]}}),
                json!(["x", true, false, false, "<unset>", false, "Persistent", "60s"]),
            ),
            ("storage.k8s.io", "csinodes", json!({"spec": {"drivers": [{}, {}]}}), json!(["x", 2, "60s"])),
            (
                "batch",
                "cronjobs",
                json!({"spec": {"schedule": "0 0 * * *", "suspend": false, "jobTemplate": {}}}),
                json!(["x", "0 0 * * *", "<none>", "False", 0, "<none>", "60s", "", "", "<none>"]),
            ),
            ("apiextensions.k8s.io", "customresourcedefinitions", json!({}), json!(["x", "2026-11-21T20:04:29Z"])),
        ] {
            let columns = printer(group, plural).unwrap().0.split(", ").count();
            assert_eq!(columns, cells.as_array().unwrap().len(), "{plural}");
            assert_eq!(row(group, plural, &with(object)), cells, "{plural}");
        }
    }
}
