//! One container, from its beginning to its end: however this goes away, it does.

use std::pin::Pin;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures::{Stream, StreamExt};
use service_kit::task::{self, TaskKind};
use tokio::io::AsyncWriteExt;
use tracing::warn;

use crate::sandbox::Printed;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

pub(super) struct Container {
    docker: Docker,
    name: String,
    is_removed: bool,
    output: Option<Output>,
}

impl Container {
    pub(super) async fn create(docker: &Docker, body: ContainerCreateBody) -> Result<Self, Error> {
        // The name is known before the daemon answers, so that it can be removed whenever this ends.
        let name = format!("clara-sandbox-{}", uuid::Uuid::new_v4());
        let container = Self { docker: docker.clone(), name: name.clone(), is_removed: false, output: None };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        docker.create_container(Some(options), body).await?;
        Ok(container)
    }

    /// Starts it, and gives it what it reads.
    pub(super) async fn start(&mut self, given: Vec<u8>) -> Result<(), Error> {
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true);
        let attached = self.docker.attach_container(&self.name, Some(options.build())).await?;
        let AttachContainerResults { output, mut input } = attached;
        self.docker.start_container(&self.name, None).await?;
        task::spawn(TaskKind::Watch, "sandbox-input", async move {
            // A program need not read it.
            if input.write_all(&given).await.is_ok() {
                let _ = input.shutdown().await;
            }
        });
        self.output = Some(output);
        Ok(())
    }

    /// Its status, once it has ended and all that it printed was read.
    pub(super) async fn ended(&mut self, printed: &Printed) -> Result<i64, Error> {
        if let Some(mut output) = self.output.take() {
            while let Some(piece) = output.next().await {
                printed.push(&piece?.into_bytes());
            }
        }
        match self.docker.wait_container(&self.name, None).next().await {
            Some(Ok(ended)) => Ok(ended.status_code),
            // What is no success comes as an error.
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(err)) => Err(err),
            None => Ok(0),
        }
    }

    /// Ends it, with every process of it.
    pub(super) async fn remove(&mut self) {
        remove(&self.docker, &self.name).await;
        self.is_removed = true;
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.is_removed {
            return;
        }
        let (docker, name) = (self.docker.clone(), self.name.clone());
        task::spawn(TaskKind::Work, "remove-container", async move { remove(&docker, &name).await });
    }
}

pub(super) async fn remove(docker: &Docker, name: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(err) => warn!(error = %err, "failed to remove a container"),
    }
}
