//! A person at a terminal: says things, hears replies, sees what streams.

use std::time::Duration;

use bus::{Bus, Endpoints, TerminalLog};
use domain::ids::{ConversationId, MessageId};
use domain::message::Principal;
use domain::turn::Reply;
use proto::terminal::{PLATFORM, Said, Say, Saying, place};

use crate::DEADLINE;

pub struct Terminal {
    pub bus: Bus,
    pub conversation: ConversationId,
    person: Principal,
    channel: String,
    replies: TerminalLog,
}

impl Terminal {
    pub async fn open(bus: Bus, user: &str, channel: &str) -> Self {
        let person = Principal { user: user.into(), name: "Ann".into(), tenant: "local".into() };
        let conversation = ConversationId::derive(&place(&person, channel));
        let replies = bus.follow_replies(&conversation, None).await.unwrap();
        Self { bus, conversation, person, channel: channel.into(), replies }
    }

    /// Offers something under an id, as often as it takes.
    pub async fn offer(&self, id: &str, what: Saying) -> Said {
        let say =
            Say { id: id.into(), channel: self.channel.clone(), speaker: self.person.clone(), parent: None, what };
        loop {
            match self.bus.request(Endpoints::CliSay, &say, Duration::from_secs(8)).await {
                Ok(said) => return said,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Says something that is accepted.
    #[track_caller]
    pub fn says(&self, text: &str) -> impl Future<Output = MessageId> {
        self.does(Saying::text(text))
    }

    pub async fn does(&self, what: Saying) -> MessageId {
        let id = uuid::Uuid::now_v7().to_string();
        match self.offer(&id, what).await {
            Said::Accepted { conversation } => assert_eq!(conversation, self.conversation),
            Said::Refused { because } => panic!("refused: {because}"),
        }
        MessageId::new(PLATFORM, &id).unwrap()
    }

    /// The next reply.
    pub async fn hears(&mut self) -> Reply {
        tokio::time::timeout(DEADLINE, self.replies.next()).await.expect("a reply in time").expect("a bus").1
    }

    /// The reply to a message; replies before it are passed over.
    pub async fn reply_to(&mut self, message: &MessageId) -> Reply {
        loop {
            let reply = self.hears().await;
            if reply.answers.contains(message) {
                return reply;
            }
        }
    }

    /// Says something and waits for its reply.
    pub async fn asks(&mut self, text: &str) -> Reply {
        let message = self.says(text).await;
        self.reply_to(&message).await
    }

    /// Whether any reply comes within a short time.
    pub async fn hears_nothing_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.replies.next()).await.is_err()
    }
}
