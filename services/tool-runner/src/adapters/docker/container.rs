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
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::adapters::containers;
use crate::sandbox::Printed;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

pub(super) struct Container {
    docker: Docker,
    name: String,
    output: Option<Output>,
    /// Ends the container when it is dropped.
    lifeline: Option<Pin<Box<dyn AsyncWrite + Send>>>,
}

impl Container {
    /// The error is the daemon's, or what it left out of what was asked for.
    pub(super) async fn create(docker: &Docker, body: ContainerCreateBody) -> Result<Self, String> {
        // The name is known before the daemon answers, so that it can be removed whenever this ends.
        let name = format!("clara-sandbox-{}", uuid::Uuid::new_v4());
        let container = Self { docker: docker.clone(), name: name.clone(), output: None, lifeline: None };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = docker.create_container(Some(options), body).await.map_err(|err| err.to_string())?;
        match created.warnings.is_empty() {
            true => Ok(container),
            false => {
                drop(container);
                Err(format!("the daemon does not do all that it is asked: {}", created.warnings.join("; ")))
            }
        }
    }

    /// Starts it, and gives it what it reads; it ends when this does.
    pub(super) async fn start(&mut self, given: &[u8]) -> Result<(), Error> {
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true);
        let attached = self.docker.attach_container(&self.name, Some(options.build())).await?;
        let AttachContainerResults { output, mut input } = attached;
        self.docker.start_container(&self.name, None).await?;
        self.output = Some(output);
        input.write_all(given).await?;
        input.flush().await?;
        self.lifeline = Some(input);
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
            None => Err(Error::RequestTimeoutError),
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // What runs in it ends with this; the rest takes the time that the daemon takes.
        self.lifeline = None;
        let (docker, name) = (self.docker.clone(), self.name.clone());
        task::spawn(TaskKind::Work, "remove-container", async move { remove(&docker, &name).await });
    }
}

pub(super) async fn remove(docker: &Docker, name: &str) {
    containers::remove(|| async {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match docker.remove_container(name, Some(options)).await {
            Ok(()) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(err) => Err(err),
        }
    })
    .await;
}
