//! Metrics for a Pushgateway: one PUT, which takes the place of what was pushed before.

use std::str::FromStr;
use std::time::Duration;

use http::{Request, Uri, header};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::{Client, Config};

use crate::facts::live::chain;
use crate::report::clean::clean;

/// For all of it, from the connection to the end of the answer.
const AT_MOST: Duration = Duration::from_secs(10);
/// More of an answer is not read.
const ANSWER_AT_MOST: usize = 64 << 10;
/// More of an answer is not told.
const SAID_AT_MOST: usize = 200;
const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway(Uri);

impl FromStr for Gateway {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no address: {error}"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !["http", "https"].contains(&scheme) || uri.host().is_none_or(str::is_empty) {
            return Err(format!("{text:?} is not http://HOST[:PORT] or https://HOST[:PORT]"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("an address on the command line must not hold a password".into());
        }
        if uri.query().is_some() {
            return Err(format!("{text:?} has a query; a Pushgateway takes none"));
        }
        Ok(Self(uri))
    }
}

impl Gateway {
    /// The port that a NetworkPolicy must let through.
    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.0.scheme_str() == Some("https") { 443 } else { 80 })
    }

    pub fn address(&self) -> String {
        self.0.to_string().trim_end_matches('/').to_owned()
    }

    /// The path of the group: a whole one that the user gave, else our own. Each namespace that is looked at has its
    /// own, so that two runs for two clusters do not take each other's place.
    fn path(&self, namespace: Option<&str>) -> String {
        let given = self.0.path().trim_end_matches('/');
        if given.contains("/metrics/job") {
            return given.to_owned();
        }
        let namespace = namespace.map(|namespace| format!("/instance/{namespace}")).unwrap_or_default();
        format!("{given}/metrics/job/rookdoctor{namespace}")
    }

    /// Pushes, or says why not.
    pub async fn push(&self, namespace: Option<&str>, metrics: String) -> Result<(), String> {
        let pushed = tokio::time::timeout(AT_MOST, self.exchange(namespace, metrics)).await;
        pushed.unwrap_or_else(|_| Err(format!("no answer within {} s", AT_MOST.as_secs())))
    }

    async fn exchange(&self, namespace: Option<&str>, metrics: String) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| clean(&error.to_string(), SAID_AT_MOST);
        let client = Client::try_from(self.config()).map_err(|error| told(&error))?;
        let request = Request::put(self.path(namespace)).header(header::CONTENT_TYPE, CONTENT);
        let request = request.body(Body::from(metrics.into_bytes())).map_err(|error| told(&error))?;
        let response = client.send(request).await.map_err(|error| match error {
            kube::Error::Service(error) => clean(&chain(error.as_ref()), SAID_AT_MOST),
            error => clean(&chain(&error), SAID_AT_MOST),
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body = Limited::new(response.into_body(), ANSWER_AT_MOST).collect().await;
        let said = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        Err(clean(&format!("{status}: {said}"), SAID_AT_MOST))
    }

    fn config(&self) -> Config {
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        let mut config = Config::new(Uri::from_parts(parts).unwrap_or_else(|_| self.0.clone()));
        // An image without certificates of its own can still push without TLS.
        if self.0.scheme_str() == Some("http") {
            config.root_cert = Some(Vec::new());
        }
        config.default_retry = false;
        // The one limit is that of the whole push: another of the same length might end first, and say less.
        config.connect_timeout = None;
        config.read_timeout = None;
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_that_of_the_namespace_or_the_one_that_was_given() {
        for (given, namespace, path, port) in [
            ("http://gw:9091", Some("rook-ceph"), "/metrics/job/rookdoctor/instance/rook-ceph", 9091),
            ("http://gw", None, "/metrics/job/rookdoctor", 80),
            ("https://gw/push/", Some("a"), "/push/metrics/job/rookdoctor/instance/a", 443),
            ("https://gw:1/metrics/job/ceph/site/x", Some("a"), "/metrics/job/ceph/site/x", 1),
        ] {
            let gateway: Gateway = given.parse().unwrap();
            assert_eq!((gateway.path(namespace).as_str(), gateway.port()), (path, port));
        }
    }

    #[test]
    fn what_is_no_address_or_holds_a_password_is_refused() {
        for wrong in ["", "gw:9091", "/metrics", "ftp://gw", "http://", "http://a:b@gw", "http://gw/?x=y", "http://a b"]
        {
            assert!(wrong.parse::<Gateway>().is_err(), "{wrong}");
        }
    }
}
