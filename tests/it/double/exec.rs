//! Commands run in a container: besides what was recorded, those that change Ceph; and they take their time.

use rookdoctor::serve::exec::{Command, Ran};

use super::Doubled;

impl Doubled {
    pub(super) async fn run(&self, command: &Command) -> Result<Ran, String> {
        let ran = self.ran(command).await;
        if ran.as_ref().is_some_and(|ran| ran.hung) {
            tokio::time::sleep(self.hang).await;
        }
        ran.ok_or_else(|| self.server.unknown_command(command))
    }

    async fn ran(&self, command: &Command) -> Option<Ran> {
        let recorded = self.server.ran(command).await;
        if recorded.is_some() {
            return recorded;
        }
        let words = command.ceph()?;
        let sure = words.iter().any(|word| word == "--yes-i-really-mean-it");
        let words: Vec<&str> = words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
        self.ceph_change(command.cluster(), &words, sure, command.is_limited()).await
    }
}
