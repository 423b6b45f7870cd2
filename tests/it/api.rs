//! The double of the API server, and what is proved with it.

use rookdoctor::examples;

use crate::double::{Double, Faults};
use crate::support;

#[test]
fn it_serves() {
    let double = Double::serve(support::base(examples::ALL[0].name), Faults::none());
    println!("{}", double.url());
    println!("{}", double.kubeconfig().display());
    if std::env::var("WAIT").is_ok() {
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
}
