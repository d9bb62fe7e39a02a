//! Servers that offer tools.

use domain::mcp::{
    Launch, McpAnswer, McpArgument, McpCommand, McpPrompt, McpRequest, McpResource, McpServer, McpTool, Status,
};

use crate::fields::{all, raws, required};
use crate::{InvalidMessage, v1, wire};

mod authorisation; // How a server comes to know who asks.
mod usage; // What was called.

wire!(McpRequest as v1::McpRequest);
wire!(McpAnswer as v1::McpAnswer);

impl From<&Launch> for v1::McpLaunch {
    fn from(value: &Launch) -> Self {
        use v1::mcp_launch::{How, Http, Stdio};
        let how = match value {
            Launch::Stdio { command, env } => {
                How::Stdio(Stdio { command: command.clone(), env: env.clone().into_iter().collect() })
            }
            Launch::Http { url, headers } => {
                How::Http(Http { url: url.clone(), headers: headers.clone().into_iter().collect() })
            }
        };
        Self { how: Some(how) }
    }
}

impl TryFrom<v1::McpLaunch> for Launch {
    type Error = InvalidMessage;
    fn try_from(raw: v1::McpLaunch) -> Result<Self, InvalidMessage> {
        use v1::mcp_launch::How;
        Ok(match required(raw.how, "launch.how")? {
            How::Stdio(stdio) => Self::Stdio { command: stdio.command, env: stdio.env.into_iter().collect() },
            How::Http(http) => Self::Http { url: http.url, headers: http.headers.into_iter().collect() },
        })
    }
}

impl From<&McpServer> for v1::McpServer {
    fn from(value: &McpServer) -> Self {
        Self {
            name: value.name.clone(),
            owner: value.owner.clone(),
            source: value.source.clone(),
            launch: Some((&value.launch).into()),
            status: value.status.as_str().to_owned(),
            tools: value.tools,
            last_error: value.last_error.clone(),
            installed_by: value.installed_by.clone(),
            hot_reload: value.is_reloaded,
            may_sample: value.may_sample,
            installed_at_ms: value.installed_at_ms,
        }
    }
}

impl TryFrom<v1::McpServer> for McpServer {
    type Error = InvalidMessage;
    fn try_from(raw: v1::McpServer) -> Result<Self, InvalidMessage> {
        Ok(Self {
            name: raw.name,
            owner: raw.owner,
            source: raw.source,
            launch: required(raw.launch, "server.launch")?.try_into()?,
            status: required(Status::parse(&raw.status), "server.status")?,
            tools: raw.tools,
            last_error: raw.last_error,
            installed_by: raw.installed_by,
            is_reloaded: raw.hot_reload,
            may_sample: raw.may_sample,
            installed_at_ms: raw.installed_at_ms,
        })
    }
}

impl From<&McpTool> for v1::McpTool {
    fn from(value: &McpTool) -> Self {
        Self {
            name: value.name.clone(),
            description: value.description.clone(),
            approved: value.is_approved,
            schema: value.schema.clone(),
            suspicion: value.suspicion.clone(),
            hash: value.hash.clone(),
        }
    }
}

impl From<v1::McpTool> for McpTool {
    fn from(raw: v1::McpTool) -> Self {
        Self {
            name: raw.name,
            description: raw.description,
            schema: raw.schema,
            is_approved: raw.approved,
            suspicion: raw.suspicion,
            hash: raw.hash,
        }
    }
}

impl From<&McpResource> for v1::McpResource {
    fn from(value: &McpResource) -> Self {
        Self {
            uri: value.uri.clone(),
            name: value.name.clone(),
            description: value.description.clone(),
            media_type: value.media_type.clone(),
            template: value.is_template,
            changed: value.has_changed,
        }
    }
}

impl From<v1::McpResource> for McpResource {
    fn from(raw: v1::McpResource) -> Self {
        Self {
            uri: raw.uri,
            name: raw.name,
            description: raw.description,
            media_type: raw.media_type,
            is_template: raw.template,
            has_changed: raw.changed,
        }
    }
}

impl From<&McpPrompt> for v1::McpPrompt {
    fn from(value: &McpPrompt) -> Self {
        let argument = |value: &McpArgument| v1::mcp_prompt::Argument {
            name: value.name.clone(),
            description: value.description.clone(),
            required: value.is_required,
        };
        Self {
            name: value.name.clone(),
            description: value.description.clone(),
            arguments: value.arguments.iter().map(argument).collect(),
        }
    }
}

impl From<v1::McpPrompt> for McpPrompt {
    fn from(raw: v1::McpPrompt) -> Self {
        let argument = |raw: v1::mcp_prompt::Argument| McpArgument {
            name: raw.name,
            description: raw.description,
            is_required: raw.required,
        };
        Self {
            name: raw.name,
            description: raw.description,
            arguments: raw.arguments.into_iter().map(argument).collect(),
        }
    }
}

