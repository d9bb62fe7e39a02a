//! MCP servers: from a name that people give to tools that models call.

mod authorising; // Servers that want to know who asks.
mod callable; // What they offer, to models and to people.
mod declared; // What configuration files declare.
mod files; // What is read of configuration files, and of servers' own.
mod installing; // What is there to be installed, and whether it starts.
mod launch; // What may be run or asked for a server, and what it may be called.
mod limits; // How many calls one person may make.
mod link; // The way to one that is there.
mod offer; // What servers offer, and whether it is still what somebody agreed to.
mod package; // Names of packages, images and repositories.
mod plugins; // Installing, listing, approving: what people do with servers.
mod reading; // Resources and prompts.
mod sampling; // Words of the model, in the middle of a call.
mod server; // One server: started when it is called, started anew when it ends.
mod servers; // Those that run in this process.
mod shown; // What people are shown of them.
mod source; // From a name to what would be run.
mod tool; // One of their tools.
mod version; // What a server is run as.
mod watcher; // Keeps what files declare.

pub(crate) use authorising::{check_token, may_be_told, variable};
pub(crate) use files::Watched;
pub(crate) use installing::INSTALL;
pub(crate) use limits::CallLimits;
pub(crate) use offer::{Offered, TOOLS, usable};
pub(crate) use plugins::Plugins;
pub(crate) use servers::Servers;
