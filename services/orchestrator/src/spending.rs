//! What people and channels may spend on a day: a model call is reserved before it is made,
//! across all replicas, and settled after it. Without limits nothing is counted.

use std::time::Duration;

use bus::{AccountKey, Spending};
use domain::chat::{Answer, ChatRequest};
use domain::ids::ConversationId;
use domain::journal::Fault;
use domain::message::Principal;
use domain::spending::{Allowance, Cost, Price, Reserved};
use domain::tier::Tier;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::ModelError;
use service_kit::clock::now_ms;
use service_kit::settings::Settings;
use tracing::warn;

pub(crate) struct Budgets {
    spending: Spending,
    of_person: Allowance,
    of_channel: Allowance,
    prices: [Price; 3],
    zone: TimeZone,
    /// How long a call may take, with all of its tries.
    longest: Duration,
}

/// Who pays for a call.
pub(crate) struct Paying<'a> {
    pub(crate) person: Option<&'a Principal>,
    pub(crate) conversation: &'a ConversationId,
    /// By what it is known: the same again takes the place of the one before.
    pub(crate) call: String,
    pub(crate) tier: Tier,
}

/// A call that was reserved.
pub(crate) struct Claim {
    accounts: Vec<AccountKey>,
    call: String,
    price: Price,
    /// What it reads, as it was counted here.
    input_tokens: u64,
}

impl Budgets {
    /// Those that are configured; nothing if none is.
    pub(crate) async fn open(settings: &Settings, bus: &bus::Bus, longest: Duration) -> anyhow::Result<Option<Self>> {
        let limit = |name: &str| Some(settings.number(name)).filter(|limit| *limit > 0);
        let allowance = |of: &str| Allowance {
            tokens: limit(&format!("CLARA_BUDGET_{of}_TOKENS")),
            micros: limit(&format!("CLARA_BUDGET_{of}_CENTS")).map(|cents| cents.saturating_mul(10_000)),
        };
        let (of_person, of_channel) = (allowance("USER"), allowance("CHANNEL"));
        if of_person.is_none() && of_channel.is_none() {
            return Ok(None);
        }
        let price = |name: &str| match settings.optional(name) {
            Some(text) => Price::parse(&text)
                .ok_or_else(|| anyhow::anyhow!("{name}={text}: give dollars a million tokens, as 3/15")),
            None => Ok(Price::default()),
        };
        Ok(Some(Self {
            spending: bus.spending().await?,
            of_person,
            of_channel,
            prices: [price("CLARA_PRICE_LOW")?, price("CLARA_PRICE_MID")?, price("CLARA_PRICE_HIGH")?],
            zone: TimeZone::get(&settings.text("DEFAULT_TIMEZONE")).unwrap_or(TimeZone::UTC),
            longest,
        }))
    }

    /// Reserves a call; the error is why it is not made.
    pub(crate) async fn reserve(&self, paying: Paying<'_>, request: &ChatRequest) -> Result<Claim, ModelError> {
        let now = now_ms();
        let at = Timestamp::from_millisecond(now).unwrap_or_default().to_zoned(self.zone.clone());
        let day = at.date().to_string();
        let price = self.prices[match paying.tier {
            Tier::Low => 0,
            Tier::Mid => 1,
            Tier::High => 2,
        }];
        let input_tokens = tokens(request);
        let cost = price.of(input_tokens, u64::from(request.max_tokens));
        let until_ms = now.saturating_add(i64::try_from(self.longest.as_millis()).unwrap_or(i64::MAX));
        let mut claim = Claim { accounts: Vec::new(), call: paying.call, price, input_tokens };
        let person = paying.person.map(|person| AccountKey::of_person(person, &day));
        let channel = AccountKey::of_channel(paying.conversation, &day);
        for (key, allowed, fault) in
            [(person, self.of_person, Fault::OverBudget), (Some(channel), self.of_channel, Fault::ChannelOverBudget)]
        {
            let Some(key) = key.filter(|_| !allowed.is_none()) else { continue };
            let reserved = Reserved { cost, until_ms };
            let fits = self
                .spending
                .change(&key, |account| account.reserve(&claim.call, reserved, &allowed, now).then_some(()));
            match fits.await {
                Ok(Some(())) => claim.accounts.push(key),
                Ok(None) => {
                    self.give_back(&claim).await;
                    return Err(ModelError { fault, detail: "the day's budget is used up".to_owned() });
                }
                Err(err) => {
                    self.give_back(&claim).await;
                    return Err(ModelError { fault: Fault::Transient, detail: err.to_string() });
                }
            }
        }
        Ok(claim)
    }

    /// Counts what a call has cost. One that broke off has cost what it was given to read.
    pub(crate) async fn settle(&self, claim: &Claim, answered: &Result<Answer, ModelError>) {
        let cost = match answered {
            Ok(Answer { usage, .. }) if usage.input_tokens + usage.output_tokens > 0 => {
                claim.price.of(usage.input_tokens, usage.output_tokens)
            }
            // Not every vendor says it.
            Ok(answer) => claim.price.of(claim.input_tokens, model::count_tokens(&answer.text) as u64),
            Err(ModelError { fault: Fault::Transient, .. }) => claim.price.of(claim.input_tokens, 0),
            Err(_) => Cost::default(),
        };
        self.put(claim, cost).await;
    }

    async fn give_back(&self, claim: &Claim) {
        self.put(claim, Cost::default()).await;
    }

    async fn put(&self, claim: &Claim, cost: Cost) {
        for key in &claim.accounts {
            let settled = self.spending.change(key, |account| {
                account.settle(&claim.call, cost);
                Some(())
            });
            // What was reserved counts for it until it has surely ended.
            if let Err(err) = settled.await {
                warn!(error = %err, "failed to count what a model call has cost");
            }
        }
    }
}

/// Tokens of a request, as far as they can be counted here.
fn tokens(request: &ChatRequest) -> u64 {
    let texts = request.messages.iter().flat_map(|message| message.texts());
    let tools = request.tools.iter().flat_map(|tool| [tool.description.as_str(), tool.schema.as_str()]);
    let count: usize = std::iter::once(&*request.system).chain(texts).chain(tools).map(model::count_tokens).sum();
    count as u64
}
