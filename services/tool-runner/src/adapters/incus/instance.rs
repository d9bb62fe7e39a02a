//! One instance, from its beginning to its end: however this goes away, it does.

use reqwest::Method;
use serde_json::{Value, json};
use service_kit::task::{self, TaskKind};

use super::api::{Api, Exec, Failed};
use crate::adapters::containers;
use crate::sandbox::Printed;

pub(super) struct Instance {
    api: Api,
    name: String,
    /// What runs in it ends when this is dropped.
    exec: Option<Exec>,
}

impl Instance {
    /// Makes one, which does not run yet. `places` are what is mounted in it: what is not in
    /// the image is made, since nothing can be once it runs.
    pub(super) async fn create(api: &Api, mut body: Value, places: &[(&str, &str)]) -> Result<Self, Failed> {
        // The name is known before the daemon answers, so that it can be removed whenever this ends.
        let name = format!("clara-sandbox-{}", uuid::Uuid::new_v4());
        body["name"] = Value::from(name.as_str());
        let instance = Self { api: api.clone(), name, exec: None };
        api.does(Method::POST, "/1.0/instances", &body).await?;
        for (kind, path) in places {
            api.put(&instance.name, kind, path).await?;
        }
        Ok(instance)
    }

    /// Starts it.
    pub(super) async fn start(&self) -> Result<(), Failed> {
        self.api.change(&self.name, json!({"action": "start", "timeout": 30})).await
    }

    /// Runs a command in it, to its end: its status.
    pub(super) async fn run(&mut self, command: &Value, given: &[u8], printed: &Printed) -> Result<i64, Failed> {
        let exec = self.api.exec(&self.name, command).await?;
        self.exec.insert(exec).ended(given, printed).await
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What runs in it ends with this; the rest takes the time that the daemon takes.
        self.exec = None;
        let (api, name) = (self.api.clone(), self.name.clone());
        task::spawn(TaskKind::Work, "remove-instance", async move { remove(&api, &name).await });
    }
}

/// Removes an instance: one that runs is gone when it has stopped.
pub(super) async fn remove(api: &Api, name: &str) {
    containers::remove(|| async {
        let stop = json!({"action": "stop", "force": true, "timeout": 10});
        if api.change(name, stop).await.is_ok() {
            return Ok(true);
        }
        match api.does(Method::DELETE, &format!("/1.0/instances/{name}"), &Value::Null).await {
            Ok(()) => Ok(true),
            Err(Failed::NotFound) => Ok(false),
            Err(err) => Err(err),
        }
    })
    .await;
}
