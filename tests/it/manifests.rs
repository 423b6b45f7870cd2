//! The printed CronJob and what comes with it: what Kubernetes takes, what the restricted Pod Security Standard wants,
//! and roles through which every request of `publish` passes.

use std::collections::BTreeSet;
use std::process::Command;

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli;
use crate::fixes::Bed;
use crate::rbac::{Right, needs, rights};
use crate::support::kubectl_minor;

/// Every flag that adds something.
const ALL: &str = "-n storage --operator-namespace rook-system --into doctor --create-namespace --exec --also multus \
                   --push https://gw.example:9443 --textfile-folder /var/lib/textfile --node ash-w1 \
                   --priority-class high --image registry.example/rookdoctor:9 --schedule @hourly --timeout 2m \
                   --api-port 8443";

fn print(args: &str) -> String {
    let args: Vec<&str> = ["manifests"].into_iter().chain(args.split_whitespace()).collect();
    let output = cli::run(&args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn printed(args: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(&print(&format!("{args} -o json"))).unwrap();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&"List".into(), &"v1".into()));
    list["items"].as_array().unwrap().clone()
}

fn of<'v>(objects: &'v [Value], kind: &str, name: &str) -> &'v Value {
    let mut found = objects.iter().filter(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn pod(objects: &[Value]) -> Value {
    of(objects, "CronJob", "rookdoctor")["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone()
}

/// The object as the type of Kubernetes has it.
fn again<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()
}

#[test]
fn the_objects_are_what_kubernetes_takes_and_have_no_unknown_field() {
    for args in ["", ALL] {
        let items = printed(args);
        for item in &items {
            let same = match item["kind"].as_str().unwrap() {
                "Namespace" => again::<Namespace>(item),
                "ServiceAccount" => again::<ServiceAccount>(item),
                "ClusterRole" => again::<ClusterRole>(item),
                "ClusterRoleBinding" => again::<ClusterRoleBinding>(item),
                "Role" => again::<Role>(item),
                "RoleBinding" => again::<RoleBinding>(item),
                "ConfigMap" => again::<ConfigMap>(item),
                "NetworkPolicy" => again::<NetworkPolicy>(item),
                "CronJob" => again::<CronJob>(item),
                other => panic!("{other}"),
            };
            assert_eq!(same, *item);
            assert_eq!(item["metadata"]["labels"]["app.kubernetes.io/name"], "rookdoctor", "{item}");
            assert!(item["metadata"]["name"].is_string() && item["metadata"]["generateName"].is_null());
            let has_namespace = item["metadata"]["namespace"].is_string();
            let kind = item["kind"].as_str().unwrap();
            assert_eq!(has_namespace, !["Namespace", "ClusterRole", "ClusterRoleBinding"].contains(&kind), "{item}");
        }
        let ids: BTreeSet<String> = items.iter().map(|item| format!("{} {}", item["kind"], item["metadata"])).collect();
        assert_eq!(ids.len(), items.len(), "no object twice");
        let text = print(args);
        let documents: Vec<Value> =
            text.split("---\n").skip(1).map(|one| serde_saphyr::from_str(one).unwrap()).collect();
        assert_eq!(documents, items, "what people read is the same");
        assert!(text.lines().filter(|line| line.starts_with('#')).all(|line| line.len() <= 100), "{text}");
    }
}

#[test]
fn every_flag_is_in_what_is_printed() {
    let items = printed(ALL);
    let job = of(&items, "CronJob", "rookdoctor");
    assert_eq!((&job["metadata"]["namespace"], &job["spec"]["schedule"]), (&"doctor".into(), &"@hourly".into()));
    assert_eq!(job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"], 300);
    let pod = pod(&items);
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "registry.example/rookdoctor:9");
    assert_eq!(
        container["args"],
        json!([
            "publish",
            "--namespace=storage",
            "--operator-namespace=rook-system",
            "--timeout=120s",
            "--push=https://gw.example:9443",
            "--metrics-file=/metrics/rookdoctor.prom"
        ])
    );
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["volumes"][0]["hostPath"]["path"], "/var/lib/textfile");
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/hostname": "ash-w1"}));
    let policy = &of(&items, "NetworkPolicy", "rookdoctor")["spec"];
    let ports: Vec<&Value> = policy["egress"][1]["ports"].as_array().unwrap().iter().map(|it| &it["port"]).collect();
    assert_eq!(ports, [443, 8443, 9443]);
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(policy.get("ingress").is_none(), "nothing may come in");
    assert_eq!(of(&items, "Role", "rookdoctor-events")["metadata"]["namespace"], "storage");
    assert_eq!(of(&items, "Role", "rookdoctor-report")["metadata"]["namespace"], "doctor");
    assert_eq!(
        of(&items, "Namespace", "doctor")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "privileged"
    );
    assert!(items.iter().any(|it| it["kind"] == "Role" && it["metadata"]["namespace"] == "multus"));
    assert!(items.iter().any(|it| it["metadata"]["name"] == "rookdoctor-exec"));
}