impl From<&McpRequest> for v1::McpRequest {
    fn from(value: &McpRequest) -> Self {
        use v1::mcp_request::*;
        let command = match value.command.clone() {
            McpCommand::Plan { source, name } => Command::Plan(Plan { source, name }),
            McpCommand::Install { source, name, launch, for_all } => {
                Command::Install(Install { source, name, launch: Some((&launch).into()), for_all })
            }
            McpCommand::Uninstall { name } => Command::Uninstall(Uninstall { name }),
            McpCommand::List => Command::List(List {}),
            McpCommand::Tools { name } => Command::Tools(Tools { name }),
            McpCommand::Enable { name, is_enabled } => Command::Enable(Enable { name, enabled: is_enabled }),
            McpCommand::Restart { name } => Command::Restart(Restart { name }),
            McpCommand::Refresh { name } => Command::Refresh(Refresh { name }),
            McpCommand::Approve { name, hashes } => Command::Approve(Approve { name, hashes }),
            McpCommand::HotReload { name, is_wanted } => Command::HotReload(HotReload { name, wanted: is_wanted }),
            McpCommand::Sampling { name, is_allowed } => Command::Sampling(Sampling { name, allowed: is_allowed }),
            McpCommand::Oauth { name, for_all, what } => {
                Command::Oauth(Oauth { name, for_all, what: Some((&what).into()) })
            }
            McpCommand::Calls { limit } => Command::Calls(Calls { limit }),
            McpCommand::Limits => Command::Limits(Limits {}),
            McpCommand::SetLimit(limit) => Command::SetLimit((&limit).into()),
            McpCommand::DropLimit { user, server, tool } => Command::DropLimit(DropLimit { user, server, tool }),
            McpCommand::Usage { for_all, limit } => Command::Usage(Usage { for_all, limit }),
            McpCommand::Resources { name } => Command::Resources(Resources { name }),
            McpCommand::Read { name, uri } => Command::Read(Read { name, uri }),
            McpCommand::Subscribe { name, uri, is_wanted } => {
                Command::Subscribe(Subscribe { name, uri, wanted: is_wanted })
            }
            McpCommand::Prompts { name } => Command::Prompts(Prompts { name }),
            McpCommand::Prompt { name, prompt, arguments } => {
                Command::Prompt(Prompt { name, prompt, arguments: arguments.into_iter().collect() })
            }
        };
        Self { principal: Some((&value.principal).into()), command: Some(command) }
    }
}

impl TryFrom<v1::McpRequest> for McpRequest {
    type Error = InvalidMessage;
    fn try_from(raw: v1::McpRequest) -> Result<Self, InvalidMessage> {
        use v1::mcp_request::*;
        let command = match required(raw.command, "command")? {
            Command::Plan(Plan { source, name }) => McpCommand::Plan { source, name },
            Command::Install(Install { source, name, launch, for_all }) => {
                McpCommand::Install { source, name, launch: required(launch, "launch")?.try_into()?, for_all }
            }
            Command::Uninstall(Uninstall { name }) => McpCommand::Uninstall { name },
            Command::List(List {}) => McpCommand::List,
            Command::Tools(Tools { name }) => McpCommand::Tools { name },
            Command::Enable(Enable { name, enabled }) => McpCommand::Enable { name, is_enabled: enabled },
            Command::Restart(Restart { name }) => McpCommand::Restart { name },
            Command::Refresh(Refresh { name }) => McpCommand::Refresh { name },
            Command::Approve(Approve { name, hashes }) => McpCommand::Approve { name, hashes },
            Command::HotReload(HotReload { name, wanted }) => McpCommand::HotReload { name, is_wanted: wanted },
            Command::Sampling(Sampling { name, allowed }) => McpCommand::Sampling { name, is_allowed: allowed },
            Command::Oauth(Oauth { name, for_all, what }) => {
                McpCommand::Oauth { name, for_all, what: required(what, "what")?.into() }
            }
            Command::Calls(Calls { limit }) => McpCommand::Calls { limit },
            Command::Limits(Limits {}) => McpCommand::Limits,
            Command::SetLimit(limit) => McpCommand::SetLimit(limit.into()),
            Command::DropLimit(DropLimit { user, server, tool }) => McpCommand::DropLimit { user, server, tool },
            Command::Usage(Usage { for_all, limit }) => McpCommand::Usage { for_all, limit },
            Command::Resources(Resources { name }) => McpCommand::Resources { name },
            Command::Read(Read { name, uri }) => McpCommand::Read { name, uri },
            Command::Subscribe(Subscribe { name, uri, wanted }) => {
                McpCommand::Subscribe { name, uri, is_wanted: wanted }
            }
            Command::Prompts(Prompts { name }) => McpCommand::Prompts { name },
            Command::Prompt(Prompt { name, prompt, arguments }) => {
                McpCommand::Prompt { name, prompt, arguments: arguments.into_iter().collect() }
            }
        };
        Ok(Self { principal: required(raw.principal, "principal")?.try_into()?, command })
    }
}

impl From<&McpAnswer> for v1::McpAnswer {
    fn from(value: &McpAnswer) -> Self {
        let (plan_name, plan) = match &value.plan {
            Some((name, launch)) => (name.clone(), Some(launch.into())),
            None => (String::new(), None),
        };
        Self {
            servers: raws(&value.servers),
            tools: raws(&value.tools),
            plan,
            plan_name,
            resources: raws(&value.resources),
            prompts: raws(&value.prompts),
            text: value.text.clone(),
            calls: raws(&value.calls),
            usage: raws(&value.usage),
            limits: raws(&value.limits),
        }
    }
}

impl TryFrom<v1::McpAnswer> for McpAnswer {
    type Error = InvalidMessage;
    fn try_from(raw: v1::McpAnswer) -> Result<Self, InvalidMessage> {
        let plan = match raw.plan {
            Some(launch) => Some((raw.plan_name, launch.try_into()?)),
            None => None,
        };
        Ok(Self {
            servers: all(raw.servers)?,
            tools: raw.tools.into_iter().map(Into::into).collect(),
            plan,
            resources: raw.resources.into_iter().map(Into::into).collect(),
            prompts: raw.prompts.into_iter().map(Into::into).collect(),
            text: raw.text,
            calls: raw.calls.into_iter().map(Into::into).collect(),
            usage: raw.usage.into_iter().map(Into::into).collect(),
            limits: raw.limits.into_iter().map(Into::into).collect(),
        })
    }
}
