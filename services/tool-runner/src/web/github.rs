//! Files of repositories at GitHub, as they are on the branch that is shown first.

use super::Web;
use super::answer::{Unanswered, answered};

pub(crate) struct GitHub {
    pub(crate) web: Web,
    /// <https://raw.githubusercontent.com>, or what stands in for it.
    pub(crate) base: String,
}

impl GitHub {
    /// A text of at most `limit` bytes. `repository`, as `<owner>/<name>`, and
    /// `file` are plain: nothing of them is escaped.
    pub(crate) async fn file(&self, repository: &str, file: &str, limit: usize) -> Result<String, Unanswered> {
        let address = format!("{}/{repository}/HEAD/{file}", self.base.trim_end_matches('/'));
        let (status, body) = answered(self.web.chosen().get(address), limit).await?;
        if !status.is_success() {
            return Err(Unanswered::of(status, format!("it answered {status}")));
        }
        String::from_utf8(body).map_err(|_| Unanswered::Refused("it is no text".to_owned()))
    }
}
