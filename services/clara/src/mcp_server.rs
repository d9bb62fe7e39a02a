//! Clara as an MCP server: her memory and her chat, as tools, resources and prompts.
//!
//! Whoever asks is one principal: the person of this process over standard input and
//! output, the one whose token a request carries over HTTP. Nobody sees what is another's,
//! which the services check, not this room.

mod doing; // What each tool, resource and prompt does.
mod http; // Over HTTP, by tokens.
mod offered; // What there is, as clients read it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, Server};
use domain::message::Principal;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetPromptRequestParams, GetPromptResponse,
    GetPromptResult, Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ProgressToken, PromptMessage,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ResourceContents, Role, ServerCapabilities,
    ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler, ServiceExt};
use serde_json::Value;
use service_kit::run::replica;
use service_kit::settings::Settings;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::chat::reach;
use crate::commands::person;

/// Chats at the same time; one more is told to come back.
const CHATS: usize = 32;

/// How she is reached from here.
struct Way {
    bus: Bus,
    server: Server,
    /// How long a chat waits for its answer.
    patience: Duration,
    /// Each chat listens on a connection of its own.
    chats: Semaphore,
}

/// One client's side of her. Cheap to clone.
#[derive(Clone)]
struct Clara {
    way: Arc<Way>,
    /// Whoever asks; over HTTP each request says it.
    person: Option<Principal>,
}

/// The client of one call, while it waits.
struct Asking<'a> {
    cancelled: &'a CancellationToken,
    peer: &'a Peer<RoleServer>,
    token: Option<ProgressToken>,
}

impl Asking<'_> {
    /// Tells it what is done meanwhile, for the `number`th time.
    async fn tell(&self, number: u32, text: String) {
        let Some(token) = self.token.clone() else { return };
        let told = ProgressNotificationParam::new(token, f64::from(number)).with_message(text);
        // A client that hears nothing waits all the same.
        let _ = self.peer.notify_progress(told).await;
    }
}

/// Serves until the client goes, or over HTTP until Ctrl-C.
pub(crate) async fn run(
    settings: &Settings,
    address: Option<SocketAddr>,
    hosts: Vec<String>,
    patience: Duration,
) -> anyhow::Result<ExitCode> {
    let tokens = match address {
        Some(_) => Some(http::Tokens::read(settings).map_err(anyhow::Error::msg)?),
        None => None,
    };
    let reached = reach(settings, true).await?;
    let bus = Bus::attach(&reached.server, &replica("mcp-server")).await?;
    let way = Arc::new(Way { bus, server: reached.server.clone(), patience, chats: Semaphore::new(CHATS) });
    match (address, tokens) {
        (Some(address), Some(tokens)) => {
            http::serve(Clara { way, person: None }, address, hosts, tokens).await?;
        }
        _ => {
            let clara = Clara { way, person: Some(person(settings)) };
            let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
            let served = clara.serve((input, output)).await.context("no client speaks MCP on standard input")?;
            served.waiting().await.context("serve the client")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Clara {
    /// Whoever asks.
    fn principal(&self, context: &RequestContext<RoleServer>) -> Result<Principal, ErrorData> {
        let of_request = || context.extensions.get::<::http::request::Parts>()?.extensions.get::<Principal>().cloned();
        let known = self.person.clone().or_else(of_request);
        known.ok_or_else(|| ErrorData::invalid_request("nobody is known to ask: send a token", None))
    }
}

impl ServerHandler for Clara {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::default();
        capabilities.tools = Some(Default::default());
        capabilities.resources = Some(Default::default());
        capabilities.prompts = Some(Default::default());
        let mut info = ServerConfig::default();
        info.capabilities = capabilities;
        info.server_info = Implementation::new("Clara", env!("CARGO_PKG_VERSION"));
        info.instructions = Some(offered::INSTRUCTIONS.to_owned());
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(offered::tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let person = self.principal(&context)?;
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        if !offered::tools().iter().any(|tool| tool.name == request.name) {
            return Err(ErrorData::invalid_params(format!("there is no tool `{}`", request.name), None));
        }
        let client = Asking {
            cancelled: &context.ct,
            peer: &context.peer,
            // Who gives none wants to hear nothing meanwhile.
            token: context.meta.get_progress_token(),
        };
        let done = self.way.tool(&person, &request.name, &arguments, &client).await;
        let result = match done {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        };
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(offered::resources()))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(offered::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let person = self.principal(&context)?;
        let read = self.way.resource(&person, &request.uri).await;
        let text = read.map_err(|why| ErrorData::resource_not_found(why, None))?;
        let contents = ResourceContents::text(text, request.uri).with_mime_type("text/plain");
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(offered::prompts()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let person = self.principal(&context)?;
        let given = Value::Object(request.arguments.unwrap_or_default());
        let text = self.way.prompt(&person, &request.name, &given).await;
        let text = text.map_err(|why| ErrorData::invalid_params(why, None))?;
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into())
    }
}