#[test]
fn by_default_it_gets_little_and_says_what_that_costs() {
    let items = printed("");
    assert!(items.iter().all(|it| it["metadata"]["name"] != "rookdoctor-exec" && it["kind"] != "Namespace"));
    assert!(
        print("").replace("\n#  ", "").contains("what it would say is unknown (--exec adds it): "),
        "and it is said"
    );
    assert!(of(&items, "ConfigMap", "rookdoctor-report").get("data").is_none(), "applying it takes nothing away");
    assert_eq!(of(&items, "ServiceAccount", "rookdoctor")["automountServiceAccountToken"], false);
    assert_eq!(pod(&items)["automountServiceAccountToken"], true);
    for wrong in ["-n A", "--into a/b", "--timeout 0", "--also \u{e9}"] {
        let args: Vec<&str> = ["manifests"].into_iter().chain(wrong.split(' ')).collect();
        assert_eq!(cli::run(&args).status.code(), Some(64), "{wrong}");
    }
}

/// A rule of the restricted Pod Security Standard: what it is about, and whether a pod meets it.
type Rule = (&'static str, fn(&Value) -> bool);

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>, those of the baseline first.
const RESTRICTED: &[Rule] = &[
    ("HostProcess", |pod| all(pod, |part| part["securityContext"]["windowsOptions"]["hostProcess"] != true)),
    ("Host Namespaces", |pod| ["hostNetwork", "hostPID", "hostIPC"].iter().all(|key| pod[key] != true)),
    ("Privileged Containers", |pod| each(pod, |it| it["securityContext"]["privileged"] != true)),
    ("Capabilities", |pod| {
        each(pod, |it| {
            let capabilities = &it["securityContext"]["capabilities"];
            let added = capabilities["add"].as_array().into_iter().flatten();
            capabilities["drop"].as_array().is_some_and(|drop| drop.iter().any(|one| one == "ALL"))
                && added.into_iter().all(|one| one == "NET_BIND_SERVICE")
        })
    }),
    ("HostPath Volumes", |pod| volumes(pod).iter().all(|volume| volume["hostPath"].is_null())),
    ("Host Ports", |pod| {
        each(pod, |it| it["ports"].as_array().into_iter().flatten().all(|port| port["hostPort"].is_null()))
    }),
    ("Host Probes", |pod| {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"];
        each(pod, |it| probes.iter().all(|probe| it[probe].is_null()))
    }),
    ("AppArmor", |pod| {
        let allowed = [json!("RuntimeDefault"), json!("Localhost"), Value::Null];
        all(pod, |part| allowed.contains(&part["securityContext"]["appArmorProfile"]["type"]))
    }),
    ("SELinux", |pod| all(pod, |part| part["securityContext"]["seLinuxOptions"].is_null())),
    ("/proc Mount Type", |pod| {
        each(pod, |it| [Value::Null, json!("Default")].contains(&it["securityContext"]["procMount"]))
    }),
    ("Sysctls", |pod| pod["securityContext"]["sysctls"].is_null()),
    ("Volume Types", |pod| {
        let allowed = [
            "name",
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        volumes(pod).iter().all(|volume| volume.as_object().unwrap().keys().all(|key| allowed.contains(&key.as_str())))
    }),
    ("Privilege Escalation", |pod| each(pod, |it| it["securityContext"]["allowPrivilegeEscalation"] == false)),
    ("Running as Non-root", |pod| each(pod, |it| effective(pod, it, "runAsNonRoot") == true)),
    ("Running as Non-root user", |pod| {
        all(pod, |part| part["securityContext"]["runAsUser"] != 0) && pod["securityContext"]["runAsUser"].is_u64()
    }),
    ("Seccomp", |pod| {
        let allowed = [json!("RuntimeDefault"), json!("Localhost")];
        each(pod, |it| allowed.contains(&effective(pod, it, "seccompProfile")["type"]))
    }),
];

fn containers(pod: &Value) -> Vec<&Value> {
    let kinds = ["initContainers", "containers", "ephemeralContainers"];
    kinds.iter().flat_map(|kind| pod[kind].as_array().into_iter().flatten()).collect()
}

fn each(pod: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    let containers = containers(pod);
    !containers.is_empty() && containers.into_iter().all(holds)
}

/// Of the pod itself as well.
fn all(pod: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    holds(pod) && each(pod, holds)
}

/// What a container says, else what the pod says for it.
fn effective<'v>(pod: &'v Value, container: &'v Value, key: &str) -> &'v Value {
    let own = &container["securityContext"][key];
    if own.is_null() { &pod["securityContext"][key] } else { own }
}

fn volumes(pod: &Value) -> Vec<&Value> {
    pod["volumes"].as_array().into_iter().flatten().collect()
}

fn broken(pod: &Value) -> Vec<&'static str> {
    RESTRICTED.iter().filter(|(_, holds)| !holds(pod)).map(|(name, _)| *name).collect()
}

#[test]
fn the_pod_meets_the_restricted_standard_unless_a_folder_of_the_node_is_asked_for() {
    let good = pod(&printed("--push http://gw:9091 --exec"));
    assert_eq!(broken(&good), [] as [&str; 0]);
    assert_eq!(good["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    let (resources, user) = (&good["containers"][0]["resources"], &good["securityContext"]["runAsUser"]);
    assert!(resources["requests"]["memory"].is_string() && resources["limits"]["memory"].is_string());
    let image = include_str!("../../.ci/Containerfile");
    assert!(
        image.contains(&format!("USER {user}:")) && image.contains("FROM scratch"),
        "the user is that of the image"
    );
    assert_eq!(broken(&pod(&printed(ALL))), ["HostPath Volumes", "Volume Types"]);
    // The table itself can fail.
    let bare = json!({"hostNetwork": true, "containers": [{"name": "x", "securityContext": {"privileged": true}}]});
    let missing = ["Host Namespaces", "Privileged Containers", "Capabilities", "Privilege Escalation", "Seccomp"];
    assert!(missing.iter().all(|rule| broken(&bare).contains(rule)), "{:?}", broken(&bare));
}

/// Puts the printed ConfigMap into the cluster and runs what the CronJob runs, as the ServiceAccount may.
fn scheduled(bed: &Bed, objects: &[Value]) {
    let map = of(objects, "ConfigMap", "rookdoctor-report").clone();
    bed.double.change(|cluster| {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [map]});
        cluster.write("namespaces/rook-ceph/core/configmaps/rookdoctor-report.yaml", list.to_string());
        cluster.edit("rook-ceph", "configmaps", "rookdoctor-report", |map| map["metadata"]["uid"] = "report".into());
    });
    bed.double.deny("create", "configmaps");
    let args: Vec<String> = serde_json::from_value(pod(objects)["containers"][0]["args"].clone()).unwrap();
    // The double's context has another namespace than the pod would have.
    let ran = bed.run(&format!("{} --configmap rook-ceph/rookdoctor-report", args.join(" ")));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.says("Event for new root causes") || ran.says("Events for new root causes"), "{ran:?}");
}

