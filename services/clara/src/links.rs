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
    /// With an account by its platform and its id there.
    Link {
        platform: String,
        id: String,
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
        ["!link", platform, id] => Some(Ok(Linking::Link { platform: platform.to_owned(), id: id.to_owned() })),
        ["!unlink"] => Some(Ok(Linking::Unlink)),
        ["!link", ..] => {
            Some(Err("say which account: !link <platform> <id>, such as !link discord 123; or !link status".to_owned()))
        }
        _ => None,
    }
}

impl Linking {
    /// Asks the memory service.
    pub(crate) async fn ask(&self, bus: &Bus, principal: &Principal) -> anyhow::Result<Links> {
        let command = match self {
            Linking::Status => FactCommand::Links,
            Linking::Link { platform, id } => FactCommand::Link { account: account(platform, id) },
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
            Linking::Link { platform, id } if accounts.contains(&account(platform, id)) => {
                format!("Linked: {} have one memory now.", accounts.join(", "))
            }
            Linking::Link { platform, id } => format!(
                "Asked. To agree, say `!link {named}` as {} within an hour: it shows that both accounts are yours.",
                account(platform, id)
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

/// An account as messages name it.
/// An account as the services name it; the id may have its platform already.
fn account(platform: &str, id: &str) -> String {
    let id = id.strip_prefix(platform).and_then(|id| id.strip_prefix('-')).unwrap_or(id);
    format!("{platform}-{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_chat_name_the_other_account() {
        let link = Linking::Link { platform: "discord".into(), id: "123".into() };
        assert_eq!(in_chat("!link discord 123"), Some(Ok(link)));
        assert_eq!(in_chat("!link  status"), Some(Ok(Linking::Status)));
        assert_eq!(in_chat("!unlink"), Some(Ok(Linking::Unlink)));
        assert!(in_chat("!link").unwrap().is_err() && in_chat("!link a b c").unwrap().is_err());
        assert_eq!((in_chat("link me"), in_chat("!linked x")), (None, None));
        assert_eq!((account("cli", "user"), account("cli", "cli-user")), ("cli-user".into(), "cli-user".into()));
    }
}
