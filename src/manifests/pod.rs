//! The CronJob and its pod, which meets the restricted Pod Security Standard.

use serde_json::{Value, json};

use super::{Manifest, NAME, Textfile, Wanted, labels, metadata};

/// The user of the image.
const USER: u32 = 65532;
/// For pulling the image, starting, and publishing, beyond the time of the diagnosis.
const BEYOND: u64 = 180;
const A_DAY: u32 = 24 * 3600;
/// Where the node's folder is in the pod.
const METRICS: &str = "/metrics";

pub(super) fn cron_job(wanted: &Wanted) -> Manifest {
    let mut about = vec![
        "The exit status is 0 whenever the report was published, so a failed Job is one that could not do its work. \
         What it found is in its log, in the ConfigMap and in the Events."
            .to_owned(),
        "Cordoned nodes and those of the control plane are taken as well: often they are what is left when others are \
         sick."
            .to_owned(),
    ];
    if let Some(Textfile { folder, node }) = &wanted.textfile {
        about.push(format!(
            "{folder} on {node} must be writable for user {USER}. A folder of the node is nothing that the baseline \
             and restricted Pod Security Standards allow: the namespace must let it in. It runs on this node only, \
             because what it wrote elsewhere before would stay there."
        ));
    }
    let job = json!({"backoffLimit": 0, "activeDeadlineSeconds": wanted.timeout_seconds + BEYOND,
        "ttlSecondsAfterFinished": A_DAY,
        "template": {"metadata": {"labels": labels()}, "spec": pod(wanted)}});
    let object = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata(&wanted.into, NAME),
        "spec": {"schedule": wanted.schedule, "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 120,
            "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 3,
            "jobTemplate": {"metadata": {"labels": labels()}, "spec": job}}});
    Manifest { about, object }
}

fn pod(wanted: &Wanted) -> Value {
    let tolerate = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoSchedule"});
    let mut pod = json!({
        "restartPolicy": "Never",
        "serviceAccountName": NAME,
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "tolerations": [tolerate("node.kubernetes.io/unschedulable"), tolerate("node-role.kubernetes.io/control-plane")],
        "containers": [container(wanted)],
    });
    if let Some(class) = &wanted.priority_class {
        pod["priorityClassName"] = class.as_str().into();
    }
    if let Some(Textfile { folder, node }) = &wanted.textfile {
        pod["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        pod["volumes"] = json!([{"name": "metrics", "hostPath": {"path": folder, "type": "Directory"}}]);
    }
    pod
}

fn container(wanted: &Wanted) -> Value {
    // Measured: 25 to 80 MiB; 90 MiB for 2,000 OSDs.
    let resources = json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}});
    let mut container = json!({
        "name": NAME,
        "image": wanted.image,
        "args": args(wanted),
        "resources": resources,
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}},
    });
    if wanted.textfile.is_some() {
        container["volumeMounts"] = json!([{"name": "metrics", "mountPath": METRICS}]);
    }
    container
}

fn args(wanted: &Wanted) -> Vec<String> {
    let mut args = vec!["publish".to_owned(), format!("--namespace={}", wanted.places.cluster)];
    if wanted.places.operator != wanted.places.cluster {
        args.push(format!("--operator-namespace={}", wanted.places.operator));
    }
    args.push(format!("--timeout={}s", wanted.timeout_seconds));
    args.extend(wanted.push.as_ref().map(|gateway| format!("--push={}", gateway.address())));
    args.extend(wanted.textfile.as_ref().map(|_| format!("--metrics-file={METRICS}/rookdoctor.prom")));
    args
}