#[test]
fn the_printed_roles_allow_what_publish_asks_and_nothing_else_is_written() {
    for story in ["story7-mon-down-one", "story5-kubeovn-after-reboot"] {
        let objects = printed("--exec");
        let bed = Bed::of(story);
        scheduled(&bed, &objects);
        let granted = rights(&objects);
        let asked: BTreeSet<Right> = bed.double.requests().iter().filter_map(|request| needs(request)).collect();
        let refused: Vec<&Right> = asked.iter().filter(|asked| !granted.iter().any(|it| it.allows(asked))).collect();
        assert_eq!(refused, [] as [&Right; 0]);

        let own =
            |role: &&Value| ["rookdoctor-report", "rookdoctor-events"].iter().any(|it| role["metadata"]["name"] == *it);
        let own: Vec<Value> = objects.iter().filter(own).cloned().collect();
        let own = rights(&own);
        let idle: Vec<&Right> = own.iter().filter(|right| !asked.iter().any(|asked| right.allows(asked))).collect();
        assert_eq!((own.len(), idle), (3, Vec::new()), "granted, and of no use");
        // To read nothing but this: the other roles only read, and run commands.
        let reads = |right: &Right| ["get", "list"].contains(&right.verb.as_str()) || right.resource == "pods/exec";
        assert!(granted.iter().filter(|right| !own.contains(right)).all(reads));
        let rule = &of(&objects, "Role", "rookdoctor-report")["rules"];
        assert_eq!(rule[0]["resourceNames"], json!(["rookdoctor-report"]));
        for write in bed.double.writes().iter().filter(|write| !write.starts_with("CEPH")) {
            let is_ours = write.starts_with("PUT /api/v1/namespaces/rook-ceph/configmaps/rookdoctor-report")
                || write.starts_with("POST /api/v1/namespaces/rook-ceph/events");
            assert!(is_ours, "{write}");
        }
    }
}

