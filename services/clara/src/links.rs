//! One person, several accounts, one memory: asked for on the command line and in chat.

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::memory::{FactAnswer, FactCommand, FactRequest};
use domain::message::Principal;

/// How long the memory service may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Linking {
    Status,
    /// With an account, as the services name it.
    Link {
        account: String,
    },
    Unlink,
}

/// What is so now.
pub(crate) struct Links {
    pub(crate) accounts: Vec<String>,
    /// In words.
    pub(crate) text: String,
}

/// What a line in chat asks for, if it is about links; the error is a word to the person.
pub(crate) fn in_chat(line: &str) -> Option<Result<Linking, String>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["!link", "status"] => Some(Ok(Linking::Status)),
        ["!link", account] => Some(Ok(Linking::Link { account: account.to_owned() })),
        ["!link", platform, id] => Some(Ok(Linking::with(platform, id))),
        ["!unlink"] => Some(Ok(Linking::Unlink)),
        ["!link", ..] => {
            Some(Err("say which account: !link <platform> <id>, such as !link discord 123; or !link status".to_owned()))
        }
        _ => None,
    }
}

impl Linking {
    /// With an account by its platform and its id there, which may have its platform already.
    pub(crate) fn with(platform: &str, id: &str) -> Self {
        let id = id.strip_prefix(platform).and_then(|id| id.strip_prefix('-')).unwrap_or(id);
        Linking::Link { account: format!("{platform}-{id}") }
    }

    /// Asks the memory service.
    pub(crate) async fn ask(&self, bus: &Bus, principal: &Principal) -> anyhow::Result<Links> {
        let command = match self {
            Linking::Status => FactCommand::Links,
            Linking::Link { account } => FactCommand::Link { account: account.clone() },
            Linking::Unlink => FactCommand::Unlink,
        };
        let request = FactRequest { principal: principal.clone(), asking: None, command };
        let FactAnswer { accounts, counts, .. } = bus.request(Endpoints::MemoryFacts, &request, PATIENCE).await?;
        let keeps = counts.iter().any(|count| count.value > 0);
        let text = self.words(&principal.user, &accounts, keeps);
        Ok(Links { accounts, text })
    }

    fn words(&self, own: &str, accounts: &[String], keeps: bool) -> String {
        let named = own.split_once('-').map_or_else(|| own.to_owned(), |(platform, id)| format!("{platform} {id}"));
        match self {
            Linking::Link { account } if accounts.contains(account) => {
                format!("Linked: {} have one memory now.", accounts.join(", "))
            }
            Linking::Link { account } => format!(
                "Asked. To agree, say `!link {named}` as {account} within an hour: it shows that both accounts are yours."
            ),
            Linking::Unlink if keeps => {
                "Unlinked: what is remembered stays here, and the other accounts have memories of their own from now on."
                    .to_owned()
            }
            Linking::Unlink => {
                "Unlinked: from now on this account has a memory of its own. What is remembered stays with the others."
                    .to_owned()
            }
            Linking::Status if accounts.len() < 2 => format!(
                "You are {own}, linked with no other account. `!link <platform> <id>` here and `!link {named}` there make two one."
            ),
            Linking::Status => format!("You are {own}; {} have one memory.", accounts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_chat_name_the_other_account() {
        let link = |account: &str| Some(Ok(Linking::Link { account: account.into() }));
        assert_eq!(in_chat("!link discord 123"), link("discord-123"));
        assert_eq!(in_chat("!link discord discord-123"), link("discord-123"));
        assert_eq!(in_chat("!link ann"), link("ann"), "an id without a platform, as CLI_USER_ID may be");
        assert_eq!(in_chat("!link  status"), Some(Ok(Linking::Status)));
        assert_eq!(in_chat("!unlink"), Some(Ok(Linking::Unlink)));
        assert!(in_chat("!link").unwrap().is_err() && in_chat("!link a b c").unwrap().is_err());
        assert_eq!((in_chat("link me"), in_chat("!linked x")), (None, None));
    }
}