#[test]
fn without_exec_nothing_of_it_is_granted_and_it_is_published_all_the_same() {
    let objects = printed("");
    assert!(rights(&objects).iter().all(|right| right.resource != "pods/exec"));
    let bed = Bed::of("story7-mon-down-one");
    bed.double.deny("create", "pods/exec");
    bed.double.deny("get", "pods/exec");
    scheduled(&bed, &objects);
    let map = bed.double.object("rook-ceph", "configmaps", "rookdoctor-report").unwrap();
    let report: Value = serde_json::from_str(map["data"]["report.json"].as_str().unwrap()).unwrap();
    assert!(report["unknowns"].as_array().unwrap().iter().any(|it| it["why"] == "forbidden"), "{report}");
}

#[test]
fn kubectl_and_kustomize_take_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    std::fs::write(&file, print(ALL)).unwrap();
    let bed = Bed::of("healthy-classic-podnet");
    let kubectl = |args: &[&str]| {
        let config = bed.double.kubeconfig();
        let ran =
            Command::new("kubectl").args(args).env("KUBECONFIG", config).env("HOME", folder.path()).output().unwrap();
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    let count = printed(ALL).len();
    let made = kubectl(&["create", "--dry-run=client", "--validate=false", "-o", "name", "-f", file.to_str().unwrap()]);
    assert_eq!(made.lines().count(), count, "{made}");

    let dir = folder.path().join("base");
    let told = print(&format!("{ALL} --kustomize {}", dir.display()));
    assert!(told.contains(&format!("wrote {} files", count + 1)), "{told}");
    let names = std::fs::read_dir(&dir).unwrap().count();
    assert_eq!(names, count + 1, "one file for each object");
    let args: Vec<String> = format!("manifests --kustomize {}", dir.display()).split(' ').map(str::to_owned).collect();
    let again = cli::program().args(args).output().unwrap();
    assert_eq!(again.status.code(), Some(64), "what is there is not overwritten");
    if kubectl_minor() < 22 {
        return;
    }
    let built = kubectl(&["kustomize", dir.to_str().unwrap()]);
    let built: Vec<Value> = built.split("\n---\n").map(|one| serde_saphyr::from_str(one).unwrap()).collect();
    let key = |one: &Value| format!("{} {} {}", one["kind"], one["metadata"]["name"], one["metadata"]["namespace"]);
    let sorted = |mut all: Vec<Value>| {
        all.sort_by_key(key);
        all
    };
    assert_eq!(sorted(built), sorted(printed(ALL)));
}
